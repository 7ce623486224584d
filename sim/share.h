// SPDX-License-Identifier: GPL-3.0-or-later
// A resource shared max-min fairly by clients with limits of their own: DRAM bandwidth among the
// initiators of a SoC.
//
// A flow is `amount` units (bytes) to be moved at a rate of at most `limit` units per second. All
// active flows share `capacity`: nobody gets more than its limit; nobody can get more without
// somebody who has less or equal getting less (progressive filling, with weights). Between changes
// the rates are constant, so events are needed only when a flow starts, ends or changes its limit;
// only flows whose rate changed are rescheduled.
//
// Changes of one instant are solved together, once, before the clock moves on (sim_settle): a flow
// that its owner restarts in `done` disturbs nobody. Until then `rate` is the rate of the time up
// to now; sim_flow_rate and sim_share_rate solve first if they must.
//
// Progress is kept in double with exact end accounting: a flow ends at the first whole picosecond
// at which its amount has been moved, and is then booked as exactly its amount (conservation is
// checked).
#ifndef SIM_SHARE_H
#define SIM_SHARE_H

#include "sim/sim.h"

struct sim_flow;
struct sim_share;
typedef void sim_flow_fn(struct sim *s, struct sim_flow *f);

// Zero it before its first start.
struct sim_flow {
    struct sim_event end;         // fires when the amount has been moved
    struct sim_share *share;      // NULL when idle
    struct sim_flow *prev, *next; // in the order of the starts; the first one's prev is the last
    double remaining;             // units, as of `since`
    double limit;                 // units/s
    double weight;                // share of the capacity relative to others; 1 by default
    double rate;                  // units/s, as of the last solve
    double amount;                // units, as started
    int64_t since;                // time of the last progress update
    sim_flow_fn *done;
    int client; // for statistics: index of the initiator
};

enum { SIM_SHARE_CLIENTS = 16 };

struct sim_share {
    struct sim *sim;
    struct sim_settle settle;
    double capacity; // units/s
    struct sim_flow *flows;
    int n_flows;
    bool saturated;                  // as of the last solve, some flow was below its limit
    double moved[SIM_SHARE_CLIENTS]; // units, by client; flows under way not included
    int64_t busy_ps;                 // time with at least one flow, up to the last idle time
    int64_t since;                   // when n_flows left 0
    uint64_t solves;
};

void sim_share_init(struct sim_share *r, struct sim *s, double capacity);
void sim_share_set_capacity(struct sim_share *r, double capacity); // from now on; 0: all stall
// Starts an idle flow. amount > 0, limit > 0 (INFINITY allowed), weight > 0. `done` runs at the
// end, when the flow is idle again and may be restarted.
void sim_flow_start(struct sim_share *r, struct sim_flow *f, int client, double amount,
                    double limit, double weight, sim_flow_fn *done);
void sim_flow_set_limit(struct sim_flow *f, double limit); // from now on; 0: it stalls
void sim_flow_cancel(struct sim_flow *f);                  // idle flows stay idle; no `done`
static inline bool sim_flow_active(const struct sim_flow *f)
{
    return f->share != NULL;
}
double sim_flow_rate(const struct sim_flow *f);                // units/s from now on; 0 when idle
double sim_flow_remaining(const struct sim_flow *f);           // units left now; 0 when idle
double sim_share_moved(const struct sim_share *r, int client); // units up to now
double sim_share_rate(const struct sim_share *r);              // sum of the rates from now on
int64_t sim_share_busy(const struct sim_share *r);             // busy_ps up to now

#endif
