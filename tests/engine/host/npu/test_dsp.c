// SPDX-License-Identifier: GPL-3.0-or-later
// The DSP's operators, compiled for this machine, against the reference operators; then the very
// same images of shared memory through the emulated DSP, which must leave the same bits.
//
// Bounds of a matmul: the rig's (F32 sums, rounding of activations to int8), and what fixed-point
// requantisation adds (products.c): per block, with W and A the powers of two above the row's and
// the token's largest scales, 2^-16 W |wq| |x| + 2^-16 A |w| |xq| + 2^-9 W A, and for minima
// 2^-16 Wm |sum of x| + 2^-16 A |m| |sum of xq| + 2^-15 Wm A.
#include "tests/engine/host/npu/dsp_native.h"

#include "engine/host/kernels.h"
#include "engine/host/npu/dsp/number.h"
#include "engine/host/npu/dsp/products.h"
#include "tests/engine/host/rig.h"

void *dsp_memory[4];
static struct machine *host;
static FILE *images, *results; // of all cases so far: what the emulator is given, what is expected

int HAP_mmap_get(int fd, void **address, uint64_t *physical)
{
    *address = dsp_memory[fd];
    *physical = 0;
    return *address ? 0 : 1;
}

int HAP_mmap_put(int fd)
{
    return fd < 0;
}

// Nobody looks at the times.
uint64_t HAP_perf_get_qtimer_count(void)
{
    return 0;
}

static void keep(FILE **f, const char *name, const void *data, size_t n)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%s", test_tmpdir(), name);
    if (!*f)
        *f = fopen(path, "wb");
    CHECK(*f && fwrite(data, 1, n, *f) == n);
}

// Runs the case here; keeps it for the emulator.
static bool run(struct dsp_case *c)
{
    struct npu_ran ran = {0};
    keep(&images, "images", &c->size, sizeof c->size);
    keep(&images, "images", c->mem, c->size);
    bool ok = CHECK_INT(dsp_run_here(c, &ran), 0) && CHECK_INT(ran.status, NPU_OK) &&
              CHECK_INT(ran.reason, NPU_RAN_IDLE) && CHECK_INT(ran.done, dsp_ring(c)->head) &&
              CHECK_INT(dsp_ring(c)->done, ran.done);
    keep(&results, "results", &ran, sizeof ran);
    keep(&results, "results", &c->size, sizeof c->size);
    keep(&results, "results", c->mem, c->size);
    return ok;
}

static double above(double v)
{
    return v > 0 ? ldexp(1, ilogb(v) + 1) : 0;
}

// What fixed point adds to the rig's bound, for weight row r of w.
static double fixed_bound(const struct tensor *w, int64_t r, const float *x)
{
    const char *row = (const char *)w->data + r * w->row_bytes;
    double most = 0, lowest = 0, token = 0, bound = 0;
    struct chunk c;
    for (int64_t b = 0; b < w->cols / 32; b++) {
        double a = 0;
        w->enc->unpack(row, b, &c);
        most = fmax(most, fmax(fabs(c.scale[0]), fabs(c.scale[1])));
        lowest = fmax(lowest, fabs(c.min));
        for (int i = 0; i < 32; i++)
            a = fmax(a, fabs(x[b * 32 + i]));
        token = fmax(token, a / 127);
    }
    const double u = above(most), um = above(lowest), ua = above(token);
    for (int64_t b = 0; b < w->cols / 32; b++) {
        double a = 0, wx = 0, wq = 0, sx = 0, sq = 0;
        w->enc->unpack(row, b, &c);
        for (int i = 0; i < 32; i++)
            a = fmax(a, fabs(x[b * 32 + i]));
        for (int i = 0; i < 32; i++) {
            double xq = a > 0 ? fabs(x[b * 32 + i]) / a * 127 + 0.5 : 0;
            wx += abs(c.q[i]) * (fabs(x[b * 32 + i]) + a / 254);
            wq += fabs(c.scale[i / 16] * c.q[i]) * xq;
            sx += fabs(x[b * 32 + i]) + a / 254;
            sq += xq;
        }
        bound += 0x1p-16 * (u * wx + ua * wq) + 0x1p-9 * u * ua;
        bound += 0x1p-16 * (um * sx + ua * fabs(c.min) * sq) + 0x1p-15 * um * ua;
    }
    return bound;
}

struct shape {
    const struct encoding *enc;
    int rows[2], k, n, n_pad;
    bool exact;
    int m0, m1, n0, n1; // slice
};

// The message of a rig's matmul, with the operands copied into the case.
static struct npu_message message_of(struct dsp_case *c, const struct rig_mm *r,
                                     const struct shape *s, uint32_t order)
{
    struct npu_message m = dsp_message(NPU_MATMUL);
    m.m = r->op.m, m.k = s->k, m.m0 = s->m0, m.m1 = s->m1;
    m.n0 = s->n0, m.n1 = s->n1, m.out_n0 = s->n0, m.n_pad = s->n_pad;
    m.order = order;
    m.n_parts = r->task.n_parts;
    m.in = dsp_tensor(c, (uint64_t)s->n, (uint64_t)s->k * 4);
    memcpy(dsp_row(c, &m.in, 0), r->in.host, (size_t)r->in.size);
    m.out = dsp_tensor(c, (uint64_t)s->n, (uint64_t)r->op.m * 4);
    for (int p = 0; p < m.n_parts; p++) {
        const struct npu_packing w = npu_packing(s->enc, r->w[p].rows, s->k, s->exact);
        dsp_weights(c, &m, p, &w, r->w[p].data, r->w[p].row_bytes);
        if (!r->task.bias[p])
            continue;
        m.bias[p] = dsp_tensor(c, 1, (uint64_t)r->w[p].rows * 4);
        memcpy(dsp_row(c, &m.bias[p], 0), r->bias[p].data, (size_t)r->w[p].rows * 4);
    }
    return m;
}

static bool compare(const struct dsp_case *c, const struct npu_message *m, const struct rig_mm *r,
                    const struct shape *s)
{
    float *row = malloc((size_t)s->k * sizeof *row);
    bool ok = true;
    for (int n = 0; n < s->n && ok; n++)
        for (int i = 0; i < m->m && ok; i++) {
            bool inside = n >= s->n0 && n < s->n1 && i >= s->m0 && i < s->m1;
            int p = i >= r->w[0].rows;
            double got = dsp_row(c, &m->out, (uint64_t)n)[i];
            double want = inside ? rig_row(&r->want, n)[i] : 0, bound = 0;
            if (inside)
                bound = rig_mm_bound(r, i, n, row);
            if (inside && r->quantised)
                bound += fixed_bound(&r->w[p], i - (p ? r->w[0].rows : 0), rig_row(&r->in, n));
            if (!(fabs(got - want) <= bound)) {
                test_note("%s m=%d k=%d [%d:%d] tokens [%d:%d]/%d order %u: out[%d][%d] = %.9g, "
                          "expected %.9g +- %.2g",
                          s->enc->name, m->m, m->k, m->m0, m->m1, m->n0, m->n1, m->n_pad, m->order,
                          n, i, got, want, bound);
                ok = CHECK(false);
            }
        }
    free(row);
    return ok;
}

static bool one_matmul(const struct shape *s, uint32_t seed)
{
    struct rig_mm r;
    struct dsp_case c;
    bool ok = true;
    rig_mm_open(&r, host, s->enc, s->rows, s->rows[1] != 0, s->k, s->n, seed);
    r.quantised &= !s->exact;
    dsp_open(&c, (uint64_t)2 << 20);
    struct npu_message m = message_of(&c, &r, s, ORDER_WEIGHT_STREAMED);
    struct npu_tensor first = m.out;
    dsp_graph(&c, &m, seed % 2);
    dsp_send(&c, &m);
    m.order = ORDER_WEIGHT_STATIONARY;
    m.out = dsp_tensor(&c, m.out.rows, m.out.pitch);
    dsp_graph(&c, &m, seed % 2);
    dsp_send(&c, &m);
    c.size = c.used;
    ok = run(&c) && compare(&c, &m, &r, s);
    // The same numbers in both orders.
    ok = ok && CHECK(!memcmp(dsp_row(&c, &first, 0), dsp_row(&c, &m.out, 0),
                             (size_t)first.rows * first.pitch));
    dsp_close(&c);
    rig_mm_close(&r);
    return ok;
}

static bool open_host(void)
{
    if (!host)
        host = rig_open("gpu = { enabled = false; }; npu = { enabled = false; };");
    return host != NULL;
}

static void test_matmul_of_every_encoding(void)
{
    static const int rows[][2] = {{1, 0}, {32, 0}, {70, 0}, {40, 50}}, ks[] = {32, 96, 256, 544};
    static const int tokens[] = {1, 3, 33, 4, 40}, pads[] = {1, 8, 33, 32, 64};
    uint32_t seed = 1;
    if (!open_host())
        return;
    for (size_t e = 0; e < encoding_registry_count; e++)
        for (int j = 0; j < 10; j++) {
            const struct encoding *enc = encoding_registry[e];
            struct shape s = {.enc = enc, .k = ks[j % 4], .n = tokens[j % 5], .n_pad = pads[j % 5]};
            s.rows[0] = rows[(j + j / 4) % 4][0], s.rows[1] = rows[(j + j / 4) % 4][1];
            if (enc->block == 1)
                s.k -= 5;
            if (enc->block == 256)
                s.k = j % 4 ? 256 : 1280;
            s.m1 = s.rows[0] + s.rows[1];
            s.n1 = s.n;
            s.exact = j == 9;
            if (!one_matmul(&s, seed++))
                return;
        }
}

static void test_matmul_of_slices(void)
{
    static const int slice[][2] = {{0, 32}, {32, 64}, {64, 90}, {0, 90}, {41, 90}, {7, 8}};
    if (!open_host())
        return;
    for (int i = 0; i < 6; i++) {
        struct shape s = {&encoding_q4_k, {40, 50}, 256, 9, 16, false, 0, 0, 2, 8};
        s.m0 = slice[i][0], s.m1 = slice[i][1];
        one_matmul(&s, 50 + (uint32_t)i);
    }
}

// Blocks of very different size in one row and one token: where fixed point has least to spare.
static void test_matmul_with_outliers(void)
{
    if (!open_host())
        return;
    for (uint32_t seed = 0; seed < 4; seed++) {
        struct rig_mm r;
        struct dsp_case c;
        const struct shape s = {&encoding_q8_0, {33, 0}, 1024, 2, 2, false, 0, 33, 0, 2};
        float *row = malloc((size_t)s.k * sizeof *row);
        rig_mm_open(&r, host, s.enc, s.rows, false, s.k, s.n, seed);
        for (int m = 0; m < 33; m++) {
            char *to = (char *)(uintptr_t)r.w[0].data + m * r.w[0].row_bytes;
            s.enc->decode(to, row, s.k);
            for (int i = 0; i < s.k; i++)
                row[i] *= i / 32 % 32 == (m + 3) % 32 ? 1000 : 1;
            s.enc->encode(row, to, s.k);
        }
        for (int n = 0; n < s.n; n++)
            for (int i = 0; i < s.k; i++)
                rig_row(&r.in, n)[i] *= i % 1000 == 77 ? 3000.0f : i == 5 ? 1e-20f : 1;
        ref_run(&(struct task){.op = &r.op,
                               .model = &r.model,
                               .graph = -1,
                               .n1 = s.n,
                               .m1 = 33,
                               .n_parts = 1,
                               .w = {&r.w[0]},
                               .in = &r.in,
                               .out = &r.want},
                row);
        dsp_open(&c, 1 << 20);
        struct npu_message m = message_of(&c, &r, &s, seed % 2);
        dsp_graph(&c, &m, false);
        dsp_send(&c, &m);
        c.size = c.used;
        if (run(&c))
            compare(&c, &m, &r, &s);
        dsp_close(&c);
        rig_mm_close(&r);
        free(row);
    }
}

// The same rows, of which only those from 32 on are in memory.
static void test_matmul_of_resident_rows(void)
{
    struct rig_mm r;
    struct dsp_case c;
    struct shape s = {&encoding_q4_0, {100, 0}, 64, 5, 8, false, 40, 90, 0, 5};
    if (!open_host())
        return;
    rig_mm_open(&r, host, s.enc, s.rows, false, s.k, s.n, 3);
    dsp_open(&c, 1 << 20);
    struct npu_message m = message_of(&c, &r, &s, 0);
    m.first[0] = 32;
    m.w[0].offset += m.w[0].pitch;
    memset(c.mem + m.w[0].offset - m.w[0].pitch, 0xee, m.w[0].pitch);
    dsp_graph(&c, &m, false);
    dsp_send(&c, &m);
    c.size = c.used;
    if (run(&c))
        compare(&c, &m, &r, &s);
    dsp_close(&c);
    rig_mm_close(&r);
}

static void near(const struct dsp_case *c, const struct npu_tensor *t, const struct buffer *want,
                 int n0, int n1, int width, double relative, const char *what)
{
    for (int n = n0; n < n1; n++)
        for (int i = 0; i < width; i++) {
            double got = dsp_row(c, t, (uint64_t)n)[i], w = rig_row(want, n)[i];
            if (!(fabs(got - w) <= relative * (fabs(w) + 0.05))) {
                test_note("%s: [%d][%d] = %.9g, expected %.9g", what, n, i, got, w);
                CHECK(false);
                return;
            }
        }
}

static struct npu_tensor copied(struct dsp_case *c, const struct buffer *b)
{
    struct npu_tensor t = dsp_tensor(c, (uint64_t)(b->size / b->pitch), (uint64_t)b->pitch);
    memcpy(c->mem + t.offset, b->host, (size_t)b->size);
    return t;
}

// Every operator that is not a matmul, on the reference's operands.
struct layer {
    struct model model;
    struct op op;
    struct task task;
    struct buffer in, in2, out, k, v;
    struct tensor w;
};

static void layer_open(struct layer *l, int n_head, int n_head_kv, int d_head, uint32_t seed)
{
    memset(l, 0, sizeof *l);
    l->model.has_data = true;
    l->model.shape = (struct model_shape){.name = "layer",
                                          .n_layer = 1,
                                          .d_model = n_head * d_head,
                                          .n_head = n_head,
                                          .n_head_kv = n_head_kv,
                                          .d_head = d_head,
                                          .d_ff = 4 * d_head,
                                          .norm_eps = 1e-5,
                                          .weight_bits = 8};
    l->model.shape.rope = (struct rope){.theta = 10000, .dim = d_head, .factor = 1};
    const int a = n_head * d_head, kv = n_head_kv * d_head;
    l->in = rig_buffer(host, 160, 2 * a, &seed);
    l->in2 = rig_buffer(host, 160, 2 * kv, &seed);
    l->out = rig_buffer(host, 160, 2 * a, &seed);
    l->k = rig_buffer(host, 160, kv, &seed);
    l->v = rig_buffer(host, 160, kv, &seed);
    l->w = rig_tensor(&encoding_f32, 1, a, 0, &seed);
    l->op.m = a;
    l->task = (struct task){.op = &l->op, .model = &l->model, .graph = -1};
    l->task.in = &l->in, l->task.in2 = &l->in2, l->task.out = &l->out;
    l->task.kcache = &l->k, l->task.vcache = &l->v;
    l->task.w[0] = &l->w;
    l->task.n_parts = 1;
}

static void layer_close(struct layer *l)
{
    host->ops->free(host, &l->in);
    host->ops->free(host, &l->in2);
    host->ops->free(host, &l->out);
    host->ops->free(host, &l->k);
    host->ops->free(host, &l->v);
    rig_tensor_free(&l->w);
}

static struct npu_message layer_message(struct dsp_case *c, const struct layer *l, enum npu_op op)
{
    const struct model_shape *s = &l->model.shape;
    struct npu_message m = dsp_message(op);
    m.m = l->op.m;
    m.n0 = m.out_n0 = l->task.n0, m.n1 = l->task.n1, m.n_past = l->task.n_past;
    m.n_head = s->n_head, m.n_head_kv = s->n_head_kv, m.d_head = s->d_head;
    m.rope_dim = s->rope.dim, m.rope_halves = s->rope.pairs != ROPE_INTERLEAVED;
    m.eps = (float)s->norm_eps;
    m.scale = (float)(1 / sqrt(s->d_head));
    m.in = copied(c, &l->in), m.in2 = copied(c, &l->in2), m.out = copied(c, &l->out);
    m.kcache = copied(c, &l->k), m.vcache = copied(c, &l->v);
    m.w[0] = dsp_tensor(c, 1, (uint64_t)l->w.row_bytes);
    memcpy(dsp_row(c, &m.w[0], 0), l->w.data, (size_t)l->w.row_bytes);
    return m;
}

static void test_operators(void)
{
    static const struct {
        enum op_kind kind;
        enum npu_op op;
        double relative;
    } all[] = {{OP_RMSNORM, NPU_RMSNORM, 1e-6},
               {OP_SWIGLU, NPU_SWIGLU, 2e-6},
               {OP_ADD, NPU_ADD, 0},
               {OP_ROPE, NPU_ROPE, 2e-7},
               {OP_ATTENTION, NPU_ATTENTION, 1e-5}};
    static const int tokens[][3] = {{0, 1, 0}, {3, 20, 0}, {0, 5, 70}, {2, 3, 129}};
    static const int heads[][3] = {{4, 2, 8}, {6, 6, 5 * 2}, {8, 1, 16}};
    if (!open_host())
        return;
    for (int i = 0; i < 60; i++) {
        struct layer l;
        struct dsp_case c;
        const int *h = heads[i % 3], *t = tokens[i / 3 % 4], what = i / 12;
        layer_open(&l, h[0], h[1], h[2], (uint32_t)i);
        l.op.kind = all[what].kind;
        l.task.n0 = t[0], l.task.n1 = t[1], l.task.n_past = t[2];
        l.model.shape.rope.pairs = i % 2 ? ROPE_INTERLEAVED : l.model.shape.rope.pairs;
        dsp_open(&c, 1 << 20);
        struct npu_message m = layer_message(&c, &l, all[what].op);
        m.angles = dsp_tensor(&c, 160, (uint64_t)m.rope_dim * 4);
        for (int p = 0; p < 160; p++)
            for (int j = 0; j < m.rope_dim / 2; j++)
                rope_angle(&l.model.shape.rope, p, j, dsp_row(&c, &m.angles, (uint64_t)p) + 2 * j,
                           dsp_row(&c, &m.angles, (uint64_t)p) + 2 * j + 1);
        dsp_send(&c, &m);
        c.size = c.used;
        float scratch[1024];
        CHECK(ref_scratch(&l.model, 160) <= 1024);
        ref_run(&l.task, scratch);
        if (run(&c)) {
            const char *name = op_kind_name(all[what].kind);
            near(&c, &m.out, &l.out, 0, 160, 2 * l.op.m, all[what].relative, name);
            near(&c, &m.kcache, &l.k, 0, 160, h[1] * h[2], all[what].relative, name);
            near(&c, &m.vcache, &l.v, 0, 160, h[1] * h[2], 0, name);
        }
        dsp_close(&c);
        layer_close(&l);
    }
}

static void test_embedding_from_tiles(void)
{
    if (!open_host())
        return;
    for (size_t e = 0; e < encoding_registry_count; e++) {
        const struct encoding *enc = encoding_registry[e];
        const int k = enc->block > 1 ? 256 : 75;
        static const int32_t ids[] = {0, 31, 32, 69, 7};
        uint32_t seed = 9;
        struct dsp_case c;
        float want[256], ones[256];
        struct tensor w = rig_tensor(enc, 70, k, 0, &seed);
        const struct npu_packing p = npu_packing(enc, 70, k, false);
        dsp_open(&c, 1 << 20);
        struct npu_message m = dsp_message(NPU_EMBED);
        m.m = k, m.n1 = 5;
        m.in = dsp_tensor(&c, 5, 4);
        memcpy(dsp_row(&c, &m.in, 0), ids, sizeof ids);
        m.out = dsp_tensor(&c, 5, (uint64_t)k * 4);
        dsp_weights(&c, &m, 0, &p, w.data, w.row_bytes);
        dsp_send(&c, &m);
        c.size = c.used;
        if (run(&c))
            for (int n = 0; n < 5; n++) {
                enc->decode((const char *)w.data + ids[n] * w.row_bytes, want, k);
                for (int i = 0; i < k; i++) {
                    double unit = 0; // 2^-16 of the row's power of two, times the integer
                    struct chunk u = {.scale = {0}};
                    for (int b = 0; enc->unpack && b < k / 32; b++) {
                        enc->unpack((const char *)w.data + ids[n] * w.row_bytes, b, &u);
                        unit = fmax(unit, above(fmax(fabs(u.scale[0]), fabs(u.scale[1]))) * 127);
                        unit = fmax(unit, above(fabs(u.min)));
                    }
                    ones[i] = (float)(unit * 0x1p-15 + fabs(want[i]) * 0x1p-22);
                    CHECK_NEAR(dsp_row(&c, &m.out, (uint64_t)n)[i], want[i], ones[i]);
                }
            }
        dsp_close(&c);
        rig_tensor_free(&w);
    }
}

static uint32_t random_bits(uint32_t *seed)
{
    rig_noise(seed);
    const uint32_t high = *seed >> 16;
    rig_noise(seed);
    return high << 16 | *seed >> 16;
}

// Values at which rounding has least to spare: products with the inverse in the middle between two
// integers, and up to three last bits beside it.
static void near_middles(float *x, uint32_t *seed)
{
    const float top =
        number_of((random_bits(seed) & 0x7fffff) | (100 + random_bits(seed) % 50) << 23);
    for (int i = 0; i < 32; i++) {
        const float middle = (float)(random_bits(seed) % 127) + 0.5f;
        const uint32_t bits = number_bits(middle / (127 / top)) + random_bits(seed) % 7 - 3;
        x[i] = i && number_of(bits) < top ? number_of(bits | (random_bits(seed) & 1) << 31) : top;
    }
}

// The integers are those of the CPU's kernels, made of floats' bits as they are here of floats.
static void test_same_integers_as_the_cpu(void)
{
    enum { BLOCKS = 70, K = BLOCKS * 32 };
    static float x[K], finite_x[K];
    static struct npu_block got[BLOCKS];
    _Alignas(64) static char row[4 * K];
    struct cpu_kernels cpu;
    struct err e = {0};
    if (!CHECK_OK(kernels_select(ISA_GENERIC, &cpu, &e), &e))
        return;
    CHECK(act_q8_bytes(K) <= (int64_t)sizeof row);
    int differ = 0;
    for (uint32_t round = 0, seed = 1; round < 300; round++) {
        const int blocks = 1 + (int)(random_bits(&seed) % BLOCKS);
        for (int i = 0; i < 32 * blocks; i++)
            if (round % 3 == 0) // any exponent; infinite or no number, once in a while
                x[i] = number_of(random_bits(&seed));
            else if (round % 3 == 1)
                x[i] = number_of((random_bits(&seed) & 0x807fffff) | (115 + i % 13) << 23);
            else if (i % 32 == 0)
                near_middles(x + i, &seed);
        for (int i = 0; i < 32 * blocks; i++) // the CPU has no integers for what is no number
            finite_x[i] = isfinite(x[i]) ? x[i] : 0;
        cpu.quantise(finite_x, 32 * blocks, row);
        const float unit = npu_quantise(x, blocks, got);
        for (int b = 0; b < blocks; b++) {
            bool finite = true;
            int sum[2] = {0, 0};
            for (int i = 0; i < 32; i++) {
                finite = finite && isfinite(x[32 * b + i]);
                sum[i / 16] += got[b].q[i];
            }
            const float scale = finite ? act_q8_scales(row, 32 * blocks)[b] : 0;
            const double q15 = scale > 0 ? fmin(floor(scale * 0x1p15 / unit + 0.5), 32767) : 0;
            for (int i = 0; i < 32; i++)
                differ += got[b].q[i] != (finite ? row[32 * b + i] : 0);
            differ += got[b].scale != (int32_t)q15 * 65536 || got[b].start[0] != -128 * sum[0] ||
                      got[b].start[1] != -128 * sum[1] ||
                      got[b].sum != (sum[0] + sum[1]) * (int32_t)q15;
        }
    }
    CHECK_INT(differ, 0);
}

// Quantisation is the CPU kernels': equal integers and scales, so sums that fixed point holds
// exactly are equal to the CPU's to the bit.
static void test_same_rounding_as_the_cpu(void)
{
    struct cpu_kernels cpu;
    struct err e = {0};
    if (!open_host() || !CHECK_OK(kernels_select(ISA_GENERIC, &cpu, &e), &e))
        return;
    for (uint32_t seed = 0; seed < 20; seed++) {
        struct rig_mm r;
        struct dsp_case c;
        const struct shape s = {&encoding_q8_0, {32, 0}, 32, 1, 1, false, 0, 32, 0, 1};
        float want[32];
        _Alignas(64) char row[1024];
        float most = 0;
        rig_mm_open(&r, host, s.enc, s.rows, false, s.k, s.n, seed);
        const float *x = rig_row(&r.in, 0);
        CHECK(act_q8_bytes(32) <= (int64_t)sizeof row);
        cpu.quantise(x, 32, row);
        for (int k = 0; k < 32; k++)
            most = fmaxf(most, fabsf(x[k]));
        // A scale that Q15 holds: 15 bits of fraction.
        const double scale = *act_q8_scales(row, 32), unit = above(scale) * 0x1p-15;
        const double kept = floor(scale / unit + 0.5) * unit;
        dsp_open(&c, 1 << 20);
        struct npu_message m = message_of(&c, &r, &s, 0);
        dsp_graph(&c, &m, false);
        dsp_send(&c, &m);
        c.size = c.used;
        if (run(&c))
            for (int i = 0; i < 32; i++) {
                struct chunk w;
                int sum = 0;
                s.enc->unpack((const char *)r.w[0].data + i * r.w[0].row_bytes, 0, &w);
                for (int k = 0; k < 32; k++)
                    sum += w.q[k] * (int)nearbyintf(x[k] * (127 / most));
                want[i] = (float)(sum * (double)w.scale[0] * kept);
                const double step = above(w.scale[0]) * above(scale) * 0x1p-9;
                CHECK_NEAR(dsp_row(&c, &m.out, 0)[i], want[i], step + fabs(want[i]) * 1e-6);
            }
        dsp_close(&c);
        rig_mm_close(&r);
    }
}

// What the emulator counted, taken out of the memory that is compared.
static uint64_t packets_of(struct dsp_case *c)
{
    const uint64_t packets = dsp_ring(c)->packets;
    dsp_ring(c)->packets = 0;
    return packets;
}

// All cases of the tests above: the emulated DSP leaves the bits that this machine left.
static void test_emulator_leaves_the_same_bits(void)
{
    char command[2048];
    const char *dir = test_tmpdir();
    int n = 0;
    uint64_t packets = 0;
    if (images)
        fclose(images);
    if (results)
        fclose(results);
    images = results = NULL;
    if (!dsp_emulator_there()) {
        test_skip("no emulated DSP: make deps-hexagon hexagon");
        return;
    }
    snprintf(command, sizeof command, "%s %s <%s/images", DSP_QEMU, DSP_RUNNER, dir);
    FILE *emulator = popen(command, "r");
    snprintf(command, sizeof command, "%s/results", dir);
    FILE *want = fopen(command, "rb");
    if (!CHECK(emulator && want))
        return;
    struct npu_ran ran;
    struct dsp_case a = {0}, b = {0};
    while (fread(&ran, sizeof ran, 1, want) == 1 && fread(&a.size, sizeof a.size, 1, want) == 1) {
        struct dsp_result r;
        a.mem = malloc(a.size), b.mem = malloc(a.size);
        bool ok = CHECK(fread(a.mem, 1, a.size, want) == a.size) &&
                  CHECK(fread(&r, sizeof r, 1, emulator) == 1) &&
                  CHECK(fread(b.mem, 1, a.size, emulator) == a.size);
        if (ok) {
            packets += packets_of(&b);
            ok = CHECK(!memcmp(&r.ran, &ran, sizeof ran)) && CHECK(!memcmp(a.mem, b.mem, a.size));
            if (!ok)
                for (uint64_t i = 0; i < a.size; i++)
                    if (a.mem[i] != b.mem[i]) {
                        test_note("case %d differs from byte %llu of %llu on; operator %u", n,
                                  (unsigned long long)i, (unsigned long long)a.size,
                                  dsp_slot(&a, dsp_ring(&a)->head)->op);
                        break;
                    }
        }
        n += ok;
        dsp_close(&a);
        dsp_close(&b);
        if (!ok)
            break;
    }
    CHECK_INT(pclose(emulator), 0);
    fclose(want);
    CHECK(n > 100 && packets > 0);
    test_note("%d cases, %.1f million packets", n, (double)packets / 1e6);
}

static void test_closes(void)
{
    if (host)
        host->ops->close(host);
}

TESTS(engine_host_npu_dsp, T(test_matmul_of_every_encoding), T(test_matmul_of_slices),
      T(test_matmul_with_outliers), T(test_matmul_of_resident_rows), T(test_operators),
      T(test_embedding_from_tiles), T(test_same_integers_as_the_cpu),
      T(test_same_rounding_as_the_cpu), T(test_emulator_leaves_the_same_bits), T(test_closes))
