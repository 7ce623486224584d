// SPDX-License-Identifier: GPL-3.0-or-later
// Max-min sharing by progressive filling (Bertsekas and Gallager, Data Networks, 6.5.2), with
// limits and weights.
//
// Raise one water level for all flows: a flow gets weight * level until it reaches its limit, and
// what it leaves is for the others. So the rates are min(limit, weight * level) for the one level
// at which they add up to the capacity, and the level is found by starting from equal shares and
// raising it as long as that pins more flows to their limits: at most one pass per flow, usually
// one in all. If all limits fit into the capacity there is no level to find.
//
// A change only marks the share; it is solved once when the clock is about to move on. A flow keeps
// (remaining, since) of its last change of rate and is linear from there, so a flow whose rate
// stays the same is not touched, neither its progress nor its event.
//
// Everything is a fixed sequence of IEEE additions, multiplications and divisions without
// contraction, so every compiler gets the same bits. Dividing by PS_PER_S (not multiplying by its
// inexact inverse) keeps hand-computable cases exact.
//
// Invariant: a flow is in its share's list exactly while `share` is set; once settled, its `end` is
// pending exactly if its rate is not 0.
#include "sim/share.h"

#include <assert.h>
#include <math.h>
#include "base/units.h"

static double remaining_at(const struct sim_flow *f, int64_t now)
{
    double left = f->remaining - f->rate * (double)(now - f->since) / (double)PS_PER_S;
    return left > 0 ? left : 0; // the end is rounded up to a whole ps, so it can overshoot
}

// ceil() for 0 <= x < 2^63, without a call where the instruction set has no rounding.
static int64_t round_up(double x)
{
    int64_t i = (int64_t)x;
    return i + ((double)i < x);
}

static void set_rate(struct sim *s, struct sim_flow *f, double rate)
{
    if (rate == f->rate)
        return;
    int64_t now = sim_now(s);
    if (f->since != now) {
        f->remaining = remaining_at(f, now);
        f->since = now;
    }
    f->rate = rate;
    if (sim_pending(&f->end) && f->end.time == now)
        return; // all has been moved already, whatever rounding left in `remaining`
    double ps = rate > 0 ? f->remaining * (double)PS_PER_S / rate : INFINITY;
    if (ps < (double)(SIM_NEVER - now) - 1024) // 1024: the spacing of doubles there
        sim_schedule(s, &f->end, now + round_up(ps));
    else
        sim_cancel(s, &f->end);
}

static void solve(struct sim_share *r)
{
    struct sim *s = r->sim;
    r->solves++;
    struct sim_flow *first = r->flows;
    if (!first) {
        r->saturated = false;
        return;
    }
    double capacity = r->capacity;
    if (!first->next) {
        r->saturated = first->limit > capacity;
        set_rate(s, first, r->saturated ? capacity : first->limit);
        return;
    }
    double limits = 0, weights = 0;
    for (const struct sim_flow *f = first; f; f = f->next) {
        limits += f->limit;
        weights += f->weight;
    }
    r->saturated = limits > capacity;
    if (!r->saturated) {
        for (struct sim_flow *f = first; f; f = f->next)
            set_rate(s, f, f->limit);
        return;
    }
    double level = capacity / weights;
    for (int pinned = 0;;) {
        int n = 0;
        double left = capacity, w = 0;
        for (const struct sim_flow *f = first; f; f = f->next) {
            if (f->limit <= f->weight * level) {
                n++;
                left -= f->limit;
            } else {
                w += f->weight;
            }
        }
        // All pinned: the limits exceed the capacity by a rounding error. Fewer than before: a
        // limit is the fair share but for a rounding error.
        if (n <= pinned || n == r->n_flows)
            break;
        pinned = n;
        level = left / w;
    }
    for (struct sim_flow *f = first; f; f = f->next) {
        double fair = f->weight * level;
        set_rate(s, f, f->limit <= fair ? f->limit : fair);
    }
}

static void on_settle(struct sim *s, struct sim_settle *t)
{
    (void)s;
    solve(SIM_OWNER(t, struct sim_share, settle));
}

static void changed(struct sim_share *r)
{
    sim_settle(r->sim, &r->settle);
}

static void unlink_flow(struct sim_share *r, struct sim_flow *f)
{
    if (r->flows == f)
        r->flows = f->next;
    else
        f->prev->next = f->next;
    if (f->next)
        f->next->prev = f->prev;
    else if (r->flows)
        r->flows->prev = f->prev;
    f->share = NULL;
    if (--r->n_flows == 0)
        r->busy_ps += sim_now(r->sim) - r->since;
    // While all flows are at their limits, one less changes nothing for the others.
    if (r->saturated)
        changed(r);
}

static void on_end(struct sim *s, struct sim_event *e)
{
    struct sim_flow *f = SIM_OWNER(e, struct sim_flow, end);
    struct sim_share *r = f->share;
    r->moved[f->client] += f->amount;
    unlink_flow(r, f);
    f->done(s, f);
}

void sim_share_init(struct sim_share *r, struct sim *s, double capacity)
{
    assert(capacity >= 0 && capacity < INFINITY);
    *r = (struct sim_share){.sim = s, .capacity = capacity};
    sim_settle_init(&r->settle, on_settle);
}

void sim_share_set_capacity(struct sim_share *r, double capacity)
{
    assert(capacity >= 0 && capacity < INFINITY);
    if (capacity != r->capacity) {
        r->capacity = capacity;
        changed(r);
    }
}

void sim_flow_start(struct sim_share *r, struct sim_flow *f, int client, double amount,
                    double limit, double weight, sim_flow_fn *done)
{
    assert(!f->share && client >= 0 && client < SIM_SHARE_CLIENTS && done);
    assert(amount > 0 && amount < INFINITY && limit > 0 && weight > 0 && weight < INFINITY);
    sim_event_init(&f->end, on_end);
    f->share = r;
    f->remaining = f->amount = amount;
    f->limit = limit;
    f->weight = weight;
    f->rate = 0;
    f->since = sim_now(r->sim);
    f->done = done;
    f->client = client;
    f->next = NULL;
    if (r->flows) {
        f->prev = r->flows->prev;
        f->prev->next = f;
    } else {
        f->prev = f;
        r->flows = f;
    }
    r->flows->prev = f;
    if (r->n_flows++ == 0)
        r->since = f->since;
    changed(r);
}

void sim_flow_set_limit(struct sim_flow *f, double limit)
{
    assert(f->share && limit >= 0);
    if (limit != f->limit) {
        f->limit = limit;
        changed(f->share);
    }
}

void sim_flow_cancel(struct sim_flow *f)
{
    struct sim_share *r = f->share;
    if (!r)
        return;
    r->moved[f->client] += f->amount - remaining_at(f, sim_now(r->sim));
    sim_cancel(r->sim, &f->end);
    unlink_flow(r, f);
}

// Shares live in their owners' memory, so that none is really const.
static void solve_if_due(const struct sim_share *r)
{
    if (r->settle.due)
        solve((struct sim_share *)r);
}

double sim_flow_rate(const struct sim_flow *f)
{
    if (!f->share)
        return 0;
    solve_if_due(f->share);
    return f->rate;
}

double sim_flow_remaining(const struct sim_flow *f)
{
    return f->share ? remaining_at(f, sim_now(f->share->sim)) : 0;
}

double sim_share_moved(const struct sim_share *r, int client)
{
    assert(client >= 0 && client < SIM_SHARE_CLIENTS);
    double moved = r->moved[client];
    for (const struct sim_flow *f = r->flows; f; f = f->next)
        if (f->client == client)
            moved += f->amount - remaining_at(f, sim_now(r->sim));
    return moved;
}

double sim_share_rate(const struct sim_share *r)
{
    solve_if_due(r);
    double rate = 0;
    for (const struct sim_flow *f = r->flows; f; f = f->next)
        rate += f->rate;
    return rate;
}

int64_t sim_share_busy(const struct sim_share *r)
{
    return r->busy_ps + (r->n_flows ? sim_now(r->sim) - r->since : 0);
}
