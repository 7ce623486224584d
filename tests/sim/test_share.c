// SPDX-License-Identifier: GPL-3.0-or-later
// Max-min sharing against cases solved by hand and against a slow fluid simulation. The unit is
// chosen so that hand calculation is exact: 1e12 units/s is one unit per picosecond.
#include "tests/harness.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include "base/digest.h"
#include "base/rng.h"
#include "sim/share.h"

#define U 1e12 // one unit per ps

struct stream {
    struct sim_flow flow;
    int64_t ended; // ps; -1 before
    int ends, again;
    double amount;
};

static void on_done(struct sim *s, struct sim_flow *f)
{
    struct stream *t = SIM_OWNER(f, struct stream, flow);
    CHECK(!sim_flow_active(f));
    t->ended = sim_now(s);
    t->ends++;
}

static struct sim *sim;
static struct sim_share share;
static struct stream st[8];

static void begin(double capacity)
{
    sim = sim_create();
    sim_share_init(&share, sim, capacity);
    memset(st, 0, sizeof st);
    for (int i = 0; i < 8; i++)
        st[i].ended = -1;
}

static void start(int i, double amount, double limit, double weight)
{
    sim_flow_start(&share, &st[i].flow, i, amount, limit, weight, on_done);
}

static void check_rates(int n, ...)
{
    va_list ap;
    va_start(ap, n);
    for (int i = 0; i < n; i++)
        CHECK_NEAR(sim_flow_rate(&st[i].flow) / U, va_arg(ap, double), 0);
    va_end(ap);
}

static void test_one_flow(void)
{
    begin(10 * U);
    start(0, 1000, 4 * U, 1); // by its limit
    CHECK(sim_flow_active(&st[0].flow));
    sim_run_until(sim, 249);
    CHECK_INT(st[0].ended, -1);
    CHECK_NEAR(sim_share_moved(&share, 0), 996, 0);
    CHECK_NEAR(sim_flow_remaining(&st[0].flow), 4, 0);
    CHECK_NEAR(share.moved[0], 0, 0);
    sim_run_until(sim, 250);
    CHECK_INT(st[0].ended, 250);
    CHECK_NEAR(sim_share_moved(&share, 0), 1000, 0);
    CHECK_NEAR(sim_share_rate(&share), 0, 0);
    start(0, 1001, INFINITY, 3); // by the capacity, whatever its weight; rounded up to a whole ps
    CHECK_NEAR(sim_share_rate(&share), 10 * U, 0);
    sim_run_until(sim, 350);
    CHECK_INT(st[0].ended, 250);
    sim_run_until(sim, 351);
    CHECK_INT(st[0].ended, 351);
    CHECK_NEAR(sim_share_moved(&share, 0), 2001, 0); // exactly, not 10 * 101
    CHECK_INT(sim_share_busy(&share), 351);
    sim_run_until(sim, 500);
    CHECK_INT(sim_share_busy(&share), 351);
    sim_destroy(sim);
}

static void test_max_min_by_hand(void)
{
    begin(10 * U); // fair is 2.5; 2 leaves 0.5, which 2.5 does not want: 5.5 for the other two
    start(0, 1e9, 2 * U, 1);
    start(1, 1e9, 2.5 * U, 1);
    start(2, 1e9, 4 * U, 1);
    start(3, 1e9, 5 * U, 1);
    check_rates(4, 2.0, 2.5, 2.75, 2.75);
    CHECK_NEAR(sim_share_rate(&share), 10 * U, 0);
    sim_destroy(sim);

    begin(16 * U); // limits and weights; two rounds of pinning
    start(0, 1e9, 4 * U, 2.5);
    start(1, 1e9, 2 * U, 4);
    start(2, 1e9, 10 * U, 0.5);
    start(3, 1e9, 4 * U, 1);
    // Level 2: shares 5 8 1 2, pins 0 and 1; 10 left for weight 1.5: 3.33 and 6.67, pins 3; 6.
    check_rates(4, 4.0, 2.0, 6.0, 4.0);
    sim_destroy(sim);

    begin(12 * U); // weights only
    start(0, 1e9, INFINITY, 1);
    start(1, 1e9, INFINITY, 2);
    start(2, 1e9, INFINITY, 3);
    check_rates(3, 2.0, 4.0, 6.0);
    sim_destroy(sim);
}

static void test_both_sides_of_the_capacity(void)
{
    begin(10 * U);
    start(0, 1e9, 4 * U, 1);
    start(1, 1e9, 6 * U, 1); // fits exactly
    check_rates(2, 4.0, 6.0);
    CHECK(!share.saturated);
    sim_flow_set_limit(&st[1].flow, 7 * U); // one more: 4 is pinned, 6 is what it leaves
    check_rates(2, 4.0, 6.0);
    CHECK(share.saturated);
    sim_flow_set_limit(&st[0].flow, 5 * U); // exactly the fair share
    check_rates(2, 5.0, 5.0);
    sim_flow_set_limit(&st[0].flow, 6 * U);
    check_rates(2, 5.0, 5.0);
    sim_flow_set_limit(&st[1].flow, 1 * U);
    check_rates(2, 6.0, 1.0);
    CHECK(!share.saturated);
    sim_destroy(sim);
}

static void test_join_and_leave(void)
{
    begin(10 * U);
    start(0, 1000, INFINITY, 1); // alone: 10 per ps
    sim_run_until(sim, 40);      // 600 left
    start(1, 200, INFINITY, 1);  // 5 each: 1 ends at 80 (0: 400 left), then 10 again: 120
    sim_run_until(sim, 80);
    CHECK_INT(st[1].ended, 80);
    CHECK_NEAR(sim_share_moved(&share, 0), 600, 0);
    CHECK_NEAR(sim_share_moved(&share, 1), 200, 0);
    sim_run_until(sim, 119);
    CHECK_INT(st[0].ended, -1);
    sim_run_until(sim, 120);
    CHECK_INT(st[0].ended, 120);
    CHECK_NEAR(share.moved[0] + share.moved[1], 1200, 0);
    CHECK_INT(sim_share_busy(&share), 120);
    CHECK_INT(share.n_flows, 0);
    CHECK(share.flows == NULL);
    sim_destroy(sim);
}

static void test_equal_flows_end_in_the_order_of_their_starts(void)
{
    begin(9 * U);
    for (int i = 0; i < 3; i++)
        start(i, 300, INFINITY, 1);
    CHECK_NEAR(sim_share_rate(&share), 9 * U, 0);
    sim_step(sim);
    CHECK_INT(st[0].ended, 100);
    CHECK_INT(st[1].ended, -1);
    sim_step(sim);
    CHECK_INT(st[1].ended, 100);
    CHECK_NEAR(sim_share_rate(&share), 9 * U, 0); // solved while flow 2 is about to end: stays put
    sim_step(sim);
    CHECK_INT(st[2].ended, 100);
    CHECK_INT(sim_fired(sim), 3);
    for (int i = 0; i < 3; i++)
        CHECK_NEAR(sim_share_moved(&share, i), 300, 0);
    sim_destroy(sim);
}

static void test_set_capacity(void)
{
    begin(10 * U);
    start(0, 1000, 8 * U, 1);
    start(1, 1000, INFINITY, 1); // 5 each
    sim_run_until(sim, 100);     // 500 left
    sim_share_set_capacity(&share, 20 * U);
    check_rates(2, 8.0, 12.0); // 500 / 12 = 41.7: ends at 142; 0 has 500 - 336 = 164: 20.5 more
    sim_run_until(sim, 142);
    CHECK_INT(st[1].ended, 142);
    sim_run_until(sim, 162);
    CHECK_INT(st[0].ended, -1);
    sim_run_until(sim, 163);
    CHECK_INT(st[0].ended, 163);

    start(2, 100, INFINITY, 1); // none at all: it stalls, and goes on
    sim_run_until(sim, 165);    // 60 left
    sim_share_set_capacity(&share, 0);
    CHECK_NEAR(sim_share_rate(&share), 0, 0);
    CHECK(!sim_pending(&st[2].flow.end));
    sim_run_until(sim, 1000);
    CHECK_NEAR(sim_share_moved(&share, 2), 40, 0);
    sim_share_set_capacity(&share, 60 * U);
    sim_run_until(sim, 1001);
    CHECK_INT(st[2].ended, 1001);
    CHECK_NEAR(sim_share_moved(&share, 2), 100, 0);
    sim_destroy(sim);
}

static void test_set_limit(void)
{
    begin(10 * U);
    start(0, 1000, INFINITY, 1);
    start(1, 600, 2 * U, 1); // 8 and 2
    sim_run_until(sim, 50);  // 600 and 500 left
    sim_flow_set_limit(&st[1].flow, INFINITY);
    sim_run_until(sim, 149); // 5 and 5: 500 / 5 = 100
    CHECK_INT(st[1].ended, -1);
    sim_run_until(sim, 150);
    CHECK_INT(st[1].ended, 150);
    CHECK_INT(st[0].ended, -1); // 100 left
    sim_flow_set_limit(&st[0].flow, 0);
    CHECK_NEAR(sim_share_rate(&share), 0, 0);
    sim_run_until(sim, 200);
    sim_flow_set_limit(&st[0].flow, 4 * U);
    sim_run_until(sim, 225);
    CHECK_INT(st[0].ended, 225);
    sim_destroy(sim);
}

static void test_cancel(void)
{
    begin(10 * U);
    start(0, 1000, INFINITY, 1);
    start(1, 1000, INFINITY, 1);
    start(2, 1000, INFINITY, 2);  // 2.5 2.5 5
    sim_run_until(sim, 100);      // 750 750 500 left
    sim_flow_cancel(&st[1].flow); // the middle one; the others get 10/3 and 20/3
    CHECK(!sim_flow_active(&st[1].flow));
    CHECK(!sim_pending(&st[1].flow.end));
    CHECK_NEAR(share.moved[1], 250, 0);
    sim_flow_cancel(&st[1].flow); // idle stays idle
    CHECK_NEAR(share.moved[1], 250, 0);
    CHECK_NEAR(sim_flow_rate(&st[1].flow), 0, 0);
    CHECK_NEAR(sim_flow_remaining(&st[1].flow), 0, 0);
    sim_run_until(sim, 175); // 500 / (20/3)
    CHECK_INT(st[2].ended, 175);
    start(1, 1, INFINITY, 1);
    sim_flow_cancel(&st[1].flow); // before anything moved
    CHECK_NEAR(share.moved[1], 250, 0);
    sim_run_until(sim, 225); // 0 has 500 left at 175
    CHECK_INT(st[0].ended, 225);
    CHECK_INT(st[1].ends, 0);
    CHECK_INT(share.n_flows, 0);
    sim_destroy(sim);
}

static void test_unchanged_rates_are_left_alone(void)
{
    begin(100 * U);
    start(0, 1000, 10 * U, 1);
    start(1, 2000, INFINITY, 1);
    CHECK_NEAR(sim_share_rate(&share), 100 * U, 0);
    uint64_t seq = st[0].flow.end.seq;
    uint64_t seq1 = st[1].flow.end.seq;
    sim_run_until(sim, 3);
    start(2, 300, 5 * U, 1); // takes from 1 only
    CHECK_NEAR(sim_share_rate(&share), 100 * U, 0);
    CHECK_INT(st[0].flow.end.seq, seq);
    CHECK_INT(st[0].flow.since, 0);
    CHECK(st[1].flow.end.seq != seq1);
    CHECK_INT(st[1].flow.since, 3);
    sim_run_until(sim, 200);
    CHECK_INT(st[0].ended, 100);
    CHECK_INT(st[2].ended, 63);
    // 90 per ps until 3, then 85: 3 + 1730 / 85 = 23.4
    CHECK_INT(st[1].ended, 24);
    sim_destroy(sim);

    begin(100 * U); // below saturation nothing is solved when a flow ends
    start(0, 1000, 10 * U, 1);
    start(1, 1000, 20 * U, 1);
    sim_run_until(sim, 49);
    CHECK_INT(share.solves, 1);
    sim_run_until(sim, 200);
    CHECK_INT(st[1].ended, 50);
    CHECK_INT(st[0].ended, 100);
    CHECK_INT(share.solves, 1);
    sim_destroy(sim);
}

static void on_done_again(struct sim *s, struct sim_flow *f)
{
    struct stream *t = SIM_OWNER(f, struct stream, flow);
    on_done(s, f);
    if (t->again-- > 0)
        sim_flow_start(&share, f, f->client, t->amount, f->limit, f->weight, on_done_again);
}

static void test_restart_in_done_disturbs_nobody(void)
{
    begin(10 * U);
    st[0].again = 3;
    st[0].amount = 50;
    sim_flow_start(&share, &st[0].flow, 0, 50, INFINITY, 1, on_done_again);
    start(1, 10000, INFINITY, 1);
    sim_run_until(sim, 5);
    uint64_t seq = st[1].flow.end.seq;
    sim_run_until(sim, 35);
    CHECK_INT(st[0].ends, 3);
    CHECK_INT(st[1].flow.end.seq, seq);
    CHECK_INT(st[1].flow.since, 0);
    sim_run_until(sim, 40);
    CHECK_INT(st[0].ends, 4);
    CHECK_NEAR(sim_share_moved(&share, 0), 200, 0);
    sim_run_until(sim, 2000); // 1: 9800 left at 40, alone
    CHECK_INT(st[1].ended, 1020);
    sim_destroy(sim);
}

static void test_several_flows_of_one_client(void)
{
    begin(10 * U);
    sim_flow_start(&share, &st[0].flow, 7, 100, 1 * U, 1, on_done);
    sim_flow_start(&share, &st[1].flow, 7, 100, 2 * U, 1, on_done);
    sim_run_until(sim, 50);
    CHECK_NEAR(sim_share_moved(&share, 7), 150, 0);
    CHECK_NEAR(share.moved[7], 100, 0);
    CHECK_NEAR(sim_share_moved(&share, 0), 0, 0);
    sim_destroy(sim);
}

// What is known before the run: arrivals, cancellations, new limits and capacities. The reference
// and the kernel play the same script.
enum { FLOWS = 10000, OPS = 2 * FLOWS };
enum op_kind { OP_START, OP_LIMIT, OP_CANCEL, OP_CAPACITY };

static struct op {
    int64_t time;
    enum op_kind kind;
    int flow;
    double value;
} script[OPS];
static struct {
    double amount, limit, weight;
} plan[FLOWS];

static uint64_t splitmix(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

static void write_script(void)
{
    uint64_t r = 5;
    int64_t now = 0;
    int started = 0;
    for (int i = 0; i < OPS; i++) {
        bool must = OPS - i == FLOWS - started;
        int kind = started < FLOWS && (must || splitmix(&r) % 2) ? 0 : (int)(splitmix(&r) % 8);
        struct op *o = &script[i];
        o->time = now += (int64_t)(splitmix(&r) % 1000000); // 0.5 us apart
        o->flow = started ? started - 1 - (int)(splitmix(&r) % 6) : 0;
        o->flow = o->flow < 0 ? 0 : o->flow;
        double limit = 1e9 * (double)(2 + splitmix(&r) % 40); // 2 to 41 GB/s on 60 GB/s
        if (splitmix(&r) % 8 == 0)
            limit = INFINITY;
        if (kind == 0 && started < FLOWS) {
            o->kind = OP_START;
            o->flow = started++;
            plan[o->flow].amount = (double)(64 * (1 + splitmix(&r) % 1000));
            plan[o->flow].limit = limit;
            plan[o->flow].weight = splitmix(&r) % 4 ? 1 : 0.5 * (double)(1 + splitmix(&r) % 6);
        } else if (kind < 4) {
            o->kind = OP_LIMIT;
            o->value = limit;
        } else if (kind < 6) {
            o->kind = OP_CANCEL;
        } else {
            o->kind = OP_CAPACITY;
            o->value = 1e9 * (double)(20 + splitmix(&r) % 60);
        }
    }
}

// The reference: no events, no lists, nothing kept but what is left of each active flow. Rates are
// solved from scratch by sorting (limit / weight ascending), everything is advanced at every step,
// in long double.
struct fluid {
    int id;
    long double left, limit, weight, rate;
};
static struct fluid fluid[FLOWS];
static int n_fluid, most_fluid;
static int64_t reference_end[FLOWS]; // -1: cancelled
static double reference_moved[FLOWS];

static int by_limit(const void *a, const void *b)
{
    const struct fluid *x = a, *y = b;
    long double p = x->limit / x->weight, q = y->limit / y->weight;
    return p < q ? -1 : p > q;
}

static int64_t reference_solve(int64_t now, long double capacity)
{
    int64_t next = SIM_NEVER;
    long double weights = 0;
    qsort(fluid, (size_t)n_fluid, sizeof fluid[0], by_limit);
    for (int i = 0; i < n_fluid; i++)
        weights += fluid[i].weight;
    for (int i = 0; i < n_fluid; i++) {
        struct fluid *f = &fluid[i];
        long double fair = capacity * f->weight / weights;
        f->rate = f->limit < fair ? f->limit : fair;
        capacity -= f->rate;
        weights -= f->weight;
        int64_t end = now + (int64_t)ceill(f->left * 1e12L / f->rate - 1e-6L);
        next = end < next ? end : next;
    }
    return next;
}

static void reference_advance(int64_t dt)
{
    for (int i = 0; i < n_fluid; i++)
        fluid[i].left -= fluid[i].rate * (long double)dt * 1e-12L;
}

static void reference_run(void)
{
    int64_t now = 0;
    long double capacity = 60e9L;
    for (int i = 0; i <= OPS;) {
        int64_t op = i < OPS ? script[i].time : SIM_NEVER;
        int64_t end = reference_solve(now, capacity);
        int64_t then = op < end ? op : end;
        if (then == SIM_NEVER)
            break;
        reference_advance(then - now);
        now = then;
        for (int k = 0; k < n_fluid;) {
            // Gone within half a ps: ends now.
            if (fluid[k].left <= fluid[k].rate * 0.5e-12L) {
                reference_end[fluid[k].id] = now;
                reference_moved[fluid[k].id] = plan[fluid[k].id].amount;
                fluid[k] = fluid[--n_fluid];
            } else {
                k++;
            }
        }
        if (now < op)
            continue;
        const struct op *o = &script[i++];
        if (o->kind == OP_START) {
            fluid[n_fluid++] = (struct fluid){.id = o->flow,
                                              .left = plan[o->flow].amount,
                                              .limit = plan[o->flow].limit,
                                              .weight = plan[o->flow].weight};
            most_fluid = n_fluid > most_fluid ? n_fluid : most_fluid;
        } else if (o->kind == OP_CAPACITY) {
            capacity = o->value;
        }
        for (int k = 0; k < n_fluid; k++) {
            if (fluid[k].id != o->flow)
                continue;
            if (o->kind == OP_LIMIT)
                fluid[k].limit = o->value;
            if (o->kind == OP_CANCEL) {
                reference_end[o->flow] = -1;
                reference_moved[o->flow] = plan[o->flow].amount - (double)fluid[k].left;
                fluid[k] = fluid[--n_fluid];
            }
        }
    }
}

// Limits that are the fair shares but for a rounding error: filling must come to an end.
static void test_limits_at_the_fair_share(void)
{
    struct rng *r = rng_create(3, "fair");
    for (int round = 0; round < 2000; round++) {
        int n = 2 + round % 6;
        double weight[8], sum = 0;
        begin(62.4e9);
        for (int i = 0; i < n; i++)
            sum += weight[i] = 6400 + floor(30000 * rng_uniform(r));
        for (int i = 0; i < n; i++) {
            double fair = 62.4e9 * weight[i] / sum;
            double limit = fair * (1 + (double)((round + i) % 3 - 1) * 0x1p-52);
            sim_flow_start(&share, &st[i].flow, i, 1000, limit, weight[i], on_done);
        }
        while (sim_step(sim))
            ;
        for (int i = 0; i < n; i++)
            CHECK_INT(st[i].ends, 1);
        sim_destroy(sim);
    }
    rng_destroy(r);
}

static struct stream random_flows[FLOWS];

static void test_random_flows_agree_with_a_slow_fluid_simulation(void)
{
    begin(60e9);
    write_script();
    reference_run();
    double least_moved = 0;
    bool excess = false;
    for (int i = 0; i < OPS; i++) {
        const struct op *o = &script[i];
        sim_run_until(sim, o->time);
        struct sim_flow *f = &random_flows[o->flow].flow;
        if (o->kind == OP_START) {
            random_flows[o->flow].ended = -1;
            sim_flow_start(&share, f, o->flow % SIM_SHARE_CLIENTS, plan[o->flow].amount,
                           plan[o->flow].limit, plan[o->flow].weight, on_done);
        } else if (o->kind == OP_CAPACITY) {
            sim_share_set_capacity(&share, o->value);
        } else if (o->kind == OP_LIMIT && sim_flow_active(f)) {
            sim_flow_set_limit(f, o->value);
        } else if (o->kind == OP_CANCEL) {
            sim_flow_cancel(f);
        }
        if (i % 16 == 0) // solving early must not change anything
            excess |= sim_share_rate(&share) > share.capacity * (1 + 1e-12);
        if (i % 64 == 0) {
            double moved = 0;
            for (int c = 0; c < SIM_SHARE_CLIENTS; c++)
                moved += sim_share_moved(&share, c);
            excess |= moved < least_moved * (1 - 1e-12);
            least_moved = moved;
        }
    }
    while (sim_step(sim))
        ;
    CHECK(!excess);
    CHECK_INT(share.n_flows, 0);
    CHECK(most_fluid >= 6);

    // The reference rounds each end up to a ps as well; where that falls on the other side of a
    // whole ps the two drift apart by no more than the others' share of a ps.
    int64_t worst = 0;
    int cancelled = 0, shifted = 0;
    double want[SIM_SHARE_CLIENTS] = {0};
    for (int i = 0; i < FLOWS; i++) {
        want[i % SIM_SHARE_CLIENTS] += reference_moved[i];
        cancelled += reference_end[i] < 0;
        if (reference_end[i] < 0 || random_flows[i].ended < 0) {
            if (reference_end[i] >= 0 || random_flows[i].ended >= 0)
                CHECK_INT(random_flows[i].ended, reference_end[i]);
            continue;
        }
        int64_t d = llabs(random_flows[i].ended - reference_end[i]);
        shifted += d > 0;
        worst = d > worst ? d : worst;
    }
    test_note("%d flows, %d cancelled, at most %d at once, %d ends off, by %lld ps at most", FLOWS,
              cancelled, most_fluid, shifted, (long long)worst);
    CHECK(worst <= 4);
    CHECK(shifted < FLOWS / 100);
    CHECK(cancelled > 50);
    for (int c = 0; c < SIM_SHARE_CLIENTS; c++)
        CHECK_NEAR(share.moved[c] / want[c], 1, 1e-9);

    uint64_t digest = DIGEST_INIT;
    for (int i = 0; i < FLOWS; i++)
        digest = digest_u64(digest, (uint64_t)random_flows[i].ended);
    for (int c = 0; c < SIM_SHARE_CLIENTS; c++)
        digest = digest_f64(digest, share.moved[c]);
    char text[17];
    CHECK_STR(digest_text(digest, text), "1f7942f17ff7b7e7"); // to the bit, on every compiler
    sim_destroy(sim);
}

TESTS(sim_share, T(test_limits_at_the_fair_share), T(test_one_flow), T(test_max_min_by_hand),
      T(test_both_sides_of_the_capacity), T(test_join_and_leave),
      T(test_equal_flows_end_in_the_order_of_their_starts), T(test_set_capacity), T(test_set_limit),
      T(test_cancel), T(test_unchanged_rates_are_left_alone),
      T(test_restart_in_done_disturbs_nobody), T(test_several_flows_of_one_client),
      T(test_random_flows_agree_with_a_slow_fluid_simulation))
