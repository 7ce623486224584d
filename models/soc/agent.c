// SPDX-License-Identifier: GPL-3.0-or-later
// An in-order queue and what happens at its head, in two events per task:
//
//     submit --(host: submit or restart)--> queued --> head
//     head --(launch, and wake if it slept)--> traffic on the memory --> complete
//
// At flow level a task that needs C seconds of computing and moves B bytes is one transfer of B
// bytes, which begins after the latencies and what fills its pipeline (fill) and asks for at most
// min(port, B / C) bytes per second: alone it takes max(C, B / port), and beside others exactly as
// much longer as they take its bandwidth away. Tasks without traffic are plain delays. At cycle
// level the task's data come piece by piece (models/soc/pipe.c, or the device's own model) and set
// the pace themselves.
//
// A device that had nothing to do for `idle` falls asleep. The first task after that pays `wake`,
// and for `ramp` from then on computing proceeds at `ramp_clock` of the full speed. This is why an
// operator profiled alone takes longer than inside a running model.
//
// Two more things change how long a task takes: the operating point (clock.c), which stretches
// computing, and other clients of the device (turn.c), for whose kernels a task at the head waits
// before it begins.
//
// Submitting allocates nothing: slots lie in a ring; a full ring blocks the host, as drivers do.
// Invariant: stats.bytes equals what the port moved for this agent; busy time is never more than
// elapsed time, because tasks follow one another.
#include "models/soc/agent.h"

#include <math.h>
#include <stdlib.h>
#include "engine/machine.h"
#include "engine/ref.h"
#include "models/soc/meter.h"
#include "models/soc/replay.h"

#define ROW(...) CONF_ROW(struct queue_params, __VA_ARGS__)

const struct conf_row queue_rows[] = {
    ROW(depth, CONF_INT, UNIT_NONE, 1, 65536, "tasks that fit into the queue"),
    ROW(submit, CONF_INT, UNIT_TIME, 0, 1e12, "host time per submission"),
    ROW(restart, CONF_INT, UNIT_TIME, 0, 1e12, "the same when the queue has run empty"),
    ROW(launch, CONF_INT, UNIT_TIME, 0, 1e12, "device time before each task"),
    ROW(finish, CONF_INT, UNIT_TIME, 0, 1e12, "completion to return of the driver's finish"),
    ROW(event, CONF_INT, UNIT_TIME, 0, 1e12, "completion to return of a wait for the callback"),
    ROW(query, CONF_INT, UNIT_TIME, 0, 1e12, "host time to ask the driver for a ticket"),
    ROW(idle, CONF_INT, UNIT_TIME, 0, 1e13, "time without work after which the device sleeps"),
    ROW(wake, CONF_INT, UNIT_TIME, 0, 1e12, "waking it before its next task"),
    ROW(ramp, CONF_INT, UNIT_TIME, 0, 1e13, "time after waking at the low clock"),
    ROW(ramp_clock, CONF_REAL, UNIT_PERCENT, 0.01, 1, "low clock over full clock"),
    ROW(outstanding, CONF_INT, UNIT_NONE, 1, 1e6, "memory requests in flight"),
    {.name = "link",
     .type = CONF_REAL,
     .unit = UNIT_BANDWIDTH,
     .fallback = "1000 GB/s",
     .min = 1e6,
     .max = 1e15,
     .doc = "rate of its link to the memory network",
     .offset = offsetof(struct queue_params, link)},
};
const size_t queue_n_rows = sizeof queue_rows / sizeof queue_rows[0];

enum { LONG_AGO = -1 }; // `ended` of a device that has done nothing yet

static struct agent *agent_of(struct device *d)
{
    return (struct agent *)d;
}

static int64_t to_ps(double s)
{
    return (int64_t)(s * (double)PS_PER_S + 0.5);
}

static int64_t traffic(const struct agent_cost *c)
{
    return c->weight + c->read + c->written;
}

static struct agent_slot *head(struct agent *a)
{
    return &a->slot[a->completed % (uint64_t)a->q.depth];
}

int64_t agent_at_clock(const struct agent *a, int64_t ps)
{
    int64_t left = a->warm - sim_now(a->host->sim);
    if (left <= 0)
        return clock_stretch(&a->clock, ps);
    double low = fmin(a->q.ramp_clock, a->clock.f);
    double done = (double)left * low; // full-clock ps within the ramp
    if ((double)ps <= done)
        return (int64_t)((double)ps / low);
    return left + clock_stretch(&a->clock, ps - (int64_t)done);
}

static void begin(struct agent *a, int64_t change);

// The head of the queue is to be executed as soon as the device is free.
static void ask(struct agent *a)
{
    if (a->turn)
        turn_ask(a->turn, &a->client, head(a)->ticket);
    else
        begin(a, 0);
}

// The device is free again.
static void pass(struct agent *a)
{
    bool more = a->completed < a->submitted;
    if (a->turn)
        turn_pass(a->turn, &a->client, more ? head(a)->ticket : 0);
    else if (more)
        begin(a, 0);
}

static void go(struct turn_client *c, bool changed)
{
    struct agent *a = SIM_OWNER(c, struct agent, client);
    begin(a, changed ? a->change : 0);
}

static void run_values(struct agent *a)
{
    const struct task *t = &a->task[a->completed % (uint64_t)a->q.depth];
    size_t need = ref_scratch(t->model, t->n_past + t->n1);
    if (need > a->n_scratch) {
        free(a->scratch);
        a->scratch = malloc(2 * need * sizeof *a->scratch);
        if (!a->scratch)
            abort();
        a->n_scratch = 2 * need;
    }
    ref_run(t, a->scratch);
}

// --- what a trace shows: none of it in the way of a run without one

#define COLD __attribute__((cold, noinline))

static COLD void trace_depth(const struct agent *a, uint64_t waiting)
{
    const struct machine *m = a->base.machine;
    trace_counter(m->trace, m->tracks.depth[a->base.index], sim_now(a->host->sim), (double)waiting);
}

// The task is about to be put into a slot.
static COLD void trace_submit(struct agent *a, const struct task *t, uint64_t at)
{
    a->label[at].submitted = sim_now(a->host->sim);
    task_label(t, a->label[at].text);
    trace_depth(a, a->submitted + 1 - a->completed - a->executing);
}

// The task at the head is about to begin, at `awake`: in a trace, waking the device belongs to the
// time that the task waits, as it does where a device tells when it executed what.
static COLD void trace_begin(struct agent *a, int64_t awake)
{
    int64_t now = sim_now(a->host->sim);
    a->label[a->completed % (uint64_t)a->q.depth].awake = awake;
    trace_depth(a, a->submitted - a->completed - 1);
    meter_device(a->host->meter, a->base.index, &a->clock, now, true);
}

// The task at the head is complete.
static COLD void trace_end(const struct agent *a)
{
    const struct machine *m = a->base.machine;
    const struct agent_label *l = &a->label[a->completed % (uint64_t)a->q.depth];
    int64_t now = sim_now(a->host->sim);
    if (l->submitted < l->awake)
        trace_slice(m->trace, m->tracks.queue[a->base.index], l->text, l->submitted, l->awake, 0);
    trace_slice(m->trace, m->tracks.device[a->base.index], l->text, l->awake, now,
                trace_id(a->base.index, a->completed + 1));
    meter_device(a->host->meter, a->base.index, &a->clock, now, false);
}

void agent_trace(struct agent *a)
{
    free(a->label);
    a->label = NULL;
    if (!a->base.machine->trace)
        return;
    a->label = calloc((size_t)a->q.depth, sizeof *a->label);
    if (!a->label)
        abort();
    int64_t now = sim_now(a->host->sim);
    meter_device(a->host->meter, a->base.index, &a->clock, now, false);
    meter_clock(a->host->meter, a->base.index, &a->clock, now);
}

// --- the head of the queue

void agent_complete(struct agent *a)
{
    if (a->label)
        trace_end(a);
    struct sim *s = a->host->sim;
    const struct agent_slot *o = head(a);
    int64_t now = sim_now(s);
    if (a->base.machine->values)
        run_values(a);
    a->stats.tasks++;
    a->stats.busy_ps += now - a->begin;
    a->executing = false;
    if (a->cores)
        cores_change(a->cores, -a->threads);
    a->stats.flops += o->cost.flops;
    a->stats.bytes += (double)traffic(&o->cost);
    a->ended = now;
    a->completed++;
    sim_note(s, (uint32_t)a->base.index, a->completed);
    if (a->replay)
        replay_complete(a->replay, a->base.index);
    pass(a);
}

static void on_moved(struct dram_transfer *t)
{
    agent_complete(SIM_OWNER(t, struct agent, transfer));
}

static void on_delay(struct sim *s, struct sim_event *e)
{
    (void)s;
    agent_complete(SIM_OWNER(e, struct agent, timer));
}

// Flow level: bytes of the executing task that the system-level cache saves.
static int64_t reused(struct agent *a, const struct agent_cost *c, const struct task *t)
{
    struct slc *slc = &a->dram->slc;
    struct operands o;
    place_task(&a->dram->place, t, a->base.caps.act_bytes, c->weight, c->read, c->written, &o);
    int64_t hit = c->read ? slc_reuse(slc, &o.read_region->stamp, c->read, false) : 0;
    if (c->written)
        slc_reuse(slc, &o.write_region->stamp, c->written, true);
    return hit;
}

static void on_launch(struct sim *s, struct sim_event *e)
{
    struct agent *a = SIM_OWNER(e, struct agent, timer);
    const struct agent_cost *c = &head(a)->cost;
    const struct task *task = a->task ? &a->task[a->completed % (uint64_t)a->q.depth] : NULL;
    if (a->dram->detail == DRAM_CYCLE) {
        (a->run ? a->run : agent_pipe)(a, task);
        return;
    }
    int64_t bytes = traffic(c), hit = a->dram->p.slc ? reused(a, c, task) : 0;
    double took = (double)agent_at_clock(a, to_ps(c->compute)) / (double)PS_PER_S;
    if (hit) // from the cache, but through the port
        took = fmax(took, (double)bytes / dram_port_rate(&a->port));
    if (bytes == hit) {
        a->timer.fire = on_delay;
        sim_schedule(s, &a->timer, sim_now(s) + to_ps(took));
        return;
    }
    a->transfer.bytes = bytes - hit;
    a->transfer.written = c->written;
    a->transfer.rate = took > 0 ? (double)a->transfer.bytes / took : INFINITY;
    a->transfer.done = on_moved;
    dram_start(&a->port, &a->transfer);
}

// Flow level: what does not overlap. The first data's way in, the last results' way out, and of
// computing and moving, whichever is shorter, one chunk.
static int64_t fill(const struct agent *a, const struct agent_cost *c)
{
    int64_t bytes = traffic(c), ps = c->written ? a->dram->p.fabric : 0;
    if (!bytes)
        return 0;
    if (c->chunks)
        ps += to_ps(fmin(c->compute, (double)bytes / dram_port_rate(&a->port)) / c->chunks);
    return ps + a->latency;
}

int64_t agent_rouse(struct agent *a, int64_t launch, int64_t extra)
{
    int64_t now = sim_now(a->host->sim), start = now + launch;
    if (a->ended == LONG_AGO || now - a->ended >= a->q.idle) {
        start += a->q.wake + extra;
        a->warm = start + a->q.ramp;
    }
    return start;
}

static void begin(struct agent *a, int64_t change)
{
    int64_t launch = a->q.launch + change;
    int64_t start = agent_rouse(a, launch, head(a)->cost.wake);
    if (a->label)
        trace_begin(a, start - launch);
    a->executing = true;
    if (a->cores)
        cores_change(a->cores, a->threads);
    a->begin = sim_now(a->host->sim);
    if (a->dram->detail == DRAM_FLOW)
        start += fill(a, &head(a)->cost);
    a->timer.fire = on_launch;
    sim_schedule(a->host->sim, &a->timer, start);
}

int agent_init(struct agent *a, struct machine *m, int index, const struct queue_params *q,
               struct control *host, struct dram *dram, struct err *e)
{
    a->base.machine = m;
    a->base.index = index;
    a->q = *q;
    a->host = host;
    a->dram = dram;
    a->latency = dram_latency(dram);
    bool tasks = m->values || dram->detail == DRAM_CYCLE || dram->p.slc;
    a->slot = calloc((size_t)q->depth, sizeof *a->slot);
    a->task = tasks ? calloc((size_t)q->depth, sizeof *a->task) : NULL;
    if (dram_port_open(dram, &a->port, index, q->outstanding, q->link, e) < 0) {
        agent_fini(a);
        return e ? e->code : ERR_MEMORY;
    }
    if (!a->slot || (tasks && !a->task)) {
        agent_fini(a);
        return err_set(e, ERR_MEMORY, "no memory for a queue of %lld tasks", (long long)q->depth);
    }
    agent_reset(a);
    return 0;
}

void agent_fini(struct agent *a)
{
    dram_port_close(&a->port);
    free(a->slot);
    free(a->task);
    free(a->label);
    free(a->scratch);
    a->slot = NULL;
    a->task = NULL;
    a->label = NULL;
    a->scratch = NULL;
}

void agent_reset(struct agent *a)
{
    sim_event_init(&a->timer, on_launch);
    a->transfer = (struct dram_transfer){0};
    pipe_reset(&a->pipe, a);
    a->submitted = a->completed = 0;
    a->begin = 0;
    a->ended = LONG_AGO;
    a->warm = 0;
    a->stats = (struct device_stats){0};
    a->executing = false;
    a->turn = NULL;
    clock_init(&a->clock, &a->points);
}

void agent_clock(struct agent *a, const struct clock_params *p)
{
    a->points = *p;
    clock_init(&a->clock, p);
}

void agent_share(struct agent *a, struct turn *t, int rank, int64_t change)
{
    a->turn = t;
    a->client = (struct turn_client){.rank = rank, .go = go};
    a->change = change;
    turn_join(t, &a->client);
}

static int64_t whole(double bytes)
{
    return (int64_t)ceil(bytes);
}

void agent_traffic(const struct work *w, struct agent_cost *out)
{
    out->weight = whole(w->weight_bytes);
    out->read = whole(w->read_bytes);
    out->written = whole(w->write_bytes);
    out->chunks = pipe_chunks(out->weight + out->read + out->written);
}

void agent_pipe(struct agent *a, const struct task *t)
{
    const struct agent_cost *c = &head(a)->cost;
    struct operands o;
    place_task(&a->dram->place, t, a->base.caps.act_bytes, c->weight, c->read, c->written, &o);
    pipe_start(&a->pipe, &o, to_ps(c->compute), c->weight, c->read, c->written);
}

int64_t agent_busy(const struct agent *a)
{
    int64_t now = sim_now(a->host->sim);
    return a->stats.busy_ps + (a->executing ? now - a->begin : 0);
}

int agent_alloc(struct device *d, struct buffer *b, struct err *e)
{
    (void)d, (void)b, (void)e;
    return 0; // one memory, one address space
}

void agent_free(struct device *d, struct buffer *b)
{
    (void)d, (void)b;
}

int agent_map(struct device *d, struct buffer *b, int64_t row0, int64_t row1, int64_t col0,
              int64_t col1, enum map_dir dir, struct err *e)
{
    (void)d, (void)b, (void)row0, (void)row1, (void)col0, (void)col1, (void)dir, (void)e;
    return 0; // coherent
}

int agent_load(struct device *d, const struct tensor *w, int64_t m0, int64_t m1, struct err *e)
{
    (void)d, (void)w, (void)m0, (void)m1, (void)e;
    return 0; // weights stay where they are: memory is shared
}

static int wait_for_room(struct agent *a, struct err *e)
{
    control_doze(a->host, true);
    while (a->submitted - a->completed == (uint64_t)a->q.depth)
        if (!control_step(a->host))
            return err_set(e, ERR_DEVICE, "the queue of %s is full and stands still",
                           a->base.caps.name);
    control_doze(a->host, false);
    return 0;
}

int agent_submit(struct device *d, const struct task *t, uint64_t *seq, struct err *e)
{
    struct agent *a = agent_of(d);
    bool empty = a->completed == a->submitted;
    control_work(a->host, empty ? a->q.restart : a->q.submit);
    if (a->submitted - a->completed == (uint64_t)a->q.depth && wait_for_room(a, e) < 0)
        return e->code;
    uint64_t at = a->submitted % (uint64_t)a->q.depth;
    a->cost(a, t, &a->slot[at].cost);
    a->slot[at].ticket = a->turn ? turn_ticket(a->turn) : 0;
    if (a->task)
        a->task[at] = *t;
    if (a->label)
        trace_submit(a, t, at);
    *seq = ++a->submitted;
    if (a->submitted - a->completed == 1)
        ask(a);
    return 0;
}

int agent_poll(struct device *d, uint64_t seq, struct err *e)
{
    struct agent *a = agent_of(d);
    if (seq > a->submitted)
        return err_set(e, ERR_USAGE, "ticket %llu of %s was never given out",
                       (unsigned long long)seq, d->caps.name);
    control_work(a->host, a->q.query);
    return a->completed >= seq;
}

int agent_wait(struct device *d, uint64_t seq, enum wait_mode mode, struct err *e)
{
    struct agent *a = agent_of(d);
    if (seq > a->submitted)
        return err_set(e, ERR_USAGE, "ticket %llu of %s was never given out",
                       (unsigned long long)seq, d->caps.name);
    control_doze(a->host, true);
    while (a->completed < seq)
        if (!control_step(a->host))
            return err_set(e, ERR_DEVICE, "%s stands still before ticket %llu", d->caps.name,
                           (unsigned long long)seq);
    control_doze(a->host, false);
    control_work(a->host, mode == WAIT_FINISH ? a->q.finish : a->q.event);
    return 0;
}

void agent_stats(struct device *d, struct device_stats *out)
{
    struct agent *a = agent_of(d);
    *out = a->stats;
    out->busy_ps = agent_busy(a);
}

void agent_reset_device(struct device *d)
{
    (void)d; // the queues of a machine share a clock: it resets them all (machine_ops.reset)
}

static int supports(const struct device *d, const struct task *t, struct err *e)
{
    if (t->n_pad)
        return err_set(e, ERR_UNSUPPORTED, "%s has no static graphs (n_pad %d for %s)",
                       d->caps.name, t->n_pad, t->op->name);
    return 0;
}

static int prepare(struct device *d, const struct static_graph *g, int *handle, struct err *e)
{
    (void)handle;
    return err_set(e, ERR_UNSUPPORTED, "%s has no static graphs (%s)", d->caps.name, g->op->name);
}

static void close_agent(struct device *d)
{
    agent_fini(agent_of(d));
    free(d);
}

static const struct device_ops dynamic_ops = {
    .name = "soc-agent",
    .supports = supports,
    .alloc = agent_alloc,
    .free = agent_free,
    .map = agent_map,
    .load = agent_load,
    .prepare = prepare,
    .submit = agent_submit,
    .poll = agent_poll,
    .wait = agent_wait,
    .stats = agent_stats,
    .reset = agent_reset_device,
    .close = close_agent,
};

int agent_open(struct agent *a, enum device_kind kind, const char *detail, agent_cost_fn *cost,
               const struct queue_params *q, struct machine *m, int index, struct control *host,
               struct dram *dram, struct device **out, struct err *e)
{
    a->base.ops = &dynamic_ops;
    a->base.caps = (struct device_caps){
        .name = device_kind_name(kind),
        .detail = detail,
        .kind = kind,
        .ops = (1u << OP_KINDS) - 1,
        .values = m->values,
        .tile = 1,
        .act_bytes = 2, // FP16
        .activation_bits = {16, 16, 16},
        .coherent = true,
        .flag = true,
        .event = true,
    };
    a->cost = cost;
    if (agent_init(a, m, index, q, host, dram, e) < 0) {
        free(a);
        return e ? e->code : ERR_MEMORY;
    }
    *out = &a->base;
    return 0;
}
