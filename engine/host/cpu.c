// SPDX-License-Identifier: GPL-3.0-or-later
// The CPU as a device: the queue's consumer thread is worker 0 of a team that splits each task. It
// works on the shared buffers in place, so there is nothing to load, map or prepare.
//
// isa = ref turns it into the reference operators behind the same queue: slow and obviously right.
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/log.h"
#include "engine/host/exec.h"
#include "engine/host/host.h"
#include "engine/host/queue.h"
#include "engine/ref.h"

struct cpu_options {
    bool enabled, exact;
    int64_t threads, spin;
    int isa;
    struct conf_int_list pin;
};

#define O(field) offsetof(struct cpu_options, field)
const struct conf_row device_cpu_rows[] = {
    {"enabled", CONF_BOOL, UNIT_NONE, "true", 0, 0, NULL, "Open this device.", O(enabled)},
    {"threads", CONF_INT, UNIT_NONE, "0", 0, TEAM_MAX, NULL, "Threads; 0: one per online CPU.",
     O(threads)},
    {"isa", CONF_ENUM, UNIT_NONE, "auto", 0, 0, ISA_CHOICES,
     "Instruction set of the kernels; ref: the reference operators on one thread.", O(isa)},
    {"exact", CONF_BOOL, UNIT_NONE, "false", 0, 0, NULL,
     "Keep activations in F32 for quantised weights (slower) instead of int8 blocks.", O(exact)},
    {"spin", CONF_INT, UNIT_NONE, "500", 0, 1e9, NULL,
     "Turns that a thread polls for work before it sleeps.", O(spin)},
    {"pin", CONF_INT_LIST, UNIT_NONE, "[]", 0, 4095, NULL,
     "CPUs to pin the threads to, in turn; empty: none.", O(pin)},
};
const size_t device_cpu_n_rows = sizeof device_cpu_rows / sizeof device_cpu_rows[0];

struct cpu {
    struct host_device host; // first
    struct exec exec;
    struct queue *queue;
    bool ref;
    char detail[64];
};

static struct cpu *self(const struct device *d)
{
    return (struct cpu *)d;
}

static int run_ref(struct exec *x, const struct task *t, struct err *e)
{
    int n_ctx = t->kcache ? (int)(t->kcache->size / t->kcache->pitch) : t->op->k;
    n_ctx = n_ctx > t->op->k ? n_ctx : t->op->k; // op->k: an operator outside the model's shape
    if (exec_scratch(x, (int64_t)ref_scratch(t->model, n_ctx) * 4, 0, e) < 0)
        return ERR_MEMORY;
    ref_run(t, x->shared);
    return 0;
}

static int run(void *ctx, const struct task *t, struct err *e)
{
    struct cpu *c = ctx;
    return c->ref ? run_ref(&c->exec, t, e) : exec_run(&c->exec, t, e);
}

static int cpu_supports(const struct device *d, const struct task *t, struct err *e)
{
    (void)d;
    if (t->n_pad)
        return err_at(e, ERR_UNSUPPORTED, NULL, 0, t->op->name,
                      "the CPU has no static graphs, but the task names one of %d tokens",
                      t->n_pad);
    return exec_supports(t, e);
}

static int cpu_alloc(struct device *d, struct buffer *b, struct err *e)
{
    (void)d, (void)b, (void)e;
    return 0;
}

static void cpu_free(struct device *d, struct buffer *b)
{
    (void)d, (void)b;
}

static int cpu_map(struct device *d, struct buffer *b, int64_t row0, int64_t row1, int64_t col0,
                   int64_t col1, enum map_dir dir, struct err *e)
{
    (void)d, (void)b, (void)row0, (void)row1, (void)col0, (void)col1, (void)dir, (void)e;
    return 0;
}

static int cpu_load(struct device *d, const struct tensor *w, int64_t m0, int64_t m1, struct err *e)
{
    (void)d;
    if (!w->data || m0 < 0 || m0 > m1 || m1 > w->rows)
        return err_at(e, ERR_USAGE, NULL, 0, w->name, "rows [%lld:%lld] of %lld cannot be loaded",
                      (long long)m0, (long long)m1, (long long)w->rows);
    return 0;
}

static int cpu_prepare(struct device *d, const struct static_graph *g, int *handle, struct err *e)
{
    (void)d, (void)handle;
    return err_at(e, ERR_UNSUPPORTED, NULL, 0, g->op->name, "the CPU has no static graphs");
}

static int cpu_submit(struct device *d, const struct task *t, uint64_t *seq, struct err *e)
{
    return queue_submit(self(d)->queue, t, seq, e);
}

static int cpu_poll(struct device *d, uint64_t seq, struct err *e)
{
    return queue_poll(self(d)->queue, seq, e);
}

static int cpu_wait(struct device *d, uint64_t seq, enum wait_mode mode, struct err *e)
{
    return queue_wait(self(d)->queue, seq, mode, e);
}

static void cpu_stats(struct device *d, struct device_stats *out)
{
    *out = (struct device_stats){0};
    queue_stats(self(d)->queue, out);
}

static void cpu_reset(struct device *d)
{
    queue_drain(self(d)->queue);
    queue_reset(self(d)->queue);
}

static void cpu_close(struct device *d)
{
    struct cpu *c = self(d);
    queue_destroy(c->queue);
    team_destroy(c->exec.team);
    exec_fini(&c->exec);
    free(c);
}

static const struct device_ops cpu_ops = {
    .name = "cpu",
    .supports = cpu_supports,
    .alloc = cpu_alloc,
    .free = cpu_free,
    .map = cpu_map,
    .load = cpu_load,
    .prepare = cpu_prepare,
    .submit = cpu_submit,
    .poll = cpu_poll,
    .wait = cpu_wait,
    .stats = cpu_stats,
    .reset = cpu_reset,
    .close = cpu_close,
};

static void describe(struct cpu *c)
{
    struct device_caps *k = &c->host.base.caps;
    bool exact = c->ref || c->exec.exact; // else the block-quantised kernels are integer
    snprintf(c->detail, sizeof c->detail, "%s, %d thread%s%s", c->ref ? "ref" : c->exec.kernel.name,
             team_threads(c->exec.team), team_threads(c->exec.team) > 1 ? "s" : "",
             c->exec.exact ? ", exact" : "");
    *k = (struct device_caps){
        .name = "cpu",
        .detail = c->detail,
        .kind = DEVICE_CPU,
        .ops = (1u << OP_KINDS) - 1,
        .values = true,
        .tile = 1,
        .act_bytes = 4,
        .activation_bits = {32, exact ? 32 : 8, exact ? 32 : 8},
        .coherent = true,
        .flag = true,
        .event = true,
        .wake = true,
    };
}

int device_cpu_open(const struct conf_node *n, struct machine *m, int index, struct device **out,
                    struct err *e)
{
    struct cpu_options o;
    struct arena a;
    arena_init(&a);
    int rc = conf_read(n, "cpu", device_cpu_rows, device_cpu_n_rows, &o, &a, e);
    arena_fini(&a); // the options hold no strings
    if (rc < 0)
        return rc;
    struct cpu *c = calloc(1, sizeof *c);
    if (!c)
        return err_set(e, ERR_MEMORY, "no memory for the CPU device");
    c->ref = o.isa == ISA_REF;
    c->exec.exact = o.exact;
    int threads = c->ref ? 1 : (int)o.threads;
    if (threads == 0)
        threads = (int)sysconf(_SC_NPROCESSORS_ONLN);
    rc = kernels_select((enum isa)o.isa, &c->exec.kernel, e);
    if (rc < 0)
        goto free_cpu;
    rc = team_create(threads, (int)o.spin, &o.pin, &c->exec.team, e);
    if (rc < 0)
        goto free_cpu;
    rc = queue_create(run, c, (int)o.spin, &o.pin, 4, &c->queue, e);
    if (rc < 0)
        goto destroy_team;
    c->host.base = (struct device){.ops = &cpu_ops, .machine = m, .index = index};
    c->host.flag = queue_flag(c->queue);
    queue_owner(c->queue, &c->host.base);
    describe(c);
    *out = &c->host.base;
    return 0;
destroy_team:
    team_destroy(c->exec.team);
free_cpu:
    free(c);
    return rc;
}
