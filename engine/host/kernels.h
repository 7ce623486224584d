// SPDX-License-Identifier: GPL-3.0-or-later
// The kernels of a CPU: one table of functions per instruction set, all instances of one body
// (kernels_body.inc.h). A device owns a copy of its table; every fast kernel in it was compared
// against the generic one when the device was opened, and replaced by it on a mismatch.
//
// Activations are F32 rows [tokens, k]. For block-quantised weights they are quantised once per
// task into int8 rows (struct act_q8 below), so that the inner products are integer: exact within a
// block of 32, scaled and summed in F32.
//
// Invariant: the value of an output element depends on its weight row and its activation row only,
// not on its neighbours, the blocking or the number of threads.
#ifndef ENGINE_HOST_KERNELS_H
#define ENGINE_HOST_KERNELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/err.h"
#include "engine/encoding.h"

enum { Q8_BLOCK = 32 };

// One quantised activation row in memory, padded with zeros to b blocks, a multiple of 8: 32 b
// int8; b F32 scales; b F32 sums of the values of a block, which is what a weight block's minimum
// is multiplied with; the 32 b int8 again, in the order in which kernels_octet.inc.h takes them.
// value = scale * q, |q| <= 127.
static inline int act_q8_blocks(int k)
{
    return (k / Q8_BLOCK + 7) / 8 * 8;
}
static inline int64_t act_q8_bytes(int k)
{
    return (int64_t)act_q8_blocks(k) * (2 * Q8_BLOCK + 8);
}
static inline const float *act_q8_scales(const void *row, int k)
{
    return (const float *)(const void *)((const char *)row + (int64_t)act_q8_blocks(k) * Q8_BLOCK);
}
static inline const float *act_q8_sums(const void *row, int k)
{
    return act_q8_scales(row, k) + act_q8_blocks(k);
}
// Of 8 blocks: first halves of blocks 0 and 4, second halves of blocks 0 and 4; 1 and 5; ..
static inline const char *act_q8_pairs(const void *row, int k)
{
    return (const char *)row + (int64_t)act_q8_blocks(k) * (Q8_BLOCK + 8);
}

// out[t * out_pitch + r] = w[r] . x[t] for r in [0, rows), t in [0, tokens).
struct mm {
    const void *w;   // encoded weight rows
    int64_t w_pitch; // bytes
    int rows;
    const void *x;   // F32 rows, or quantised rows
    int64_t x_pitch; // bytes
    int tokens, k;
    float *out;
    int64_t out_pitch; // floats
};
typedef void mm_fn(const struct mm *a);

// Attention of one token for the query heads that share one key/value head.
struct attend {
    const float *q;     // [group, d]
    const float *k, *v; // first cache row of this head
    int64_t pitch;      // floats between cache rows
    int rows;           // cache rows that the token sees
    int group, d;
    float scale;
    float *score; // scratch [group, rows]
    float *out;   // [group, d]
};

struct cpu_kernels {
    const char *name;
    mm_fn *f32, *f16, *bf16;                            // x: F32 rows
    mm_fn *q8_0, *q4_0, *q4_1, *q5_0, *iq4_nl;          // x: quantised rows
    mm_fn *q4_k, *q5_k, *q6_k;                          // the same; k is a multiple of 256
    void (*quantise)(const float *x, int k, void *row); // k is a multiple of 32
    void (*rmsnorm)(const float *x, const float *w, float eps, int d, float *out);
    void (*attend)(const struct attend *a);
    void (*swiglu)(const float *gate, const float *up, int n, float *out);
    void (*add)(float *x, const float *y, int n);
};

enum isa { ISA_AUTO, ISA_REF, ISA_GENERIC, ISA_AVX2, ISA_AVX512, ISA_NEON, ISA_COUNT };
#define ISA_CHOICES "auto|ref|generic|avx2|avx512|neon"

// NULL where the build has none.
extern const struct cpu_kernels kernels_generic;
extern const struct cpu_kernels *const kernels_avx2, *const kernels_avx512, *const kernels_neon;

// The matmul of an encoding in a table, or NULL: one that the kernels do not know. It wants
// quantised rows if enc->unpack.
mm_fn **kernels_matmul(struct cpu_kernels *k, const struct encoding *enc);

extern const int kernels_neon_dotprod; // were the NEON tables compiled for it?

// Fills *out with the table of an instruction set (AUTO: the best that this machine executes),
// checked. An instruction set that is missing here: ERR_UNSUPPORTED. ISA_REF gives the generic one.
int kernels_select(enum isa isa, struct cpu_kernels *out, struct err *e);
// Replaces every kernel of k that disagrees with the generic one; returns how many did.
int kernels_self_check(struct cpu_kernels *k);

// What this machine executes (also asks whether the operating system saves the registers).
struct cpu_features {
    int avx2, avx512_vnni, amx_int8, amx_bf16, neon, dotprod, i8mm;
};
const struct cpu_features *cpu_features(void);
// May the NEON tables run? (Compiled for the dot-product extension, they need it.)
int cpu_runs_neon(void);
// Asks the kernel for permission to use AMX; 0 when granted. Needed once per process.
int cpu_amx_permission(void);

#endif
