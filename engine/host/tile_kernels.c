// SPDX-License-Identifier: GPL-3.0-or-later
// The choice of the tile kernels, with the same self-check as kernels.c: a kernel that this build's
// machine could not execute is compared with the generic one before its first use elsewhere.
#include <math.h>
#include <stdio.h>
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

// Two tiles of each kind and activations, with what is hardest on narrow sums: rows and tokens of
// extremes only.
struct check {
    _Alignas(64) struct tile_f32 f[2];
    _Alignas(64) struct tile_i8 q[2];
    _Alignas(64) struct tile_i4 n[2];
    _Alignas(64) float x[2][TOKENS][TILE], want[TOKENS][TILE], got[TOKENS][TILE];
    uint8_t a[2][TOKENS][TILE];
    float scale[2][TOKENS];
};

static void fill(struct check *c, int i, uint32_t *seed)
{
    for (int k = 0; k < TILE; k++)
        for (int r = 0; r < TILE; r++) {
            bool top = r % 2;
            c->f[i].w[k][r] = noise(seed);
            c->q[i].q[k / 4][r][k % 4] = (int8_t)(r > 3 ? noise(seed) * 128 : top ? 127 : -128);
            if (k < TILE / 2)
                c->n[i].q[k / 4][r][k % 4] = (uint8_t)(r > 3 ? 128 + noise(seed) * 128
                                                       : top ? 255
                                                             : 0);
            c->q[i].scale[r] = c->n[i].scale[r] = noise(seed);
        }
    for (int t = 0; t < TOKENS; t++) {
        c->scale[i][t] = noise(seed) * 0.01f;
        for (int k = 0; k < TILE; k++) {
            c->x[i][t][k] = noise(seed);
            c->a[i][t][k] = (uint8_t)(t > 1 ? 128 + noise(seed) * 127 : t ? 255 : 1);
        }
    }
}

// Runs both kernels on the same; returns the one to use and counts replacements.
static tile_fn *try(struct check *c, tile_fn *fast, tile_fn *good, struct tile_run r,
                    const char *what, int *replaced)
{
    uint32_t seed = 9;
    for (int t = 0; t < TOKENS; t++)
        for (int m = 0; m < TILE; m++)
            c->want[t][m] = c->got[t][m] = noise(&seed);
    r.tiles = 2;
    r.halves = 1;
    r.step = r.tokens = TOKENS;
    r.acc = c->want[0];
    good(&r);
    r.acc = c->got[0];
    fast(&r);
    if (r.scale ? !memcmp(c->got, c->want, sizeof c->got)
                : near(c->got[0], c->want[0], TOKENS * TILE))
        return fast;
    log_warn("tile kernel %s disagrees with the generic one and is not used", what);
    ++*replaced;
    return good;
}

int tile_self_check(struct tile_kernels *k)
{
    struct check c;
    const struct tile_kernels *g = &tile_generic;
    char what[40];
    int replaced = 0;
    uint32_t seed = 7;
    fill(&c, 0, &seed);
    fill(&c, 1, &seed);
    snprintf(what, sizeof what, "f32 of %s", k->name);
    k->f32 = try(&c, k->f32, g->f32, (struct tile_run){.w = c.f, .x = c.x}, what, &replaced);
    struct tile_run r = {.w = c.q, .x = c.a, .scale = c.scale[0]};
    snprintf(what, sizeof what, "i8 of %s", k->name);
    k->i8 = try(&c, k->i8, g->i8, r, what, &replaced);
    r.w = c.n;
    snprintf(what, sizeof what, "i4 of %s", k->name);
    for (r.bias = 0; r.bias <= 8; r.bias += 8)
        k->i4 = try(&c, k->i4, g->i4, r, what, &replaced);
    return replaced;
}

int tile_select(enum tile_isa isa, struct tile_kernels *out, struct err *e)
{
    static const char *const name[] = {"auto", "generic", "avx2", "avx512 (with VNNI)",
                                       "amx",  "neon",    "i8mm"};
    const struct cpu_features *f = cpu_features();
    // Best first. AMX needs the permission of the kernel, asked for only when it would be used.
    const struct {
        enum tile_isa isa;
        const struct tile_kernels *table;
    } all[] = {
        {TILE_AMX, f->amx_int8 ? tile_amx : NULL},
        {TILE_AVX512, f->avx512_vnni ? tile_avx512 : NULL},
        {TILE_AVX2, f->avx2 ? tile_avx2 : NULL},
        {TILE_I8MM, f->i8mm ? tile_i8mm : NULL},
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
