// SPDX-License-Identifier: GPL-3.0-or-later
// Kinds of experiment that measure devices: single operators of any shape, memory traffic,
// latencies. All of it through the device interface, so the same on every machine.
//
// The isolated profile of an operator is what publications print: the device has been idle for a
// second, the time is that from the call of submit until the flag word shows completion (so without
// the driver's finish or callback).
#include <math.h>
#include <string.h>
#include "base/units.h"
#include "engine/machine.h"
#include "explore/experiment_internal.h"

#define X_ROW(field, kind_of, text)                                                                \
    {                                                                                              \
        .name = #field, .type = kind_of, .doc = text, .offset = offsetof(struct experiment, field) \
    }
#define SHAPE_ROW(field, text)                                                                     \
    {                                                                                              \
        .name = #field, .type = CONF_INT_LIST, .min = 1, .max = 1048576, .doc = text,              \
        .offset = offsetof(struct experiment, field)                                               \
    }

static int want(const struct experiment *x, const char *key, bool given, struct err *e)
{
    (void)x;
    return given ? 0 : err_at(e, ERR_CONFIG, NULL, 0, key, "at least one %s is needed", key);
}

static int shapes_given(const struct experiment *x, struct err *e)
{
    return want(x, "m", x->m.n > 0, e) || want(x, "k", x->k.n > 0, e) || want(x, "n", x->n.n > 0, e)
               ? e->code
               : 0;
}

// --- one matmul [m, k] x [k, n] on one device

struct matmul {
    struct op op;
    struct task task;
};

static int find_device(const struct machine *m, const char *name, size_t length, struct err *e)
{
    const char *names[MACHINE_MAX_DEVICES];
    char word[32];
    snprintf(word, sizeof word, "%.*s", (int)(length < 31 ? length : 31), name);
    for (int i = 0; i < m->n_devices; i++) {
        names[i] = m->device[i]->caps.name;
        if (!strcmp(names[i], word))
            return i;
    }
    const char *near = err_nearest(word, names, (size_t)m->n_devices);
    return err_set(e, ERR_DEVICE, "machine %s has no device \"%s\"%s%s%s", m->name, word,
                   near ? ", did you mean \"" : "", near ? near : "", near ? "\"?" : "");
}

static void matmul(struct matmul *x, const struct model *model, int64_t m, int64_t k, int64_t n,
                   enum operand_order order)
{
    x->op =
        (struct op){.kind = OP_MATMUL, .name = "matmul", .m = (int)m, .k = (int)k, .in2 = BUF_NONE};
    x->task = (struct task){
        .op = &x->op, .model = model, .m1 = (int)m, .n1 = (int)n, .order = order, .graph = -1};
}

// Pads to the device's standard size and prepares the graph where the device wants one.
static int ready(struct device *d, struct task *t, struct err *e)
{
    if (!d->caps.static_graphs)
        return 0;
    t->n_pad = device_size_for(&d->caps, t->n1);
    if (!t->n_pad)
        return err_set(e, ERR_UNSUPPORTED, "device %s has no graph for %d tokens", d->caps.name,
                       t->n1);
    struct static_graph g = {t->op, t->m0, t->m1, t->n_pad, t->order};
    return d->ops->prepare(d, &g, &t->graph, e);
}

static void until(struct machine *m, int device, uint64_t seq)
{
    while (m->ops->flag(m, device) < seq)
        m->ops->pause(m);
}

// Picoseconds of the isolated profile; negative on error.
static double isolated(struct machine *m, int device, struct matmul *x, struct err *e)
{
    struct device *d = m->device[device];
    uint64_t seq = 0;
    if (ready(d, &x->task, e) < 0)
        return e->code;
    m->ops->sleep(m, PS_PER_S);
    int64_t begin = m->ops->now(m);
    if (d->ops->submit(d, &x->task, &seq, e) < 0)
        return e->code;
    until(m, device, seq);
    return (double)(m->ops->now(m) - begin);
}

// A machine, a model for the width of its weights, and a device by name.
static int bench(struct experiments *x, const struct experiment *y, struct machine **m,
                 const struct model **model, int *device, struct err *e)
{
    if (y->at.model.n == 0)
        return err_set(e, ERR_CONFIG, "no model, neither here nor in defaults");
    if (experiment_machine(x, &y->at, m, e) < 0 ||
        experiment_model(x, &y->at, y->at.model.v[0], model, e) < 0)
        return e->code;
    *device = find_device(*m, y->device, strcspn(y->device, "+"), e);
    return *device < 0 ? e->code : 0;
}

// Calls `measure` for every shape of the grid and keeps the largest result, or their sum.
typedef double measure_fn(struct machine *m, int device, const struct model *model, int64_t rows,
                          int64_t k, int64_t n, struct err *e);

static int over_grid(struct experiments *x, const struct experiment *y, measure_fn *measure,
                     bool largest, double *out, struct err *e)
{
    struct machine *m;
    const struct model *model;
    int device, count = 0;
    double sum = 0, most = 0;
    if (bench(x, y, &m, &model, &device, e) < 0)
        return e->code;
    for (int i = 0; i < y->m.n; i++)
        for (int j = 0; j < y->k.n; j++)
            for (int l = 0; l < y->n.n; l++) {
                double v = measure(m, device, model, y->m.v[i], y->k.v[j], y->n.v[l], e);
                if (v < 0)
                    return e->code;
                sum += v;
                most = fmax(most, v);
                count++;
            }
    *out = largest ? most : sum / count;
    return 0;
}

// --- operator: its latency; of several shapes, the mean

static double latency_of(struct machine *m, int device, const struct model *model, int64_t rows,
                         int64_t k, int64_t n, struct err *e)
{
    struct matmul x;
    matmul(&x, model, rows, k, n, ORDER_WEIGHT_STREAMED);
    return isolated(m, device, &x, e);
}

static int operator_dimension(const struct experiment *x, struct err *e)
{
    return shapes_given(x, e) < 0 ? e->code : DIM_TIME;
}

static int operator_predict(struct experiments *x, const struct experiment *y,
                            struct prediction *out, struct err *e)
{
    return over_grid(x, y, latency_of, false, &out->value, e);
}

static const struct conf_row matmul_rows[] = {
    X_ROW(device, CONF_STRING, "device that computes, by name"),
    SHAPE_ROW(m, "rows of the weight"),
    SHAPE_ROW(k, "columns of the weight"),
    SHAPE_ROW(n, "tokens"),
};

const struct experiment_kind kind_operator = {
    .name = "operator",
    .doc = "isolated latency of a matmul",
    .rows = matmul_rows,
    .n_rows = 4,
    .dimension = operator_dimension,
    .predict = operator_predict,
};

// --- best: the largest throughput over a grid of shapes

static double throughput_of(struct machine *m, int device, const struct model *model, int64_t rows,
                            int64_t k, int64_t n, struct err *e)
{
    double ps = latency_of(m, device, model, rows, k, n, e);
    return ps < 0 ? ps : 2.0 * (double)rows * (double)k * (double)n / ps * PS_PER_S;
}

static int best_dimension(const struct experiment *x, struct err *e)
{
    return shapes_given(x, e) < 0 ? e->code : DIM_COMPUTE;
}

static int best_predict(struct experiments *x, const struct experiment *y, struct prediction *out,
                        struct err *e)
{
    return over_grid(x, y, throughput_of, true, &out->value, e);
}

const struct experiment_kind kind_best = {
    .name = "best",
    .doc = "largest throughput of a matmul over a grid of shapes",
    .rows = matmul_rows,
    .n_rows = 4,
    .dimension = best_dimension,
    .predict = best_predict,
};

// --- order: how much the operand order matters, at most

static double order_ratio_of(struct machine *m, int device, const struct model *model, int64_t rows,
                             int64_t k, int64_t n, struct err *e)
{
    struct matmul x;
    double streamed = latency_of(m, device, model, rows, k, n, e);
    if (streamed < 0)
        return streamed;
    matmul(&x, model, rows, k, n, ORDER_WEIGHT_STATIONARY);
    double stationary = isolated(m, device, &x, e);
    return stationary < 0 ? stationary : stationary / streamed;
}

static int order_dimension(const struct experiment *x, struct err *e)
{
    return shapes_given(x, e) < 0 ? e->code : DIM_RATIO;
}

static int order_predict(struct experiments *x, const struct experiment *y, struct prediction *out,
                         struct err *e)
{
    return over_grid(x, y, order_ratio_of, true, &out->value, e);
}

const struct experiment_kind kind_order = {
    .name = "order",
    .doc = "time with weight tiles stationary over time with the weight streamed, largest of a "
           "grid",
    .rows = matmul_rows,
    .n_rows = 4,
    .dimension = order_dimension,
    .predict = order_predict,
};

// --- bandwidth: devices read large weights at the same time, their queues never empty

enum { QUEUED = 4, WARM = 20, COUNTED = 100 };

static int64_t bytes_of(struct machine *m)
{
    double sum = 0;
    for (int d = 0; d < m->n_devices; d++) {
        struct device_stats s;
        m->device[d]->ops->stats(m->device[d], &s);
        sum += s.bytes;
    }
    return (int64_t)sum;
}

// Runs until `count` tasks of the first device are complete.
static int stream(struct machine *m, const int *device, struct matmul *x, int n, uint64_t *sent,
                  uint64_t count, struct err *e)
{
    while (m->ops->flag(m, device[0]) < count) {
        for (int i = 0; i < n; i++) {
            struct device *d = m->device[device[i]];
            while (sent[i] < m->ops->flag(m, device[i]) + QUEUED)
                if (d->ops->submit(d, &x[i].task, &sent[i], e) < 0)
                    return e->code;
        }
        m->ops->pause(m);
    }
    return 0;
}

static int bandwidth_dimension(const struct experiment *x, struct err *e)
{
    return want(x, "m", x->m.n == 1, e) || want(x, "k", x->k.n == 1, e) ? e->code : DIM_BANDWIDTH;
}

static int bandwidth_predict(struct experiments *x, const struct experiment *y,
                             struct prediction *out, struct err *e)
{
    struct machine *m;
    const struct model *model;
    struct matmul work[MACHINE_MAX_DEVICES];
    int device[MACHINE_MAX_DEVICES], n = 0, first;
    uint64_t sent[MACHINE_MAX_DEVICES] = {0};
    if (bench(x, y, &m, &model, &first, e) < 0)
        return e->code;
    for (const char *at = y->device; n < MACHINE_MAX_DEVICES; at++) {
        size_t length = strcspn(at, "+");
        device[n] = find_device(m, at, length, e);
        if (device[n] < 0)
            return e->code;
        matmul(&work[n], model, y->m.v[0], y->k.v[0], 1, ORDER_WEIGHT_STREAMED);
        if (ready(m->device[device[n]], &work[n].task, e) < 0)
            return e->code;
        n++;
        at += length;
        if (!*at)
            break;
    }
    if (stream(m, device, work, n, sent, WARM, e) < 0)
        return e->code;
    int64_t begin = m->ops->now(m), bytes = bytes_of(m);
    if (stream(m, device, work, n, sent, WARM + COUNTED, e) < 0)
        return e->code;
    out->value = (double)(bytes_of(m) - bytes) / (double)(m->ops->now(m) - begin) * PS_PER_S;
    return 0;
}

static const struct conf_row bandwidth_rows[] = {
    X_ROW(device, CONF_STRING, "devices that read at the same time, by name: \"gpu+cpu\""),
    SHAPE_ROW(m, "rows of the weight"),
    SHAPE_ROW(k, "columns of the weight"),
};

const struct experiment_kind kind_bandwidth = {
    .name = "bandwidth",
    .doc = "memory traffic of devices that read large weights at the same time",
    .rows = bandwidth_rows,
    .n_rows = 3,
    .dimension = bandwidth_dimension,
    .predict = bandwidth_predict,
};

// --- latency: of a primitive of the machine or of a device's driver

static const char *const latencies[] = {"finish", "sleep", "submit"};
enum { FINISH, SLEEP, SUBMIT, LATENCIES };

static int latency_find(const char *what, struct err *e)
{
    for (int i = 0; i < LATENCIES; i++)
        if (!strcmp(what, latencies[i]))
            return i;
    const char *near = err_nearest(what, latencies, LATENCIES);
    return err_at(e, ERR_CONFIG, NULL, 0, "what",
                  "unknown latency \"%.60s\"%s%s%s; expected finish, sleep or submit", what,
                  near ? ", did you mean \"" : "", near ? near : "", near ? "\"?" : "");
}

static int latency_dimension(const struct experiment *x, struct err *e)
{
    return latency_find(x->what, e) < 0 ? e->code : DIM_TIME;
}

static int latency_predict(struct experiments *x, const struct experiment *y,
                           struct prediction *out, struct err *e)
{
    struct machine *m;
    const struct model *model;
    struct matmul work;
    struct err no;
    int device, what = latency_find(y->what, &no);
    uint64_t seq = 0;
    if (bench(x, y, &m, &model, &device, e) < 0)
        return e->code;
    struct device *d = m->device[device];
    matmul(&work, model, 4096, 4096, 1, ORDER_WEIGHT_STREAMED); // any will do
    if (ready(d, &work.task, e) < 0)
        return e->code;
    m->ops->sleep(m, PS_PER_S);
    int64_t begin = m->ops->now(m);
    if (what == SLEEP) {
        m->ops->sleep(m, PS_PER_US);
    } else {
        if (d->ops->submit(d, &work.task, &seq, e) < 0)
            return e->code;
        if (what == FINISH) { // what it costs beyond the work
            until(m, device, seq);
            begin = m->ops->now(m);
            if (d->ops->wait(d, seq, WAIT_FINISH, e) < 0)
                return e->code;
        }
    }
    out->value = (double)(m->ops->now(m) - begin);
    return 0;
}

static const struct conf_row latency_rows[] = {
    X_ROW(what, CONF_STRING, "finish, sleep or submit"),
    {.name = "device",
     .type = CONF_STRING,
     .fallback = "gpu",
     .doc = "whose driver, by name",
     .offset = offsetof(struct experiment, device)},
};

const struct experiment_kind kind_latency = {
    .name = "latency",
    .doc = "an explicit finish, the shortest sleep, a submission to an empty queue",
    .rows = latency_rows,
    .n_rows = 2,
    .dimension = latency_dimension,
    .predict = latency_predict,
};

// --- specification: the data sheet

static int specification_dimension(const struct experiment *x, struct err *e)
{
    (void)e; // which names there are is the world's; here only what they are names of
    const char *dot = strchr(x->what, '.'), *last = dot ? dot + 1 : x->what;
    return !strcmp(last, "side") ? DIM_COUNT : !strcmp(last, "peak") ? DIM_BANDWIDTH : DIM_COMPUTE;
}

static int specification_predict(struct experiments *x, const struct experiment *y,
                                 struct prediction *out, struct err *e)
{
    return x->world->specification(x->world, y->at.soc, y->what, &out->value, e);
}

static const struct conf_row specification_rows[] = {
    X_ROW(what, CONF_STRING, "gpu.fp16, npu.fp16, npu.int8, npu.side or dram.peak"),
};

const struct experiment_kind kind_specification = {
    .name = "specification",
    .doc = "a value of the SoC's data sheet",
    .rows = specification_rows,
    .n_rows = 1,
    .dimension = specification_dimension,
    .predict = specification_predict,
};
