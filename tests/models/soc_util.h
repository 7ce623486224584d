// SPDX-License-Identifier: GPL-3.0-or-later
// What the tests of the simulated SoC share: machines with overrides, single operators of any
// shape, and the isolated profile: the device has been idle for a second, the time is that from the
// call of submit until the flag word shows completion (so without the driver's finish or callback).
#ifndef TESTS_MODELS_SOC_UTIL_H
#define TESTS_MODELS_SOC_UTIL_H

#include <string.h>
#include "base/units.h"
#include "engine/graph.h"
#include "engine/machine.h"
#include "models/soc/soc.h"
#include "tests/harness.h"

#define SOC_DEFAULT "configs/soc/sd8gen3.cfg"

// A memory for mental arithmetic: 64 GB/s, refresh as good as none, 70 ns for a request of 512 B
// (row open 20, eight bursts in 30, 20 to the data) behind 90 ns of fabric: 100 lines of 64 B in
// flight make 40 GB/s.
#define SOC_ROUND_DRAM                                                                             \
    "dram.fabric=90 ns;dram.line=64 B;dram.timing.transfer_rate=8 GHz;dram.timing.ccd_l=4 ns;"     \
    "dram.timing.rcd=20 ns;dram.timing.rl=20 ns;dram.timing.refi=1 ms;dram.timing.rfc=1 ns;"       \
    "gpu.queue.outstanding=100;cpu.queue.outstanding=100;npu.queue.outstanding=100"

// `overrides` is "key=value;key=value" or NULL. NULL on failure, which the test has then reported.
static inline struct machine *soc_open(const char *path, const char *overrides, bool values)
{
    struct conf *c;
    struct machine *m = NULL;
    struct err e = {0};
    char text[2048], *save = NULL;
    if (!CHECK_OK(conf_open(path, &c, &e), &e))
        return NULL;
    snprintf(text, sizeof text, "%s", overrides ? overrides : "");
    for (char *k = strtok_r(text, ";", &save); k; k = strtok_r(NULL, ";", &save)) {
        char *value = strchr(k, '=');
        *value++ = 0;
        CHECK_OK(conf_override(c, k, value, &e), &e);
    }
    CHECK_OK(machine_soc_open(c, values, &m, &e), &e);
    conf_close(c);
    return m;
}

static inline void soc_close(struct machine *m)
{
    if (m)
        m->ops->close(m);
}

static inline int soc_index(const struct machine *m, enum device_kind k)
{
    for (int i = 0; i < m->n_devices; i++)
        if (m->device[i]->caps.kind == k)
            return i;
    return -1;
}

// Llama-3-8B by its published shape, weights of 4.5 bit (Q4_0).
static inline const struct model *soc_llama3_8b(void)
{
    static struct layer_weights layers[32];
    static struct model m = {
        .shape = {.name = "llama3-8b",
                  .arch = "llama",
                  .n_layer = 32,
                  .d_model = 4096,
                  .n_head = 32,
                  .n_head_kv = 8,
                  .d_head = 128,
                  .d_ff = 14336,
                  .n_vocab = 128256,
                  .n_ctx = 8192,
                  .weight_bits = 4.5},
        .layers = layers,
    };
    return &m;
}

// One matmul [m, k] x [k, n]; op and task live until the next call but seven.
static inline struct task *soc_matmul(int m, int k, int n, enum operand_order order)
{
    static struct op op[8];
    static struct task task[8];
    static unsigned next;
    unsigned i = next++ % 8;
    op[i] = (struct op){.kind = OP_MATMUL, .name = "matmul", .m = m, .k = k, .in2 = BUF_NONE};
    task[i] = (struct task){
        .op = &op[i], .model = soc_llama3_8b(), .m1 = m, .n1 = n, .order = order, .graph = -1};
    return &task[i];
}

// Pads to the device's standard size and prepares the graph where the device wants one.
static inline void soc_ready(struct device *d, struct task *t)
{
    struct err e = {0};
    if (!d->caps.static_graphs || t->op->kind != OP_MATMUL)
        return;
    t->n_pad = device_size_for(&d->caps, t->n1 - t->n0);
    struct static_graph g = {t->op, t->m0, t->m1, t->n_pad, t->order};
    CHECK_OK(d->ops->prepare(d, &g, &t->graph, &e), &e);
}

static inline uint64_t soc_submit(struct machine *m, int device, struct task *t)
{
    struct err e = {0};
    uint64_t seq = 0;
    soc_ready(m->device[device], t);
    CHECK_OK(m->device[device]->ops->submit(m->device[device], t, &seq, &e), &e);
    return seq;
}

static inline void soc_until(struct machine *m, int device, uint64_t seq)
{
    while (m->ops->flag(m, device) < seq)
        m->ops->pause(m);
}

// The isolated profile of one task, in us.
static inline double soc_isolated(struct machine *m, int device, struct task *t)
{
    soc_ready(m->device[device], t);
    m->ops->sleep(m, PS_PER_S);
    int64_t begin = m->ops->now(m);
    soc_until(m, device, soc_submit(m, device, t));
    return (double)(m->ops->now(m) - begin) / (double)PS_PER_US;
}

// The same in a queue that is never empty: the mean over `count` tasks, in us.
static inline double soc_streamed(struct machine *m, int device, struct task *t, int count)
{
    uint64_t seq = 0;
    for (int i = 0; i < 20; i++) // awake, clock up
        seq = soc_submit(m, device, t);
    soc_until(m, device, seq);
    int64_t begin = m->ops->now(m);
    for (int i = 0; i < count; i++)
        seq = soc_submit(m, device, t);
    soc_until(m, device, seq);
    return (double)(m->ops->now(m) - begin) / (double)PS_PER_US / count;
}

#endif
