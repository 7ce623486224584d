// SPDX-License-Identifier: GPL-3.0-or-later
// The reference operators against cases small enough to compute by hand, and against loops written
// here from the definitions. Everything else in the project is tested against these operators.
#include "tests/harness.h"

#include <string.h>
#include "base/rng.h"
#include "engine/graph.h"
#include "engine/ref.h"

static float scratch[4096];

// A buffer over an array of rows.
#define BUFFER(array, width)                                                                       \
    (struct buffer)                                                                                \
    {                                                                                              \
        .host = (array), .size = sizeof(array), .pitch = (int64_t)(width)*4                        \
    }
#define TENSOR(array, r, c)                                                                        \
    (struct tensor)                                                                                \
    {                                                                                              \
        .enc = &encoding_f32, .rows = (r), .cols = (c), .row_bytes = (c)*4, .data = (array)        \
    }

static void check_row(const float *got, const float *want, int n, double tol)
{
    for (int i = 0; i < n; i++)
        CHECK_NEAR(got[i], want[i], tol);
}

static void test_embed(void)
{
    float table[] = {1, 2, 3, 4, 5, 6}, out[6] = {0};
    int32_t id[] = {2, 0, 1};
    struct tensor w = TENSOR(table, 3, 2);
    struct op op = {.kind = OP_EMBED, .m = 2, .k = 1};
    struct buffer in = BUFFER(id, 1), x = BUFFER(out, 2);
    struct task t = {.op = &op, .w = {&w}, .n_parts = 1, .m1 = 2, .n1 = 3, .in = &in, .out = &x};
    ref_run(&t, scratch);
    const float want[] = {5, 6, 1, 2, 3, 4};
    check_row(out, want, 6, 0);
    memset(out, 0, sizeof out);
    t.n0 = 1, t.n1 = 2; // one token only
    ref_run(&t, scratch);
    const float one[] = {0, 0, 1, 2, 0, 0};
    check_row(out, one, 6, 0);
}

static void test_rmsnorm(void)
{
    float x[] = {3, 4, 0, 0, 1, -1}, w[] = {1, 10}, y[6] = {0};
    struct model m = {.shape = {.norm_eps = 0}};
    struct tensor wt = TENSOR(w, 1, 2);
    struct op op = {.kind = OP_RMSNORM, .m = 2, .k = 2};
    struct buffer in = BUFFER(x, 2), out = BUFFER(y, 2);
    struct task t = {
        .op = &op, .model = &m, .w = {&wt}, .n_parts = 1, .m1 = 2, .n1 = 1, .in = &in, .out = &out};
    ref_run(&t, scratch);
    const double rms = sqrt(12.5); // of 3 and 4
    CHECK_NEAR(y[0], 3 / rms, 1e-6);
    CHECK_NEAR(y[1], 40 / rms, 1e-5);
    CHECK_NEAR(y[2] + y[3] + y[4] + y[5], 0, 0);
    m.shape.norm_eps = 1; // rms of zeroes is 1 then, of 1 and -1 sqrt 2
    t.n0 = 1, t.n1 = 3;
    ref_run(&t, scratch);
    CHECK_NEAR(y[2], 0, 0);
    CHECK_NEAR(y[4], 1 / sqrt(2), 1e-6);
    CHECK_NEAR(y[5], -10 / sqrt(2), 1e-5);
}

// Two stacked parts of 2 and 1 rows with biases, 3 columns.
static void test_matmul(void)
{
    float a[] = {1, 0, 2, 0, 1, 0}, b[] = {1, 1, 1}, ba[] = {10, 20}, bb[] = {30};
    float x[] = {1, 2, 3, 4, 5, 6}, y[6];
    struct tensor wa = TENSOR(a, 2, 3), wb = TENSOR(b, 1, 3);
    struct tensor ta = TENSOR(ba, 1, 2), tb = TENSOR(bb, 1, 1);
    struct op op = {.kind = OP_MATMUL, .m = 3, .k = 3};
    struct buffer in = BUFFER(x, 3), out = BUFFER(y, 3);
    const struct task whole = {
        .op = &op, .w = {&wa, &wb}, .n_parts = 2, .m1 = 3, .n1 = 2, .in = &in, .out = &out};
    struct task t = whole;
    memset(y, 0, sizeof y);
    ref_run(&t, scratch);
    const float plain[] = {7, 2, 6, 16, 5, 15};
    check_row(y, plain, 6, 0);
    t.bias[0] = &ta, t.bias[1] = &tb;
    ref_run(&t, scratch);
    const float biased[] = {17, 22, 36, 26, 25, 45};
    check_row(y, biased, 6, 0);
    t.bias[0] = NULL; // one part without
    ref_run(&t, scratch);
    const float half[] = {7, 2, 36, 16, 5, 45};
    check_row(y, half, 6, 0);
    // A slice across the parts, of the second token: the rest stays.
    memset(y, 0, sizeof y);
    t = whole;
    t.m0 = 1, t.n0 = 1, t.out_n0 = 1;
    ref_run(&t, scratch);
    const float slice[] = {0, 0, 0, 0, 5, 15};
    check_row(y, slice, 6, 0);
    // The last token of a step into row 0, as for the logits.
    memset(y, 0, sizeof y);
    t = whole;
    t.n0 = 1, t.out_n0 = 0;
    ref_run(&t, scratch);
    const float last[] = {16, 5, 15, 0, 0, 0};
    check_row(y, last, 6, 0);
    // A graph's padding and the operand order change nothing.
    t = whole;
    t.n_pad = 16, t.order = ORDER_WEIGHT_STATIONARY;
    ref_run(&t, scratch);
    check_row(y, plain, 6, 0);
}

// Every encoding: what counts is the decoded row.
static void test_matmul_decodes_each_encoding(void)
{
    struct rng *r = rng_create(1, "ref");
    for (size_t i = 0; i < encoding_registry_count; i++) {
        const struct encoding *enc = encoding_registry[i];
        enum { M = 3, K = 512 }; // two blocks of the widest
        float w[M][K], x[K], y[M], decoded[K];
        _Alignas(8) char data[M * K * 4];
        for (int j = 0; j < M * K; j++)
            w[j / K][j % K] = (float)rng_normal(r);
        for (int j = 0; j < K; j++)
            x[j] = (float)rng_normal(r);
        struct tensor t = {.enc = enc, .rows = M, .cols = K, .data = data};
        t.row_bytes = encoding_size(enc, K);
        for (int m = 0; m < M; m++)
            enc->encode(w[m], data + m * t.row_bytes, K);
        struct op op = {.kind = OP_MATMUL, .m = M, .k = K};
        struct buffer in = BUFFER(x, K), out = BUFFER(y, M);
        struct task task = {
            .op = &op, .w = {&t}, .n_parts = 1, .m1 = M, .n1 = 1, .in = &in, .out = &out};
        ref_run(&task, scratch);
        for (int m = 0; m < M; m++) {
            double sum = 0;
            enc->decode(data + m * t.row_bytes, decoded, K);
            for (int k = 0; k < K; k++)
                sum += (double)decoded[k] * x[k];
            CHECK_NEAR(y[m], sum, 1e-4);
        }
    }
    rng_destroy(r);
}

static void angle(const struct rope *r, int pos, int i, double want, double scale)
{
    float c, s;
    rope_angle(r, pos, i, &c, &s);
    CHECK_NEAR(c, cos(want) * scale, 1e-6);
    CHECK_NEAR(s, sin(want) * scale, 1e-6);
}

static void test_rope_angles(void)
{
    struct rope r = {.dim = 4, .theta = 10000, .factor = 1};
    for (int i = 0; i < 2; i++)
        angle(&r, 0, i, 0, 1); // nothing turns at the start
    angle(&r, 1, 0, 1, 1);
    angle(&r, 7, 0, 7, 1);
    angle(&r, 7, 1, 0.07, 1); // 10000^(-2/4) = 1/100
    const float factors[] = {1, 4};
    r.factors = factors;
    angle(&r, 8, 0, 8, 1);
    angle(&r, 8, 1, 0.02, 1);
    r.factors = NULL;
    r.scaling = ROPE_LINEAR; // position interpolation
    r.factor = 2;
    angle(&r, 8, 0, 4, 1);
    angle(&r, 8, 1, 0.04, 1);
}

// Llama 3.1's values: three regimes by wavelength against 8192/4 and 8192/1.
static void test_rope_llama3(void)
{
    const struct rope r = {.scaling = ROPE_LLAMA3,
                           .dim = 128,
                           .theta = 500000,
                           .factor = 8,
                           .low_freq = 1,
                           .high_freq = 4,
                           .original_ctx = 8192};
    int regime[3] = {0, 0, 0};
    angle(&r, 100, 0, 100, 1); // one turn in 6 tokens: unchanged
    angle(&r, 1000000, 63, 1e6 * pow(500000, -126.0 / 128) / 8, 1); // far too slow: divided
    // Pair 32: f = 1/sqrt(500000), wavelength 4442.88, smooth (8192/4442.88 - 1)/3 = 0.281282.
    angle(&r, 1000, 32, 0.5248462, 1);
    for (int i = 0; i < 64; i++) {
        double f = pow(500000, -i / 64.0), wave = 2 * M_PI / f, want;
        double smooth = (8192 / wave - 1) / (4 - 1);
        if (wave < 8192.0 / 4)
            want = f, regime[0]++;
        else if (wave > 8192)
            want = f / 8, regime[1]++;
        else
            want = (1 - smooth) * f / 8 + smooth * f, regime[2]++;
        angle(&r, 50, i, 50 * want, 1);
    }
    CHECK(regime[0] > 10 && regime[1] > 10 && regime[2] > 3);
}

// YaRN (arXiv 2309.00071), eq. 17 to 23: ramp over the number of turns within the original context.
static void test_rope_yarn(void)
{
    const struct rope r = {.scaling = ROPE_YARN,
                           .dim = 64,
                           .theta = 10000,
                           .factor = 4,
                           .beta_fast = 32,
                           .beta_slow = 1,
                           .attn_factor = 1,
                           .original_ctx = 2048};
    const double scale = 1 + 0.1 * log(4);
    // Dimension at which a pair turns `beta` times: d ln(L / (2 pi beta)) / (2 ln base).
    double low = floor(64 * log(2048 / (32 * 2 * M_PI)) / (2 * log(10000)));
    double high = ceil(64 * log(2048 / (1 * 2 * M_PI)) / (2 * log(10000)));
    CHECK_NEAR(low, 8, 0);
    CHECK_NEAR(high, 21, 0);
    for (int i = 0; i < 32; i++) {
        double f = pow(10000, -i / 32.0), ramp = (i - low) / (high - low);
        ramp = ramp < 0 ? 0 : ramp > 1 ? 1 : ramp;
        angle(&r, 30, i, 30 * (f * (1 - ramp) + f / 4 * ramp), scale);
    }
    angle(&r, 30, 0, 30, scale);                               // fast: unchanged
    angle(&r, 30, 31, 30 * pow(10000, -31.0 / 32) / 4, scale); // slow: interpolated
    struct rope louder = r;
    louder.attn_factor = 0.5;
    angle(&louder, 30, 0, 30, scale / 2);
}

// Two query heads over one key head of width 4, of which 2 or all 4 values turn.
static void rotate_case(enum rope_pairs pairs, int dim)
{
    float q[2][8], kv[2][8], kc[5][4] = {{0}}, vc[5][4] = {{0}}, before[2][8];
    struct model m = {.shape = {.n_head = 2,
                                .n_head_kv = 1,
                                .d_head = 4,
                                .rope = {.pairs = pairs, .dim = dim, .theta = 100, .factor = 1}}};
    struct op op = {.kind = OP_ROPE, .m = 8, .k = 8};
    struct buffer bq = BUFFER(q, 8), bkv = BUFFER(kv, 8), bk = BUFFER(kc, 4), bv = BUFFER(vc, 4);
    struct task t = {.op = &op,
                     .model = &m,
                     .m1 = 8,
                     .n1 = 2,
                     .n_past = 2,
                     .in = &bq,
                     .in2 = &bkv,
                     .out = &bq,
                     .kcache = &bk,
                     .vcache = &bv};
    for (int n = 0; n < 2; n++)
        for (int i = 0; i < 8; i++) {
            q[n][i] = before[n][i] = (float)(8 * n + i + 1);
            kv[n][i] = (float)(100 + 8 * n + i);
        }
    ref_run(&t, scratch);
    for (int n = 0; n < 2; n++)
        for (int head = 0; head < 3; head++) { // two of q, then k in the cache
            const float *in = head < 2 ? &before[n][4 * head] : kv[n];
            const float *out = head < 2 ? &q[n][4 * head] : kc[2 + n];
            float want[4] = {in[0], in[1], in[2], in[3]};
            for (int i = 0; i < dim / 2; i++) {
                int a = pairs == ROPE_INTERLEAVED ? 2 * i : i;
                int b = pairs == ROPE_INTERLEAVED ? 2 * i + 1 : i + dim / 2;
                double turn = (2 + n) * pow(100, -2.0 * i / dim);
                want[a] = (float)(in[a] * cos(turn) - in[b] * sin(turn));
                want[b] = (float)(in[a] * sin(turn) + in[b] * cos(turn));
            }
            check_row(out, want, 4, 2e-4);
        }
    for (int n = 0; n < 2; n++)
        check_row(vc[2 + n], &kv[n][4], 4, 0);                              // values do not turn
    CHECK_NEAR(kc[0][0] + kc[1][0] + kc[4][0] + vc[0][0] + vc[4][0], 0, 0); // other rows untouched
}

static void test_rope_rotates_and_appends(void)
{
    rotate_case(ROPE_INTERLEAVED, 4);
    rotate_case(ROPE_HALVES, 4);
    rotate_case(ROPE_INTERLEAVED, 2);
    rotate_case(ROPE_HALVES, 2);
}

// Position 0 is the identity, to the bit.
static void test_rope_at_the_start(void)
{
    float q[4] = {1, 2, 3, 4}, kv[8] = {5, 6, 7, 8, 9, 10, 11, 12}, kc[4], vc[4];
    const float want[4] = {1, 2, 3, 4};
    struct model m = {.shape = {.n_head = 1,
                                .n_head_kv = 1,
                                .d_head = 4,
                                .rope = {.dim = 4, .theta = 10000, .factor = 1}}};
    struct op op = {.kind = OP_ROPE, .m = 4, .k = 4};
    struct buffer bq = BUFFER(q, 4), bkv = BUFFER(kv, 8), bk = BUFFER(kc, 4), bv = BUFFER(vc, 4);
    struct task t = {.op = &op,
                     .model = &m,
                     .m1 = 4,
                     .n1 = 1,
                     .in = &bq,
                     .in2 = &bkv,
                     .out = &bq,
                     .kcache = &bk,
                     .vcache = &bv};
    ref_run(&t, scratch);
    check_row(q, want, 4, 0);
    check_row(kc, kv, 4, 0);
    check_row(vc, kv + 4, 4, 0);
}

enum { HEADS = 4, KV_HEADS = 2, D = 4, CACHE = 9, NEW = 3, PAST = 5 };

// The definition: weights e^(q.k / sqrt d) over the rows that the token sees, normalised.
static double attended(const float *q, float kc[CACHE][KV_HEADS * D], float vc[CACHE][KV_HEADS * D],
                       int rows, int head, int i)
{
    int kv = head / (HEADS / KV_HEADS);
    double sum = 0, out = 0;
    for (int j = 0; j < rows; j++) {
        double dot = 0;
        for (int d = 0; d < D; d++)
            dot += (double)q[head * D + d] * kc[j][kv * D + d];
        double w = exp(dot / sqrt(D));
        sum += w;
        out += w * vc[j][kv * D + i];
    }
    return out / sum;
}

static void test_attention(void)
{
    float q[NEW][HEADS * D], kc[CACHE][KV_HEADS * D], vc[CACHE][KV_HEADS * D];
    float out[NEW][HEADS * D] = {{0}}, first[NEW][HEADS * D];
    struct rng *r = rng_create(2, "attention");
    struct model m = {.shape = {.n_head = HEADS, .n_head_kv = KV_HEADS, .d_head = D}};
    struct op op = {.kind = OP_ATTENTION, .m = HEADS * D, .k = HEADS * D};
    struct buffer bq = BUFFER(q, HEADS * D), bo = BUFFER(out, HEADS * D);
    struct buffer bk = BUFFER(kc, KV_HEADS * D), bv = BUFFER(vc, KV_HEADS * D);
    struct task t = {.op = &op,
                     .model = &m,
                     .m1 = HEADS * D,
                     .n1 = NEW,
                     .n_past = PAST,
                     .in = &bq,
                     .out = &bo,
                     .kcache = &bk,
                     .vcache = &bv};
    for (int i = 0; i < NEW * HEADS * D; i++)
        q[i / (HEADS * D)][i % (HEADS * D)] = (float)rng_normal(r);
    for (int j = 0; j < CACHE; j++)
        for (int i = 0; i < KV_HEADS * D; i++)
            kc[j][i] = (float)rng_normal(r), vc[j][i] = (float)rng_normal(r);
    ref_run(&t, scratch);
    for (int n = 0; n < NEW; n++)
        for (int h = 0; h < HEADS; h++)
            for (int i = 0; i < D; i++)
                CHECK_NEAR(out[n][h * D + i], attended(q[n], kc, vc, PAST + n + 1, h, i), 1e-5);
    // The future is not seen: token n does not change when later rows do.
    memcpy(first, out, sizeof out);
    for (int i = 0; i < KV_HEADS * D; i++)
        kc[PAST + 1][i] = vc[PAST + 1][i] = 1e3f;
    ref_run(&t, scratch);
    check_row(out[0], first[0], HEADS * D, 0);
    CHECK(memcmp(out[1], first[1], sizeof out[1]) != 0);
    // Large scores do not overflow: one row takes it all.
    for (int i = 0; i < HEADS * D; i++)
        q[0][i] = 1;
    for (int i = 0; i < KV_HEADS * D; i++)
        kc[2][i] = 1e4f;
    ref_run(&t, scratch);
    for (int h = 0; h < HEADS; h++)
        check_row(&out[0][h * D], &vc[2][h / 2 * D], D, 0);
    rng_destroy(r);
}

// Equal keys: the mean of the values; one row: that row.
static void test_attention_by_hand(void)
{
    float q[] = {5, -3}, kc[] = {1, 1, 1, 1, 1, 1}, vc[] = {1, 10, 2, 20, 6, 60}, out[2];
    struct model m = {.shape = {.n_head = 1, .n_head_kv = 1, .d_head = 2}};
    struct op op = {.kind = OP_ATTENTION, .m = 2, .k = 2};
    struct buffer bq = BUFFER(q, 2), bo = BUFFER(out, 2), bk = BUFFER(kc, 2), bv = BUFFER(vc, 2);
    struct task t = {.op = &op,
                     .model = &m,
                     .m1 = 2,
                     .n1 = 1,
                     .in = &bq,
                     .out = &bo,
                     .kcache = &bk,
                     .vcache = &bv};
    ref_run(&t, scratch);
    CHECK_NEAR(out[0], 1, 0);
    t.n_past = 2;
    ref_run(&t, scratch);
    CHECK_NEAR(out[0], 3, 1e-6);
    CHECK_NEAR(out[1], 30, 1e-5);
}

static void test_swiglu_and_add(void)
{
    float x[] = {0, 1, -2, 7, 3, 4, 0, 0, 0, 1, 1, 1}, y[6] = {9, 9, 9, 9, 9, 9};
    struct op op = {.kind = OP_SWIGLU, .m = 3, .k = 6};
    struct buffer in = BUFFER(x, 6), out = BUFFER(y, 3);
    struct task t = {.op = &op, .m1 = 3, .n1 = 1, .in = &in, .out = &out};
    ref_run(&t, scratch);
    CHECK_NEAR(y[0], 0, 0);                        // silu(0) * 7
    CHECK_NEAR(y[1], 3 / (1 + exp(-1)), 1e-6);     // silu(1) * 3
    CHECK_NEAR(y[2], 4 * -2 / (1 + exp(2)), 1e-6); // silu(-2) * 4
    CHECK_NEAR(y[3] + y[4] + y[5], 27, 0);         // the second token was not asked for
    float a[] = {1, 2, 3, 4}, b[] = {10, 20, 30, 40};
    struct op add = {.kind = OP_ADD, .m = 2, .k = 2};
    struct buffer ba = BUFFER(a, 2), bb = BUFFER(b, 2);
    struct task u = {.op = &add, .m1 = 2, .n0 = 1, .n1 = 2, .in = &ba, .out = &bb};
    ref_run(&u, scratch);
    const float want[] = {10, 20, 33, 44};
    check_row(b, want, 4, 0);
}

static void test_scratch_is_enough_for_everything(void)
{
    struct model m = {.shape = {.d_model = 10, .d_ff = 30, .n_head = 5, .d_head = 8}};
    CHECK_INT(ref_scratch(&m, 7), 40); // the widest row of a weight
    m.shape.d_ff = 50;
    CHECK_INT(ref_scratch(&m, 7), 50);
    CHECK_INT(ref_scratch(&m, 70), 70); // scores of attention
    m.shape.d_model = 80;
    CHECK_INT(ref_scratch(&m, 70), 80);
}

TESTS(engine_ref, T(test_embed), T(test_rmsnorm), T(test_matmul),
      T(test_matmul_decodes_each_encoding), T(test_rope_angles), T(test_rope_llama3),
      T(test_rope_yarn), T(test_rope_rotates_and_appends), T(test_rope_at_the_start),
      T(test_attention), T(test_attention_by_hand), T(test_swiglu_and_add),
      T(test_scratch_is_enough_for_everything))
