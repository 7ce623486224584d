// SPDX-License-Identifier: GPL-3.0-or-later
// The operators of the OpenCL device against the reference: every operator and encoding over odd
// shapes, with shared and with copied buffers, on one lane and on several (the shape of a real
// GPU).
//
// Skipped where no OpenCL device is installed.
#include "tests/engine/host/opencl_rig.h"

#include <assert.h>

static const struct encoding *const encodings[] = {
    &encoding_f32,  &encoding_f16,  &encoding_bf16, &encoding_q8_0,
    &encoding_q4_0, &encoding_q4_1, &encoding_q5_0, &encoding_iq4_nl,
    &encoding_q4_k, &encoding_q5_k, &encoding_q6_k,
};
enum { ENCODINGS = sizeof encodings / sizeof *encodings };

static void matmul_all(const char *options)
{
    static const int tokens[] = {1, 2, 3, 31, 32, 33, 49, 97};
    static const int columns[] = {32, 96, 288, 544, 7, 33, 300};
    struct device *d = open_device(options);
    if (!d)
        return;
    for (int i = 0; i < ENCODINGS; i++)
        for (int j = 0; j < (encodings[i]->block == 1 ? 7 : encodings[i]->block == 32 ? 4 : 2); j++)
            for (int n = 0; n < 8; n++) {
                int k = columns[j], at = i + j + n;
                if (encodings[i]->block > 32)
                    k = (int)encodings[i]->block * (1 + 2 * j);
                if (at % 3 == 0)
                    matmul_case(d, encodings[i], k, 37, 0, 0, 37, tokens[n], at % 2, false);
                else if (at % 3 == 1) // a slice inside, not on a tile's edge
                    matmul_case(d, encodings[i], k, 50, 0, 5, 42, tokens[n], at % 2, false);
                else // a slice that straddles two stacked weights
                    matmul_case(d, encodings[i], k, 21, 40, 11, 50, tokens[n], at % 2, false);
            }
    matmul_case(d, &encoding_q8_0, 64, 99, 0, 3, 99, 1, false, true); // logits: output row 0
    matmul_case(d, &encoding_f32, 5, 1, 1, 1, 2, 2, true, false);
    matmul_case(d, &encoding_f32, 64, 200, 100, 190, 300, 4, true, false);
    d->ops->close(d);
}
static void test_matmul(void)
{
    matmul_all(configs[0]);
}
static void test_matmul_copied(void)
{
    matmul_all(configs[1]);
}
static void test_matmul_lanes(void)
{
    matmul_all(configs[2]);
}
static void test_matmul_lanes_copied(void)
{
    matmul_all(configs[3]);
}

// Products of bytes: against the reference on activations that are multiples of 1/64 with a peak of
// 127/64 in every block of 32, which the quantisation keeps as they are.
static void test_matmul_int8(void)
{
    static const char *const how[] = {INT8, INT8, INT8 "lanes = 1;"};
    static const int tokens[] = {1, 2, 7, 49, 97};
    for (int c = 0; c < 3; c++) {
        struct device *d = open_device(how[c]);
        if (!d)
            return;
        CHECK_INT(d->caps.activation_bits[ACTIVATION_PLAIN], 32);
        CHECK_INT(d->caps.activation_bits[ACTIVATION_MANY], 8);
        CHECK_INT(d->caps.activation_bits[ACTIVATION_ONE], 8);
        coarse = true;
        for (int i = 3; i < ENCODINGS; i++)
            for (int n = 0; n < 5; n++) {
                int k = (int)encodings[i]->block * (1 + 2 * (n % 3));
                matmul_case(d, encodings[i], k, 37, 0, 0, 37, tokens[n], n % 2, false);
                matmul_case(d, encodings[i], k, 21, 40, 11, 50, tokens[n], n % 2, false);
            }
        coarse = false;
        d->ops->close(d);
    }
}

// An encoding without a kernel: decoded to F32 when loaded.
static void halves_decode(const void *src, float *dst, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        dst[i] = (float)((const int8_t *)src)[i] / 2;
}
static void halves_encode(const float *src, void *dst, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        ((int8_t *)dst)[i] = (int8_t)lrintf(src[i] * 2);
}
static void test_other_encoding(void)
{
    static const struct encoding halves = {
        .name = "HALVES", .block = 1, .bytes = 1, .decode = halves_decode, .encode = halves_encode};
    for (int c = 0; c < CONFIGS; c++) {
        struct device *d = open_device(configs[c]);
        if (!d)
            return;
        matmul_case(d, &halves, 40, 20, 30, 7, 45, 5, true, false);
        matmul_case(d, &halves, 41, 20, 30, 25, 45, 1, true, false);
        d->ops->close(d);
    }
}

static void rows_cases(struct device *d, int width, int tokens)
{
    struct model model = {
        .shape = {.norm_eps = 1e-5, .d_model = width, .d_ff = width, .weight_bits = 8}};
    struct op norm = {.kind = OP_RMSNORM, .name = "norm", .m = width, .k = width};
    struct op add = {.kind = OP_ADD, .name = "add", .m = width, .k = width};
    struct op swiglu = {.kind = OP_SWIGLU, .name = "swiglu", .m = width, .k = 2 * width};
    next_id = 0;
    struct tensor w = tensor_new(&encoding_f32, 1, width, 0);
    struct task t = {.op = &norm,
                     .model = &model,
                     .m1 = width,
                     .n0 = tokens / 2,
                     .n1 = tokens,
                     .out_n0 = tokens / 2,
                     .graph = -1,
                     .n_parts = 1,
                     .w = {&w}};
    struct twin in = twin_new(d, tokens, 2 * width, 0), out = twin_new(d, tokens, width, 3);
    run(d, t, &in, NULL, &out, NULL, NULL);
    CHECK_NEAR(difference(d, &out), 0, 5e-6);
    t.n_parts = 0;
    t.op = &add;
    run(d, t, &in, NULL, &out, NULL, NULL);
    CHECK_NEAR(difference(d, &out), 0, 5e-6); // what rmsnorm left, plus one exact addition
    t.op = &swiglu;
    run(d, t, &in, NULL, &out, NULL, NULL);
    CHECK_NEAR(difference(d, &out), 0, 5e-6);
    twin_free(d, &in);
    twin_free(d, &out);
    tensor_free(&w, 0);
}

static void test_rows(void)
{
    static const int widths[] = {1, 7, 8, 64, 100, 1023, 1024, 1033, 2100};
    for (int c = 0; c < CONFIGS; c++) {
        struct device *d = open_device(configs[c]);
        if (!d)
            return;
        for (int i = 0; i < 9; i++)
            for (int n = 1; n <= 4; n += 3)
                rows_cases(d, widths[i], n);
        d->ops->close(d);
    }
}

static void test_embed(void)
{
    for (int c = 0; c < CONFIGS; c++) {
        struct device *d = open_device(configs[c]);
        if (!d)
            return;
        for (int i = 0; i < ENCODINGS; i++) {
            int block = (int)encodings[i]->block;
            int width = block == 1 ? 43 : 1280 / block * block - block, rows = 300,
                n = i == 2 ? 1 : 3;
            struct model model = {.shape = {.d_model = width, .weight_bits = 8}};
            struct op op = {.kind = OP_EMBED, .name = "embed", .m = width, .k = 1};
            next_id = 0;
            struct tensor w = tensor_new(encodings[i], rows, width, 0);
            struct task t = {.op = &op,
                             .model = &model,
                             .m1 = width,
                             .n1 = n,
                             .graph = -1,
                             .n_parts = 1,
                             .w = {&w}};
            struct twin in = twin_new(d, n, 1, 0), out = twin_new(d, n, width, 0);
            for (int j = 0; j < n; j++)
                ((int32_t *)in.dev.host)[j] = ((int32_t *)in.ref.host)[j] = (299 + j * 151) % 300;
            run(d, t, &in, NULL, &out, NULL, NULL);
            CHECK_NEAR(difference(d, &out), 0, 0);
            twin_free(d, &in);
            twin_free(d, &out);
            tensor_free(&w, 0);
        }
        d->ops->close(d);
    }
}

// rope, then attention over what it appended.
static void heads_case(struct device *d, int n_head, int n_kv, int d_head, int dim, int n_past,
                       int n0, int n, enum rope_pairs pairs, enum rope_scaling scaling)
{
    struct model model = {.shape = {.n_head = n_head,
                                    .n_head_kv = n_kv,
                                    .d_head = d_head,
                                    .rope = {.pairs = pairs,
                                             .scaling = scaling,
                                             .dim = dim,
                                             .theta = 10000,
                                             .factor = 4,
                                             .low_freq = 1,
                                             .high_freq = 4,
                                             .original_ctx = 64,
                                             .beta_fast = 32,
                                             .beta_slow = 1,
                                             .attn_factor = 1}}};
    int a = n_head * d_head, kv = n_kv * d_head, ctx = n_past + n0 + n + 2;
    struct op rope = {.kind = OP_ROPE, .name = "rope", .m = a, .k = a};
    struct op attn = {.kind = OP_ATTENTION, .name = "attn", .m = a, .k = a};
    struct task t = {.op = &rope,
                     .model = &model,
                     .m1 = a,
                     .n0 = n0,
                     .n1 = n0 + n,
                     .out_n0 = n0,
                     .n_past = n_past,
                     .graph = -1};
    struct twin q = twin_new(d, n0 + n, a, 0), in2 = twin_new(d, n0 + n, 2 * kv, 1);
    struct twin kc = twin_new(d, ctx, kv, 0), vc = twin_new(d, ctx, kv, 0);
    struct twin out = twin_new(d, n0 + n, a, 2);
    run(d, t, &q, &in2, &q, &kc, &vc);
    CHECK_NEAR(difference(d, &q), 0, 1e-6);
    CHECK_NEAR(difference(d, &kc), 0, 1e-6);
    CHECK_NEAR(difference(d, &vc), 0, 0);
    t.op = &attn;
    run(d, t, &q, NULL, &out, &kc, &vc);
    if (!CHECK_NEAR(difference(d, &out), 0, 4e-6))
        test_note("heads %d/%d of %d, past %d, tokens [%d, +%d)", n_head, n_kv, d_head, n_past, n0,
                  n);
    struct twin *all[] = {&q, &in2, &kc, &vc, &out};
    for (int i = 0; i < 5; i++)
        twin_free(d, all[i]);
}

static void test_heads(void)
{
    for (int c = 0; c < CONFIGS; c++) {
        struct device *d = open_device(configs[c]);
        if (!d)
            return;
        heads_case(d, 2, 1, 16, 16, 0, 0, 1, ROPE_INTERLEAVED, ROPE_NONE);
        heads_case(d, 2, 2, 8, 8, 0, 0, 5, ROPE_HALVES, ROPE_LINEAR);
        heads_case(d, 6, 2, 12, 8, 3, 1, 4, ROPE_HALVES, ROPE_LLAMA3);
        heads_case(d, 4, 1, 6, 4, 70, 0, 2, ROPE_INTERLEAVED, ROPE_YARN);
        heads_case(d, 9, 3, 64, 64, 63, 0, 3, ROPE_INTERLEAVED, ROPE_NONE);
        heads_case(d, 8, 4, 128, 128, 127, 2, 33, ROPE_HALVES, ROPE_NONE);
        heads_case(d, 2, 1, 256, 256, 600, 0, 2, ROPE_HALVES, ROPE_NONE);
        heads_case(d, 22, 2, 20, 20, 90, 0, 2, ROPE_HALVES, ROPE_NONE); // 8 and 3 heads at a time
        d->ops->close(d);
    }
}

// Halves, which this test's device need not have: floats stand in for them, on the same path.
static void test_halves(void)
{
    static const char *const how[] = {"", "lanes = 32;"};
    for (int c = 0; c < 2; c++) {
        char options[256];
        snprintf(options, sizeof options,
                 FLOAT "precision = \"fp16\"; kernel_options = \"-DHALF_IS_FLOAT=1\"; %s", how[c]);
        struct device *d = open_device(options);
        if (!d)
            return;
        CHECK_INT(d->caps.activation_bits[ACTIVATION_PLAIN], 16);
        CHECK_INT(d->caps.activation_bits[ACTIVATION_ONE], 16);
        for (int n = 1; n < 50; n += 16) {
            matmul_case(d, &encoding_q4_0, 96, 37, 0, 3, 37, n, true, false);
            matmul_case(d, &encoding_f16, 75, 37, 0, 3, 37, n, false, false);
            matmul_case(d, &encoding_q6_k, 256, 21, 40, 11, 50, n, true, false);
        }
        d->ops->close(d);
    }
}

// Products of the encodings in every way: the bits are those of the first way. offset: of the
// weights from an aligned address.
static void same_bits(const char *const *how, int ways, const struct encoding *const *enc,
                      int n_enc, const char *const *products, int n_products, int k, int offset)
{
    enum { K = 512, M = 45, N = 21 };
    assert(k <= K);
    for (int p = 0; p < n_products; p++)
        for (int j = 0; j < n_enc; j++) {
            static float first[2][N * M];
            next_id = 0;
            struct tensor w = tensor_new(enc[j], M, k, offset);
            float x[K];
            for (int i = 0; i < k; i++)
                x[i] = value();
            for (int c = 0; c < ways; c++) {
                char options[300];
                snprintf(options, sizeof options, "%s %s", products[p], how[c]);
                struct device *d = open_device(options);
                if (!d) {
                    tensor_free(&w, offset);
                    return;
                }
                struct twin in = twin_new(d, N, k, 0), out = twin_new(d, N, M, 0);
                for (int i = 0; i < N * k; i++)
                    ((float *)in.dev.host)[i] = x[i % k] + (float)(i / k);
                memcpy(in.ref.host, in.dev.host, (size_t)in.dev.size);
                struct model model = {.shape = {.weight_bits = 8}};
                struct op op = {.kind = OP_MATMUL, .name = "product", .m = M, .k = k};
                for (int n = 1, at = 0; n <= N; n += N - 1, at++) {
                    struct task t = {.op = &op,
                                     .model = &model,
                                     .m1 = M,
                                     .n1 = n,
                                     .graph = -1,
                                     .n_parts = 1,
                                     .w = {&w}};
                    run(d, t, &in, NULL, &out, NULL, NULL);
                    map_all(d, &out, MAP_TO_HOST);
                    if (!c)
                        memcpy(first[at], out.dev.host, (size_t)n * M * 4);
                    else if (!CHECK(!memcmp(first[at], out.dev.host, (size_t)n * M * 4)))
                        test_note("%s, %s, n = %d", options, enc[j]->name, n);
                }
                twin_free(d, &in);
                twin_free(d, &out);
                d->ops->close(d);
            }
            tensor_free(&w, offset);
        }
}

// Whatever the tiles, the bits are the same.
static void test_tiles(void)
{
    static const char *const how[] = {
        "",
        "gemm_tile = [8, 4, 32, 1, 4, 1, 1]; gemv_tile = [5, 3];",
        "gemm_tile = [32, 6, 64, 2, 3, 1, 0]; gemv_tile = [64, 8];",
        "lanes = 1; gemm_tile = [16, 16, 96, 2, 2, 16, 1];",
    };
    static const struct encoding *const enc[] = {&encoding_q4_0, &encoding_q8_0, &encoding_f16};
    static const char *const products[] = {FLOAT, INT8};
    same_bits(how, 4, enc, 3, products, 2, 320, 0);
}

// Weights as images give the bits of weights as buffers: in place and copied, in several images,
// with the texels that a real GPU's lanes read, and where rows start in the middle of a texel.
// Every encoding means some fifty programs: a minute where the driver has none of them in its cache
// (PARTITA_IMAGES=every, make test-long).
static void test_images(void)
{
    static const char *const how[] = {
        "weights = \"buffer\";",
        "weights = \"image\";",
        "weights = \"image\"; max_image = \"3 KiB\"; memory = \"copy\";",
    };
    static const char *const lanes[] = {
        "lanes = 32; weights = \"buffer\";",
        "lanes = 32; weights = \"image\";",
        "lanes = 32; weights = \"image\"; kernel_options = \"-DLOAD_HALF=1\";",
    };
    static const char *const products[] = {FLOAT, INT8};
    static const struct encoding *const few[] = {&encoding_q4_0, &encoding_q6_k, &encoding_f16};
    const char *which = getenv("PARTITA_IMAGES");
    if (which && !strcmp(which, "every")) {
        same_bits(how, 2, encodings, ENCODINGS, products, 2, 512, 0);
        same_bits(how, 3, encodings + 3, 3, products, 1, 352, 4);
        same_bits(how, 3, encodings, 3, products, 1, 33, 4);
        same_bits(lanes, 3, few, 1, products, 2, 96, 4);
        return;
    }
    test_note("every encoding: PARTITA_IMAGES=every");
    same_bits(how, 2, few, 2, products, 1, 512, 0);
    same_bits(how, 3, few, 1, products + 1, 1, 352, 4);
    same_bits(how, 3, few + 2, 1, products, 1, 33, 4); // rows of F16 start anywhere
    same_bits(lanes, 3, few, 1, products, 1, 96, 4);
}

// An image that must be and cannot: clear errors.
static void test_image_limits(void)
{
    struct device *d = open_device(FLOAT "weights = \"image\"; max_image = \"64 B\";");
    if (!d)
        return;
    struct err e = {0};
    next_id = 0;
    struct tensor w = tensor_new(&encoding_f32, 4, 32, 0);
    CHECK_INT(d->ops->load(d, &w, 0, 4, &e), ERR_MEMORY);
    CHECK_HAS(e.msg, "one row of 128 bytes; the largest allocation or image is 64");
    tensor_free(&w, 0);
    d->ops->close(d);
    // Free to choose, what is too large is a buffer.
    d = open_device(FLOAT "weights = \"auto\"; lanes = 8; max_image = \"64 B\";");
    if (d)
        matmul_case(d, &encoding_q8_0, 64, 37, 0, 3, 37, 3, true, false);
    if (d)
        d->ops->close(d);
}

TESTS(engine_host_opencl, T(test_matmul), T(test_matmul_copied), T(test_matmul_lanes),
      T(test_matmul_lanes_copied), T(test_matmul_int8), T(test_halves), T(test_tiles),
      T(test_images), T(test_image_limits), T(test_other_encoding), T(test_rows), T(test_embed),
      T(test_heads))
