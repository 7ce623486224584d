// SPDX-License-Identifier: GPL-3.0-or-later
// The choice of the tile kernels, with the same self-check as kernels.c: a kernel that this build's
// machine could not execute is compared with the generic one before its first use elsewhere.
#include <math.h>
#include <string.h>
#include "base/log.h"
#include "engine/host/kernels.h"
#include "engine/host/tile.h"

enum { TOKENS = 19 }; // more than a half tile of AMX, odd

static int near(const float *a, const float *b, int n)
{
    for (int i = 0; i < n; i++)
        if (!(fabsf(a[i] - b[i]) <= 1e-4f + 1e-5f * fabsf(b[i])))
            return 0;
    return 1;
}

static float noise(uint32_t *seed)
{
    *seed = *seed * 1664525u + 1013904223u;
    return (float)(*seed >> 8) * 0x1p-24f * 2 - 1;
}

int tile_self_check(struct tile_kernels *k)
{
    _Alignas(64) struct tile_f32 f;
    _Alignas(64) struct tile_i8 q;
    _Alignas(64) float x[TOKENS][TILE], want[TOKENS][TILE], got[TOKENS][TILE];
    int8_t a[TOKENS][TILE];
    float scale[TOKENS];
    uint32_t seed = 7;
    int replaced = 0;
    for (int i = 0; i < TILE; i++) {
        q.scale[i] = noise(&seed);
        for (int j = 0; j < TILE; j++) {
            f.w[i][j] = noise(&seed);
            q.q[i / 4][j][i % 4] = (int8_t)(noise(&seed) * 128);
        }
    }
    q.q[0][0][0] = -128; // what the largest magnitudes do to 16-bit sums
    q.q[0][0][1] = -128;
    for (int t = 0; t < TOKENS; t++) {
        scale[t] = noise(&seed) * 0.01f;
        for (int j = 0; j < TILE; j++) {
            x[t][j] = noise(&seed);
            a[t][j] = (int8_t)(noise(&seed) * 127);
            want[t][j] = got[t][j] = noise(&seed);
        }
        a[t][0] = a[t][1] = t % 2 ? 127 : -127;
    }
    tile_generic.f32(&f, x[0], TOKENS, want[0]);
    k->f32(&f, x[0], TOKENS, got[0]);
    if (!near(got[0], want[0], TOKENS * TILE)) {
        log_warn("tile kernel f32 of %s disagrees with the generic one and is not used", k->name);
        k->f32 = tile_generic.f32;
        replaced++;
    }
    memcpy(got, want, sizeof got);
    tile_generic.i8(&q, a[0], scale, TOKENS, want[0]);
    k->i8(&q, a[0], scale, TOKENS, got[0]);
    if (!near(got[0], want[0], TOKENS * TILE)) {
        log_warn("tile kernel i8 of %s disagrees with the generic one and is not used", k->name);
        k->i8 = tile_generic.i8;
        replaced++;
    }
    return replaced;
}

int tile_select(enum tile_isa isa, struct tile_kernels *out, struct err *e)
{
    static const char *const name[] = {"auto", "generic", "avx2", "avx512 (with VNNI)",
                                       "amx",  "neon"};
    const struct cpu_features *f = cpu_features();
    // Best first. AMX needs the permission of the kernel, asked for only when it would be used.
    const struct {
        enum tile_isa isa;
        const struct tile_kernels *table;
    } all[] = {
        {TILE_AMX, f->amx_int8 ? tile_amx : NULL},
        {TILE_AVX512, f->avx512_vnni ? tile_avx512 : NULL},
        {TILE_AVX2, f->avx2 ? tile_avx2 : NULL},
        {TILE_NEON, cpu_runs_neon() ? tile_neon : NULL},
        {TILE_GENERIC, &tile_generic},
    };
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        if (!all[i].table || (isa != TILE_AUTO && isa != all[i].isa))
            continue;
        if (all[i].isa == TILE_AMX && cpu_amx_permission() < 0)
            continue;
        *out = *all[i].table;
        if (all[i].table != &tile_generic)
            tile_self_check(out);
        return 0;
    }
    return err_at(e, ERR_UNSUPPORTED, NULL, 0, "isa", "this machine does not execute %s",
                  name[isa]);
}
