// SPDX-License-Identifier: GPL-3.0-or-later
// Models: random weights for shapes, so that a machine can be measured with a model of 8 billion
// weights that nobody has to download.
//
// The one idea: encoding 8e9 random floats one by one takes a minute, copying takes seconds. Per
// tensor, a pool of random pieces is encoded once with the encoding's own reference encoder, and
// the tensor is filled with copies of pieces that the generator draws. It works for any encoding,
// and no machine computes faster because a piece occurs again somewhere. (llama3-8b in Q4_0,
// 4.5 GB: 0.7 s of computing; the rest is the kernel handing out pages.)
//
// Values are uniform with standard deviation 1 / sqrt(K), so that a matrix keeps the variance of
// what it multiplies and activations stay finite through any number of layers. Each tensor has its
// own stream, seeded by the run's seed and the tensor's name, so the weights do not depend on the
// order in which tensors are filled.
//
// Invariant: same shape, encoding and seed give the same bytes on every machine: integer arithmetic
// and IEEE +, *, sqrt only.
#include "engine/model_build.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include "base/digest.h"
#include "engine/gguf.h"

enum {
    POOL = 512,         // pieces per tensor, at most
    PIECE_VALUES = 256, // at least; a whole number of blocks
    ALIGNMENT = 64,     // of every tensor: a cache line, and what vector kernels ask for
};

struct generated {
    void *base;
    size_t size;
};

// SplitMix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, OOPSLA 2014).
static uint64_t draw(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

// Uniform in [-limit, limit), from 24 random bits: exact in float before the multiplication.
static float draw_float(uint64_t *state, float limit)
{
    return ((float)(draw(state) >> 40) * 0x1p-23f - 1.0f) * limit;
}

static int64_t piece_values(const struct encoding *enc)
{
    return (PIECE_VALUES + enc->block - 1) / enc->block * enc->block;
}

static void fill_matrix(const struct tensor *t, unsigned char *dst, uint64_t *state,
                        unsigned char *pool, float *values)
{
    int64_t n = piece_values(t->enc), piece = encoding_size(t->enc, n);
    // Rows are contiguous, and the end of a row may cut a piece: go through them as one run.
    int64_t left = t->rows * t->row_bytes;
    uint64_t pieces = (uint64_t)((left + piece - 1) / piece), of = pieces < POOL ? pieces : POOL;
    float limit = sqrtf(3.0f / (float)t->cols); // uniform of that limit has variance 1 / K
    for (uint64_t i = 0; i < of; i++) {
        for (int64_t j = 0; j < n; j++)
            values[j] = draw_float(state, limit);
        t->enc->encode(values, pool + (int64_t)i * piece, n);
    }
    for (; left > 0; dst += piece, left -= piece) {
        const unsigned char *from = pool + (int64_t)(draw(state) % of) * piece;
        memcpy(dst, from, (size_t)(left < piece ? left : piece));
    }
}

void tensor_generate(const struct tensor *t, uint64_t seed, void *dst)
{
    struct arena scratch;
    uint64_t state = digest_u64(digest_str(DIGEST_INIT, t->name), seed);
    arena_init(&scratch);
    int64_t n = piece_values(t->enc);
    fill_matrix(t, dst, &state, arena_array(&scratch, POOL, (size_t)encoding_size(t->enc, n)),
                ARENA_NEWS(&scratch, (size_t)n, float));
    arena_fini(&scratch);
}

static void fill_vector(const struct tensor *t, float *dst, uint64_t *state)
{
    bool bias = strstr(t->name, ".bias") != NULL;
    for (int64_t i = 0; i < t->cols; i++)
        dst[i] = bias ? draw_float(state, 0.1f) : 1.0f;
}

static int64_t padded(int64_t size)
{
    return (size + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

static int check(const struct model *m, const struct encoding *enc, int64_t *total, struct err *e)
{
    if (m->gguf)
        return err_at(e, ERR_USAGE, m->gguf->path, 0, NULL, "the model has its weights already");
    for (int i = 0; i < m->n_tensors; i++) {
        const struct tensor *t = m->tensors[i];
        bool matrix = t->rows > 1;
        if (matrix && t->cols % enc->block)
            return err_at(e, ERR_UNSUPPORTED, NULL, 0, t->name,
                          "rows of %" PRId64 " values are no whole %s blocks of %u", t->cols,
                          enc->name, (unsigned)enc->block);
        *total += padded(t->rows * encoding_size(matrix ? enc : &encoding_f32, t->cols));
    }
    // An overcommitting kernel would grant it and kill somebody later.
    int64_t memory = (int64_t)sysconf(_SC_PHYS_PAGES) * sysconf(_SC_PAGESIZE);
    if (*total > memory)
        return err_at(e, ERR_MEMORY, NULL, 0, m->shape.name,
                      "the weights take %" PRId64 " MiB, the machine has %" PRId64 " MiB",
                      *total >> 20, memory >> 20);
    return 0;
}

int model_generate(struct model *m, const struct encoding *enc, uint64_t seed, struct err *e)
{
    int64_t total = 0;
    int rc = check(m, enc, &total, e);
    if (rc < 0)
        return rc;
    void *base =
        mmap(NULL, (size_t)total, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (base == MAP_FAILED)
        return err_at(e, ERR_MEMORY, NULL, 0, m->shape.name,
                      "no memory for %" PRId64 " MiB of weights: %s", total >> 20, strerror(errno));
    madvise(base, (size_t)total, MADV_HUGEPAGE); // only a hint
    model_discard_generated(m);

    unsigned char *at = base;
    for (int i = 0; i < m->n_tensors; i++) {
        struct tensor *t = m->tensors[i];
        t->data = at;
        if (t->rows > 1) {
            t->enc = enc;
            t->row_bytes = encoding_size(enc, t->cols);
            tensor_generate(t, seed, at);
        } else {
            uint64_t state = digest_u64(digest_str(DIGEST_INIT, t->name), seed);
            fill_vector(t, (float *)(void *)at, &state);
        }
        at += padded(t->rows * t->row_bytes);
    }
    assert(at == (unsigned char *)base + total);

    struct generated *g = ARENA_NEW(&m->arena, struct generated);
    *g = (struct generated){base, (size_t)total};
    m->generated = g;
    m->has_data = true;
    model_finish(m);
    return 0;
}

void model_discard_generated(struct model *m)
{
    struct generated *g = m->generated;
    if (!g)
        return;
    munmap(g->base, g->size);
    m->generated = NULL;
}
