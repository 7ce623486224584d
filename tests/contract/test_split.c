// SPDX-License-Identifier: GPL-3.0-or-later
// Two devices write disjoint slices of one output buffer while the host waits, thousands of times,
// and every element is right at the moment at which its ticket is reported complete.
//
// A matmul: one operator of a random model (every encoding) is cut at random rows and tokens, the
// pieces go to a random pair of devices in random order, and the host joins them one by one under a
// random scheme, in random order between the devices. After each join it copies the piece at once,
// while the other device is still writing its neighbours: what is published too early is caught in
// the copy, what is written too late or in the wrong place is caught by comparing the whole buffer
// with the copies in the end. Cuts need not respect cache lines, and rows are no multiple of one.
//
// A layer: all operators of a step cut like that, run by the executor under a random scheme.
//
// The expected value of an element and its tolerance are computed in double precision from the
// decoded weights. Two sums of K products of F32 numbers in different orders, each with weights
// that were decoded in a few roundings, differ by at most (K + 16) 2^-24 |x|_1 max|w|. A device
// that takes activations in 8 bits rounds each of them by at most max|x| / 254, so that its sum
// moves by at most |w|_1 max|x| / 254; 16 bits: by 2^-8 of every product (bfloat16).
//
// PARTITA_SPLITS: how many of each (default 300). PARTITA_SPLIT_SEED: the first one's seed.
#include "tests/contract/rig.h"

#include <stdio.h>
#include "engine/executor.h"

enum { MODELS = 32, MAX_PIECES = 24, SCHEMES = 32 };

// ---- models, and their weights as numbers ----

struct subject {
    struct model *model;
    struct rig rig;
    struct {
        float *w;          // [m][k], decoded
        double *sum, *max; // [m]: sum and maximum of |w| over a row
        float *bias;       // [m]
    } op[GRAPH_MAX_OPS];
};

struct scheme {
    const struct sync_ops *ops;
    const void *options;
    char spec[48];
};

struct bed {
    struct machine *m;
    struct machine_desc desc;
    struct rng *rng;
    struct arena arena;
    struct subject subject[MODELS];
    int n_subjects;
    struct scheme scheme[SCHEMES];
    int n_schemes;
};

static int below(struct bed *b, int n)
{
    return (int)rng_below(b->rng, (uint64_t)n);
}

static void decode(struct subject *s)
{
    struct graph g;
    graph_build(s->model, 1, 0, &g);
    for (int i = 0; i < g.n_ops; i++) {
        const struct op *op = &g.op[i];
        struct task t;
        if (op->kind != OP_MATMUL)
            continue;
        graph_task(&g, i, 0, &t);
        s->op[i].w = calloc((size_t)op->m * (size_t)op->k, sizeof(float));
        s->op[i].sum = calloc((size_t)op->m, sizeof(double));
        s->op[i].max = calloc((size_t)op->m, sizeof(double));
        s->op[i].bias = calloc((size_t)op->m, sizeof(float));
        for (int p = 0, row = 0; p < t.n_parts; p++) {
            const struct tensor *w = t.w[p];
            if (t.bias[p])
                t.bias[p]->enc->decode(t.bias[p]->data, s->op[i].bias + row, t.bias[p]->cols);
            for (int64_t r = 0; r < w->rows; r++, row++)
                w->enc->decode((const char *)w->data + r * w->row_bytes,
                               s->op[i].w + (int64_t)row * op->k, w->cols);
        }
        for (int r = 0; r < op->m; r++)
            for (int k = 0; k < op->k; k++) {
                double v = fabs((double)s->op[i].w[(int64_t)r * op->k + k]);
                s->op[i].sum[r] += v;
                s->op[i].max[r] = fmax(s->op[i].max[r], v);
            }
    }
}

static void subject_open(struct bed *b, struct model *model)
{
    struct subject *s = &b->subject[b->n_subjects];
    s->model = model;
    if (!model || !rig_open(&s->rig, b->m, model))
        return;
    b->n_subjects++;
    decode(s);
    rig_fill(&s->rig); // draws the pool of contents, once, whatever the seed of the first case
    rng_destroy(s->rig.rng);
    s->rig.rng = NULL;
}

static void subject_close(struct subject *s)
{
    for (int i = 0; i < GRAPH_MAX_OPS; i++) {
        free(s->op[i].w);
        free(s->op[i].sum);
        free(s->op[i].max);
        free(s->op[i].bias);
    }
    rig_close(&s->rig);
    model_close(s->model);
}

// Every scheme of the registry that the machine offers; those with a row `ask` also with a small
// one, so that the driver is asked in the middle of polling.
static void find_schemes(struct bed *b)
{
    for (size_t i = 0; i < sync_registry_count; i++)
        for (int variant = 0; variant < 2; variant++) {
            struct scheme *s = &b->scheme[b->n_schemes];
            struct err e = {0};
            bool has = !variant;
            for (size_t r = 0; variant && r < sync_registry[i]->n_rows; r++)
                has |= !strcmp(sync_registry[i]->rows[r].name, "ask");
            snprintf(s->spec, sizeof s->spec, "%s%s", sync_registry[i]->name,
                     variant ? ":ask=7" : "");
            if (has && b->n_schemes < SCHEMES &&
                CHECK_OK(sync_parse(s->spec, &b->arena, &s->ops, &s->options, &e), &e) &&
                s->ops->offered(&b->desc, s->options, &e) == 0)
                b->n_schemes++;
        }
    CHECK(b->n_schemes >= 1);
}

static bool open_bed(struct bed *b, struct machine *m)
{
    *b = (struct bed){.m = m};
    if (!m)
        return false;
    machine_describe(m, &b->desc);
    b->rng = rng_create(0, "split");
    for (size_t i = 0; i < encoding_registry_count; i++)
        subject_open(b, rig_model(encoding_registry[i]));
    subject_open(b, rig_mixed_model());
    find_schemes(b);
    return CHECK(b->n_subjects == (int)encoding_registry_count + 1) && b->n_schemes >= 1;
}

static void close_bed(struct bed *b)
{
    if (!b->m)
        return;
    for (int i = 0; i < b->n_subjects; i++)
        subject_close(&b->subject[i]);
    rng_destroy(b->rng);
    arena_fini(&b->arena);
    machines_close(b->m);
}

// Two different devices, or the same one twice where there is no other.
static void pick_pair(struct bed *b, int *pair)
{
    pair[0] = below(b, b->m->n_devices);
    do
        pair[1] = below(b, b->m->n_devices);
    while (b->m->n_devices > 1 && pair[1] == pair[0]);
}

// ---- random cuts ----

struct pieces {
    int n;
    struct shard s[MAX_PIECES];
};

// The device's part in a piece: the padding and the operand order that it is computed with.
static bool dress(struct bed *b, const struct op *op, int device, struct shard *h)
{
    const struct device_caps *c = &b->desc.device[device];
    h->device = device;
    h->n_pad = 0;
    h->order = ORDER_WEIGHT_STREAMED;
    if (op->kind != OP_MATMUL || !c->static_graphs)
        return device_can(c, op->kind);
    h->n_pad = device_size_for(c, h->n1 - h->n0);
    if (h->n_pad && h->n_pad < c->size[c->n_sizes - 1] && below(b, 4) == 0)
        h->n_pad = device_size_for(c, h->n_pad + 1); // a larger graph does it too
    for (int o = 0; o < ORDER_COUNT; o++)
        if (c->orders >> o & 1 && below(b, 2))
            h->order = (enum operand_order)o;
    return h->n_pad > 0;
}

// Cuts until chance or room ends it. Rows are cut at the grid that both devices can do.
static void cut(struct bed *b, const struct op *op, const int *pair, struct shard h, int depth,
                struct pieces *out)
{
    int ta = b->desc.device[pair[0]].tile, tb = b->desc.device[pair[1]].tile;
    int grid = ta > tb ? ta : tb, parts = (h.m1 - h.m0 + grid - 1) / grid;
    bool rows = op->kind == OP_MATMUL && parts > 1, tokens = h.n1 - h.n0 > 1;
    if ((rows || tokens) && depth < 4 && below(b, depth ? 3 : 8)) {
        struct shard x = h, y = h;
        if (rows && (!tokens || below(b, 2)))
            x.m1 = y.m0 = h.m0 + grid * (1 + below(b, parts - 1));
        else
            x.n1 = y.n0 = h.n0 + 1 + below(b, h.n1 - h.n0 - 1);
        cut(b, op, pair, x, depth + 1, out);
        cut(b, op, pair, y, depth + 1, out);
        return;
    }
    int first = below(b, 2);
    if (!dress(b, op, pair[first], &h) && !dress(b, op, pair[!first], &h)) {
        CHECK(false); // both refuse 40 tokens
        return;
    }
    out->s[out->n++] = h;
}

// The same random contents here and there.
static void fill(struct bed *b, struct subject *s)
{
    s->rig.rng = b->rng;
    rig_fill(&s->rig);
    s->rig.rng = NULL;
}

static void shuffle(struct bed *b, struct pieces *p)
{
    for (int i = p->n - 1; i > 0; i--) {
        int j = below(b, i + 1);
        struct shard s = p->s[i];
        p->s[i] = p->s[j];
        p->s[j] = s;
    }
}

// ---- one matmul ----

// What the element should be, and how far a device that takes activations in `bits` may be off.
static double element(const struct subject *s, const struct op *op, const float *x, int m, int bits,
                      double *tolerance)
{
    const float *w = s->op[op->index].w + (int64_t)m * op->k;
    double sum = s->op[op->index].bias[m], l1 = 0, most = 0;
    for (int k = 0; k < op->k; k++) {
        double a = fabs((double)x[k]);
        sum += (double)x[k] * (double)w[k];
        l1 += a;
        most = a > most ? a : most;
    }
    double product = l1 * s->op[op->index].max[m];
    *tolerance = ldexp((op->k + 16) * product + fabs(sum), -24);
    if (bits == 8)
        *tolerance += s->op[op->index].sum[m] * most / 254 * 1.01;
    else if (bits == 16)
        *tolerance += ldexp(product, -8);
    return sum;
}

static int bits_of(const struct device_caps *c, const struct task *t, const struct shard *h)
{
    bool quantised = false;
    for (int p = 0; p < t->n_parts; p++)
        quantised |= t->w[p]->enc->block > 1;
    return c->activation_bits[!quantised           ? ACTIVATION_PLAIN
                              : h->n1 - h->n0 == 1 ? ACTIVATION_ONE
                                                   : ACTIVATION_MANY];
}

// The piece as it is in the output buffer now.
static void take(const struct task *t, float *got, bool back, bool *same)
{
    const struct buffer *out = t->out;
    int width = (int)(out->pitch / 4);
    for (int r = 0; r < t->n1 - t->n0; r++) {
        float *there = (float *)out->host + (int64_t)(t->out_n0 + r) * width + t->m0;
        float *mine = got + (int64_t)(t->out_n0 + r) * width + t->m0;
        size_t size = (size_t)(t->m1 - t->m0) * 4;
        if (back)
            *same &= !memcmp(mine, there, size);
        else
            memcpy(mine, there, size);
    }
}

static int map_rect(struct bed *b, int device, struct buffer *buf, int row0, int row1, int col0,
                    int col1, enum map_dir dir)
{
    struct device *d = b->m->device[device];
    struct err e = {0};
    return CHECK_OK(d->ops->map(d, buf, row0, row1, (int64_t)col0 * 4, (int64_t)col1 * 4, dir, &e),
                    &e)
               ? 0
               : -1;
}

// The number of elements that are off.
static int compare(const struct bed *b, struct subject *s, const struct task *whole,
                   const struct pieces *p, const float *got)
{
    const struct op *op = whole->op;
    const float *in = s->rig.here[op->in].host;
    int wrong = 0, width = (int)(s->rig.here[op->out].pitch / 4);
    for (int i = 0; i < p->n; i++) {
        const struct shard *h = &p->s[i];
        int bits = bits_of(&b->desc.device[h->device], whole, h);
        for (int n = h->n0; n < h->n1; n++)
            for (int m = h->m0; m < h->m1; m++) {
                double tolerance,
                    want = element(s, op, in + (int64_t)n * op->k, m, bits, &tolerance);
                float has = got[(int64_t)(op->last_only ? 0 : n) * width + m];
                if (fabs(has - want) <= tolerance)
                    continue;
                if (!wrong++)
                    test_note("%s: token %d, row %d: %.7g, expected %.7g +- %.2g",
                              b->desc.device[h->device].name, n, m, (double)has, want, tolerance);
            }
    }
    return wrong;
}

static bool split_matmul(struct bed *b)
{
    struct subject *s = &b->subject[below(b, b->n_subjects)];
    const struct scheme *sync = &b->scheme[below(b, b->n_schemes)];
    struct rig *r = &s->rig;
    struct graph g;
    struct task whole, task[MAX_PIECES];
    struct pieces p = {0};
    struct ticket ticket[MAX_PIECES];
    struct err e = {0};
    int pair[2], done[2] = {0, 0}, op, n = below(b, 3) ? 1 + below(b, RIG_TOKENS) : 1;
    graph_build(s->model, n, 0, &g);
    do
        op = below(b, g.n_ops);
    while (g.op[op].kind != OP_MATMUL);
    graph_task(&g, op, 0, &whole);
    pick_pair(b, pair);
    cut(b, &g.op[op], pair, (struct shard){.m1 = g.op[op].m, .n0 = whole.n0, .n1 = whole.n1}, 0,
        &p);
    shuffle(b, &p);
    fill(b, s);
    rig_bind(r->there, &whole);
    for (int i = 0; i < p.n; i++) {
        const struct shard *h = &p.s[i];
        task[i] = whole;
        task[i].m0 = h->m0, task[i].m1 = h->m1, task[i].n0 = h->n0, task[i].n1 = h->n1;
        task[i].out_n0 = g.op[op].last_only ? 0 : h->n0;
        task[i].n_pad = h->n_pad;
        task[i].order = h->order;
        struct device *d = b->m->device[h->device];
        if (!CHECK_OK(d->ops->supports(d, &task[i], &e), &e) || !rig_ready(d, &task[i]))
            return false;
    }
    for (int i = 0; i < 2; i++) // where a device has memory of its own
        if (map_rect(b, pair[i], whole.in, 0, n, 0, g.op[op].k, MAP_TO_DEVICE) < 0)
            return false;
    for (int i = 0; i < p.n; i++) {
        struct device *d = b->m->device[p.s[i].device];
        int64_t now = b->m->ops->now(b->m);
        ticket[i] = (struct ticket){.device = p.s[i].device,
                                    .due = below(b, 2) ? now + below(b, 200) * PS_PER_US : 0};
        if (!CHECK_OK(d->ops->submit(d, &task[i], &ticket[i].seq, &e), &e))
            return false;
    }
    float *got = calloc(1, (size_t)whole.out->size);
    bool ok = true;
    for (int joined = 0;
         ok && joined < p.n;) { // in the order of each queue, any order between them
        int side = below(b, 2);
        while (done[side] < p.n && p.s[done[side]].device != pair[side])
            done[side]++;
        if (done[side] == p.n)
            continue;
        int i = done[side]++;
        joined++;
        ok = CHECK_OK(sync->ops->join(b->m, sync->options, &ticket[i], 1, &e), &e);
        if (ok && !b->m->device[pair[side]]->caps.coherent)
            ok = map_rect(b, pair[side], whole.out, task[i].out_n0,
                          task[i].out_n0 + task[i].n1 - task[i].n0, task[i].m0, task[i].m1,
                          MAP_TO_HOST) == 0;
        take(&task[i], got, false, &ok);
    }
    bool same = true;
    for (int i = 0; i < p.n; i++)
        take(&task[i], got, true, &same);
    ok &= CHECK(same); // nothing came after the report
    ok &= CHECK_INT(compare(b, s, &whole, &p, got), 0);
    // Nothing was written outside: the rest is as it was filled.
    for (int row = 0; row < rig_rows(g.op[op].out); row++) {
        int64_t at = row * r->here[g.op[op].out].pitch;
        bool mine = g.op[op].last_only ? row == 0 : row < n;
        if (!mine)
            ok &= CHECK(!memcmp((char *)r->here[g.op[op].out].host + at,
                                (char *)whole.out->host + at, (size_t)r->here[g.op[op].out].pitch));
    }
    if (!ok) {
        test_note("%s, %s, %s, %d tokens, scheme %s", b->m->name, g.op[op].name,
                  s->model->layers->q.enc->name, n, sync->spec);
        for (int i = 0; i < p.n; i++) {
            char label[TASK_LABEL];
            task_label(&task[i], label);
            test_note("    %s %s order %d", b->desc.device[p.s[i].device].name, label,
                      (int)task[i].order);
        }
    }
    free(got);
    return ok;
}

// ---- one layer ----

static bool split_layer(struct bed *b)
{
    struct subject *s = &b->subject[below(b, b->n_subjects)];
    const struct scheme *sync = &b->scheme[below(b, b->n_schemes)];
    const struct model_shape *shape = &s->model->shape;
    int pair[2], n = 1 + below(b, RIG_TOKENS), last = below(b, 3) + 1;
    struct executor *x = NULL;
    struct program *prog = NULL;
    struct graph g;
    struct plan plan;
    struct err e = {0};
    bool ok = true;
    graph_build(s->model, n, 0, &g);
    plan_init(&plan, "random", n);
    pick_pair(b, pair);
    int cuts = n > 1 ? 1 + below(b, 2) : 1; // a prefill in one or two chunks
    for (int c = 0; c < cuts; c++) {
        int n0 = c * (n / 2), n1 = c == cuts - 1 ? n : n / 2;
        struct plan_step *st = plan_add_step(&plan, n0, n1);
        for (int i = 0; i < g.n_ops; i++) {
            const struct op *op = &g.op[i];
            struct pieces p = {0};
            if (op->last_only && n1 < n)
                continue;
            cut(b, op, pair,
                (struct shard){.m1 = op->m, .n0 = op->last_only ? n1 - n0 - 1 : 0, .n1 = n1 - n0},
                2, &p);
            shuffle(b, &p);
            for (int k = 0; k < p.n; k++)
                plan_add_shard(&plan, st, i, p.s[k]);
        }
    }
    fill(b, s);
    const int32_t *tokens = s->rig.here[BUF_TOKENS].host;
    ok = CHECK_OK(plan_check(&plan, &g, &b->desc, b->m, &e), &e) &&
         CHECK_OK(executor_create(b->m, s->model, RIG_CTX, RIG_TOKENS, &x, &e), &e) &&
         CHECK_OK(executor_set_sync(x, sync->ops, sync->options, &e), &e) &&
         CHECK_OK(executor_compile(x, &plan, &g, NULL, &prog, &e), &e);
    // The reference in the rig's plain memory, whole operators.
    for (int i = 0; ok && i < g.n_ops; i++) {
        struct task t;
        graph_task(&g, i, 0, &t);
        rig_bind(s->rig.here, &t);
        ref_run(&t, s->rig.scratch);
    }
    const float *want = s->rig.here[BUF_LOGITS].host;
    for (int again = 0; ok && again < last; again++) { // over what the run before left
        ok = CHECK_OK(executor_run(x, prog, tokens, 0, &e), &e);
        const float *logits = executor_logits(x);
        double sum = 0, worst = 0;
        for (int v = 0; ok && v < shape->n_vocab; v++) {
            double d = fabs((double)logits[v] - (double)want[v]);
            sum += (double)want[v] * (double)want[v];
            worst = d > worst || d != d ? d : worst;
        }
        ok = ok && CHECK(worst <= 1e-3 * sqrt(sum / shape->n_vocab));
        if (!ok)
            test_note("logits are off by %g, their size is %g", worst, sqrt(sum / shape->n_vocab));
    }
    if (!ok)
        test_note("%s, %s, %d tokens in %d steps on %s and %s, scheme %s", b->m->name,
                  s->model->layers->q.enc->name, n, cuts, b->desc.device[pair[0]].name,
                  b->desc.device[pair[1]].name, sync->spec);
    if (x)
        executor_release(x, prog);
    executor_destroy(x);
    plan_fini(&plan);
    return ok;
}

// ---- thousands of them ----

static int64_t number(const char *name, int64_t fallback)
{
    const char *s = getenv(name);
    return s ? strtoll(s, NULL, 10) : fallback;
}

static const struct {
    const char *what, *config;
    bool exact;
} machine[] = {
    {"exact",
     "cpu = { exact = true; threads = 2; spin = 200; }; npu = { exact = true; spin = 200; };"
     "gpu = { activations = \"float\"; };",
     true},
    {"as users have it", NULL, false},
    {"a GPU that works on copies",
     "cpu = { exact = true; spin = 0; }; npu = { exact = true; spin = 0; };"
     "gpu = { memory = \"copy\"; activations = \"float\"; };",
     true},
};
enum { MACHINES = sizeof machine / sizeof machine[0], RESET = 50, MAX_FAILURES = 5 };

static void many(bool (*once)(struct bed *b), bool exact_only, int64_t count)
{
    int64_t seed = number("PARTITA_SPLIT_SEED", 1);
    int kinds = exact_only ? MACHINES - 1 : MACHINES;
    for (int k = 0; k < MACHINES; k++) {
        struct bed b;
        int failures = 0;
        if (exact_only && !machine[k].exact)
            continue;
        if (open_bed(&b, machines_host(machine[k].config))) {
            int64_t share = (count + kinds - 1) / kinds;
            for (int64_t i = 0; i < share && failures < MAX_FAILURES; i++) {
                rng_destroy(b.rng);
                b.rng = rng_create((uint64_t)(seed + i), machine[k].what);
                if (!once(&b)) {
                    failures++;
                    test_note("^ %s: PARTITA_SPLITS=1 PARTITA_SPLIT_SEED=%lld", machine[k].what,
                              (long long)(seed + i));
                }
                if (i % RESET == RESET - 1)
                    b.m->ops->reset(b.m); // forgets static graphs
            }
            if (b.m->n_devices < 3)
                test_skip("%s: only %d devices on this machine", machine[k].what, b.m->n_devices);
            test_note("%s: %d schemes, %d models", machine[k].what, b.n_schemes, b.n_subjects);
        }
        close_bed(&b);
    }
}

static void test_matmuls(void)
{
    many(split_matmul, false, number("PARTITA_SPLITS", 300));
}

static void test_layers(void)
{
    many(split_layer, true, number("PARTITA_SPLITS", 300) / 4);
}

TESTS(contract_split, T(test_matmuls), T(test_layers))
