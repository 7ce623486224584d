// SPDX-License-Identifier: GPL-3.0-or-later
// Forward dynamic programming with a depth-first search between the states. `reach[i][d]` is the
// least time at which device d's queue runs dry behind operator i, all of which it computed; a
// search goes on from there through shared operators until the next such state. Times are relative
// to the state in front of the section that is being solved.
//
// Invariant: states are only made at cuts, so what a search does not carry over (older tickets, the
// host's clock) cannot matter to what follows.
#include "policies/partition/util_chain.h"

#include <assert.h>
#include <math.h>

struct best {
    double time;                 // INFINITY: not reached
    int first, device;           // the state before is behind operator first - 1, on device
    int16_t pick[GRAPH_MAX_OPS]; // of [first, this one]
};

// A section of the graph: operators [first, to), behind a state of its own.
struct section {
    const struct predict *p;
    const struct chain_op *op;
    int first, to;
    // The next cut from an operator on, and the devices (bits) that compute it alone; 0: it may be
    // shared.
    int next[GRAPH_MAX_OPS + 1];
    uint32_t goal[GRAPH_MAX_OPS];
    struct best reach[GRAPH_MAX_OPS][MACHINE_MAX_DEVICES];
    struct best end; // the host has joined everything behind the last operator
    // Where the search in progress set out, and what it has chosen since.
    double base;
    int from, device;
    int16_t pick[GRAPH_MAX_OPS];
};

// The device that computes all of it, -1: several do.
static int alone(const struct chain_candidate *c)
{
    for (int i = 1; i < c->n; i++)
        if (c->shard[i].device != c->shard[0].device)
            return -1;
    return c->shard[0].device;
}

static void record(const struct section *s, struct best *b, int n, double time)
{
    if (s->base + time >= b->time)
        return;
    b->time = s->base + time;
    b->first = s->from;
    b->device = s->device;
    for (int i = 0; i < n; i++)
        b->pick[i] = s->pick[i];
}

// The next state is one of operator `at`, and all of its states were reached in less time already.
static bool hopeless(const struct section *s, int at, const struct predict_state *state)
{
    if (at == s->to || !s->goal[at])
        return false;
    double time = s->base + predict_latest(s->p, state);
    for (int d = 0; d < s->p->n_devices; d++)
        if (s->goal[at] >> d & 1 && time < s->reach[at][d].time)
            return false;
    return true;
}

static void search(struct section *s, int at, const struct predict_state *state)
{
    struct predict_state next;
    for (; at < s->to && !s->op[at].n; at++)
        s->pick[at - s->from] = 0;
    if (at == s->to) {
        next = *state;
        record(s, &s->end, at - s->from, predict_end(s->p, &next));
        return;
    }
    for (int c = 0; c < s->op[at].n; c++) {
        const struct chain_candidate *k = &s->op[at].candidate[c];
        int device = s->p->cut[at] ? alone(k) : -1;
        next = *state;
        s->pick[at - s->from] = (int16_t)c;
        predict_op(s->p, &next, at, k->shard, k->n);
        if (device >= 0)
            record(s, &s->reach[at][device], at + 1 - s->from, next.dry[device]);
        else if (!hopeless(s, s->next[at + 1], &next))
            search(s, at + 1, &next);
    }
}

static void set_out(struct section *s, int from, int device, double base,
                    const struct predict_state *state)
{
    s->from = from;
    s->device = device;
    s->base = base;
    search(s, from, state);
}

static void goals(struct section *s)
{
    s->next[s->to] = s->to;
    for (int i = s->to - 1; i >= s->first; i--) {
        bool shared = false;
        s->next[i] = s->p->cut[i] && s->op[i].n ? i : s->next[i + 1];
        s->goal[i] = 0;
        for (int c = 0; c < s->op[i].n; c++) {
            int device = alone(&s->op[i].candidate[c]);
            shared |= device < 0;
            s->goal[i] |= device < 0 ? 0 : (uint32_t)1 << device;
        }
        s->goal[i] = shared ? 0 : s->goal[i];
    }
}

// Everything from a state to the end of a section.
static void solve(struct section *s, int first, int to, const struct predict_state *state)
{
    s->first = first;
    s->to = to;
    s->end.time = INFINITY;
    goals(s);
    for (int i = first; i < to; i++)
        for (int d = 0; d < s->p->n_devices; d++)
            s->reach[i][d].time = INFINITY;
    set_out(s, first, -1, 0, state);
    for (int i = first; i < to; i++)
        for (int d = 0; d < s->p->n_devices; d++)
            if (s->reach[i][d].time < INFINITY) {
                struct predict_state behind;
                predict_behind(s->p, i, d, &behind);
                set_out(s, i + 1, d, s->reach[i][d].time, &behind);
            }
}

// Writes the choices that led to a state of the section behind operator `last`.
static void trace(const struct section *s, const struct best *b, int last, int *pick)
{
    for (;;) {
        for (int i = b->first; i <= last; i++)
            pick[i] = b->pick[i - b->first];
        if (b->first == s->first)
            return;
        last = b->first - 1;
        b = &s->reach[last][b->device];
    }
}

double chain_solve(const struct predict *p, const struct chain_op *op, int *pick)
{
    const struct graph *g = p->graph;
    const int begin = g->block_begin, last = g->block_end - 1, layers = g->model->shape.n_layer;
    struct chain_op with[GRAPH_MAX_OPS];
    struct section head, body, tail;
    double best = INFINITY;
    head.p = body.p = tail.p = p;
    head.op = body.op = tail.op = with;
    assert(p->cut[begin] && p->cut[last]);
    for (int i = 0; i < g->n_ops; i++)
        with[i] = op[i];
    // The first operator of the block is the same in every layer, but what is before it differs.
    for (int c = 0; c < op[begin].n; c++) {
        struct chain_candidate *k = &op[begin].candidate[c];
        struct predict_state state;
        int device = alone(k);
        assert(device >= 0);
        with[begin] = (struct chain_op){1, k};
        predict_begin(p, &state);
        solve(&head, 0, begin + 1, &state);
        predict_behind(p, begin, device, &state);
        solve(&body, begin + 1, last + 1, &state);
        for (int d = 0; d < p->n_devices; d++) {
            if (body.reach[last][d].time == INFINITY)
                continue;
            predict_behind(p, last, d, &state);
            predict_op(p, &state, begin, k->shard, k->n);
            double again = state.dry[device];
            predict_behind(p, last, d, &state);
            solve(&tail, last + 1, g->n_ops, &state);
            double time = head.reach[begin][device].time + layers * body.reach[last][d].time +
                          (layers - 1) * again + tail.end.time;
            if (time >= best)
                continue;
            best = time;
            trace(&head, &head.reach[begin][device], begin, pick);
            pick[begin] = c;
            trace(&body, &body.reach[last][d], last, pick);
            trace(&tail, &tail.end, g->n_ops - 1, pick);
        }
    }
    return best;
}
