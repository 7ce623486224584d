// SPDX-License-Identifier: GPL-3.0-or-later
// The event kernel against hand-made cases and against a sorted list.
#include "tests/harness.h"

#include <string.h>
#include "base/digest.h"
#include "sim/sim.h"
#include "sim/trace.h"

// A probe writes down when it fired and then does what its test wants.
struct probe {
    struct sim_event event;
    int id;
    void (*then)(struct sim *s, struct probe *p);
    struct probe *other;
    int64_t arg;
};

enum { MAX_LOG = 64 };
static int log_id[MAX_LOG];
static int64_t log_time[MAX_LOG];
static int log_n;

static void on_probe(struct sim *s, struct sim_event *e)
{
    struct probe *p = SIM_OWNER(e, struct probe, event);
    CHECK(!sim_pending(e));
    CHECK_INT(e->time, sim_now(s));
    if (log_n < MAX_LOG) {
        log_id[log_n] = p->id;
        log_time[log_n] = sim_now(s);
    }
    log_n++;
    if (p->then)
        p->then(s, p);
}

static struct sim *begin(struct probe *p, int n)
{
    log_n = 0;
    memset(p, 0, (size_t)n * sizeof *p);
    for (int i = 0; i < n; i++) {
        p[i].id = i;
        sim_event_init(&p[i].event, on_probe);
    }
    return sim_create();
}

static void check_log(const char *want)
{
    char got[MAX_LOG * 24] = "";
    for (int i = 0; i < log_n && i < MAX_LOG; i++)
        snprintf(got + strlen(got), sizeof got - strlen(got), "%s%d@%lld", i ? " " : "", log_id[i],
                 (long long)log_time[i]);
    CHECK_STR(got, want);
}

static uint64_t splitmix(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

static void test_empty(void)
{
    struct sim *s = sim_create();
    CHECK_INT(sim_now(s), 0);
    CHECK(sim_next(s) == SIM_NEVER);
    CHECK(!sim_step(s));
    sim_run_until(s, 5);
    CHECK_INT(sim_now(s), 5);
    CHECK_INT(sim_fired(s), 0);
    CHECK_INT(sim_length(s), 0);
    sim_destroy(s);
}

static void test_order_is_time_then_sequence(void)
{
    struct probe p[9];
    struct sim *s = begin(p, 9);
    static const int64_t time[] = {30, 10, 20, 10, 0, 20, 10, 30, 10};
    for (int i = 0; i < 9; i++)
        sim_schedule(s, &p[i].event, time[i]);
    CHECK_INT(sim_length(s), 9);
    CHECK_INT(sim_next(s), 0);
    while (sim_step(s))
        ;
    check_log("4@0 1@10 3@10 6@10 8@10 2@20 5@20 0@30 7@30");
    CHECK_INT(sim_fired(s), 9);
    CHECK_INT(sim_now(s), 30);
    sim_destroy(s);
}

static void test_cancel(void)
{
    struct probe p[4];
    struct sim *s = begin(p, 4);
    for (int i = 0; i < 4; i++)
        sim_schedule(s, &p[i].event, 10 * (i + 1));
    sim_cancel(s, &p[0].event); // the root
    sim_cancel(s, &p[3].event); // the last
    CHECK(!sim_pending(&p[0].event) && !sim_pending(&p[3].event));
    sim_cancel(s, &p[0].event); // idle stays idle
    CHECK_INT(sim_length(s), 2);
    CHECK_INT(sim_next(s), 20);
    sim_schedule(s, &p[0].event, 25); // and can come back
    sim_run_until(s, 100);
    check_log("1@20 0@25 2@30");
    sim_destroy(s);
}

static void then_cancel_other(struct sim *s, struct probe *p)
{
    sim_cancel(s, &p->other->event);
    sim_cancel(s, &p->event); // the firing event is idle: nothing happens
}

static void test_cancel_inside_a_handler(void)
{
    struct probe p[6];
    for (int victim = 1; victim < 6; victim++) {
        struct sim *s = begin(p, 6);
        p[0].then = then_cancel_other;
        p[0].other = &p[victim];
        for (int i = 0; i < 6; i++)
            sim_schedule(s, &p[i].event, i);
        sim_run_until(s, 100);
        CHECK_INT(log_n, 5);
        for (int i = 0; i < log_n; i++)
            CHECK(log_id[i] != victim && log_id[i] == log_time[i]);
        sim_destroy(s);
    }
}

static void test_reschedule_earlier_and_later(void)
{
    struct probe p[4];
    struct sim *s = begin(p, 4);
    for (int i = 0; i < 4; i++)
        sim_schedule(s, &p[i].event, 10 * (i + 1)); // 10 20 30 40
    sim_schedule(s, &p[3].event, 5);
    sim_schedule(s, &p[0].event, 25);
    sim_schedule(s, &p[1].event, 20); // to the same time: a new sequence number
    sim_schedule(s, &p[2].event, 20);
    sim_schedule(s, &p[1].event, 20); // now behind 2
    sim_run_until(s, 100);
    check_log("3@5 2@20 1@20 0@25");
    CHECK_INT(sim_fired(s), 4);
    sim_destroy(s);
}

static void then_schedule_other(struct sim *s, struct probe *p)
{
    sim_schedule(s, &p->other->event, sim_now(s) + p->arg);
}

static void then_repeat(struct sim *s, struct probe *p)
{
    if (p->arg-- > 0)
        sim_schedule(s, &p->event, sim_now(s) + 10);
}

static void test_reschedule_inside_a_handler(void)
{
    struct probe p[3];
    struct sim *s = begin(p, 3);
    p[0].then = then_repeat; // itself, into its own vacancy
    p[0].arg = 3;
    p[1].then = then_schedule_other; // a pending one, earlier
    p[1].other = &p[2];
    sim_schedule(s, &p[0].event, 0);
    sim_schedule(s, &p[1].event, 15);
    sim_schedule(s, &p[2].event, 1000);
    sim_run_until(s, 2000);
    check_log("0@0 0@10 1@15 2@15 0@20 0@30");

    sim_reset(s); // later, and an idle one while the vacancy is open
    log_n = 0;
    p[0].then = then_schedule_other;
    p[0].other = &p[1];
    p[0].arg = 50;
    p[1].then = NULL;
    sim_schedule(s, &p[0].event, 0);
    sim_schedule(s, &p[1].event, 10);
    sim_schedule(s, &p[2].event, 20);
    sim_run_until(s, 100);
    check_log("0@0 2@20 1@50");
    sim_destroy(s);
}

static void test_run_until_is_inclusive(void)
{
    struct probe p[3];
    struct sim *s = begin(p, 3);
    sim_schedule(s, &p[0].event, 99);
    sim_schedule(s, &p[1].event, 100);
    sim_schedule(s, &p[2].event, 101);
    sim_run_until(s, 98);
    CHECK_INT(log_n, 0);
    CHECK_INT(sim_now(s), 98);
    sim_run_until(s, 100);
    check_log("0@99 1@100");
    CHECK_INT(sim_now(s), 100);
    CHECK_INT(sim_next(s), 101);
    sim_run_until(s, 100); // again: nothing
    CHECK_INT(log_n, 2);
    sim_schedule(s, &p[0].event, 100); // now is not the past
    sim_run_until(s, 101);
    check_log("0@99 1@100 0@100 2@101");
    sim_destroy(s);
}

static void then_schedule_now_once(struct sim *s, struct probe *p)
{
    if (p->other) {
        sim_schedule(s, &p->other->event, sim_now(s));
        p->other = NULL;
    }
}

static void test_run_until_includes_what_handlers_add(void)
{
    struct probe p[2];
    struct sim *s = begin(p, 2);
    p[0].then = then_schedule_now_once;
    p[0].other = &p[1];
    sim_schedule(s, &p[0].event, 100);
    sim_run_until(s, 100);
    check_log("0@100 1@100");
    sim_destroy(s);
}

static void then_step(struct sim *s, struct probe *p)
{
    (void)p;
    CHECK_INT(sim_next(s), 2); // seen through the vacancy
    CHECK(sim_step(s));
    CHECK_INT(sim_now(s), 2);
}

static void test_step_inside_a_handler(void)
{
    struct probe p[4];
    struct sim *s = begin(p, 4);
    p[0].then = then_step;
    for (int i = 0; i < 4; i++)
        sim_schedule(s, &p[i].event, i ? i + 1 : 0);
    sim_run_until(s, 10);
    check_log("0@0 1@2 2@3 3@4");
    CHECK_INT(sim_fired(s), 4);
    sim_destroy(s);
}

static void then_reset(struct sim *s, struct probe *p)
{
    (void)p;
    sim_reset(s);
}

static void test_reset(void)
{
    struct probe p[5];
    struct sim *s = begin(p, 5);
    uint64_t fresh = sim_digest(s);
    for (int i = 0; i < 5; i++)
        sim_schedule(s, &p[i].event, 10 + i);
    sim_step(s);
    sim_note(s, 1, 2);
    CHECK(sim_digest(s) != fresh);
    sim_reset(s);
    for (int i = 0; i < 5; i++)
        CHECK(!sim_pending(&p[i].event));
    CHECK_INT(sim_now(s), 0);
    CHECK_INT(sim_fired(s), 0);
    CHECK(sim_digest(s) == fresh);
    CHECK(sim_next(s) == SIM_NEVER && !sim_step(s));

    p[1].then = then_reset; // from inside a handler
    for (int i = 0; i < 5; i++)
        sim_schedule(s, &p[i].event, i);
    log_n = 0;
    while (sim_step(s))
        ;
    check_log("0@0 1@1");
    CHECK_INT(sim_now(s), 0);
    CHECK(!sim_pending(&p[4].event));
    sim_destroy(s);
}

static void test_note_digests_time_kind_and_value(void)
{
    struct sim *s = sim_create();
    sim_note(s, 1, 2);
    uint64_t a = sim_digest(s);
    sim_reset(s);
    sim_note(s, 2, 1);
    uint64_t b = sim_digest(s);
    sim_reset(s);
    sim_run_until(s, 1);
    sim_note(s, 1, 2);
    uint64_t c = sim_digest(s);
    sim_reset(s);
    sim_note(s, 1, 2);
    CHECK(a != b && a != c && b != c);
    CHECK(sim_digest(s) == a);
    sim_destroy(s);
}

struct settler {
    struct sim_settle settle;
    int runs;
    int64_t at;
    struct probe *schedule; // once, for the same instant
    struct settler *also;
};

static void on_settle(struct sim *s, struct sim_settle *t)
{
    struct settler *v = SIM_OWNER(t, struct settler, settle);
    v->runs++;
    v->at = sim_now(s);
    if (v->schedule) {
        sim_schedule(s, &v->schedule->event, sim_now(s));
        v->schedule = NULL;
    }
    if (v->also)
        sim_settle(s, &v->also->settle);
}

static struct settler settler, second;

static void then_settle(struct sim *s, struct probe *p)
{
    (void)p;
    CHECK_INT(settler.runs, 0);
    sim_settle(s, &settler.settle);
    sim_settle(s, &settler.settle);
}

static void test_settle_runs_once_before_the_clock_moves(void)
{
    struct probe p[5];
    struct sim *s = begin(p, 5);
    settler = second = (struct settler){0};
    sim_settle_init(&settler.settle, on_settle);
    sim_settle_init(&second.settle, on_settle);
    p[0].then = p[1].then = then_settle;
    settler.schedule = &p[3];
    settler.also = &second;
    sim_schedule(s, &p[0].event, 10);
    sim_schedule(s, &p[1].event, 10);
    sim_schedule(s, &p[2].event, 20);
    sim_step(s);
    CHECK_INT(settler.runs, 0);
    CHECK_INT(sim_next(s), 10); // an event of this instant comes first
    CHECK_INT(settler.runs, 0);
    sim_step(s);
    CHECK_INT(sim_next(s), 10); // 3, which the settling scheduled; it is what made sim_next settle
    CHECK_INT(settler.runs, 1);
    CHECK_INT(settler.at, 10);
    CHECK_INT(second.runs, 0);
    sim_step(s);
    CHECK_INT(second.runs, 0); // still due
    sim_step(s);
    CHECK_INT(second.runs, 1);
    CHECK_INT(second.at, 10);
    check_log("0@10 1@10 3@10 2@20");

    settler.also = NULL; // from outside, before the clock is moved by run_until
    sim_settle(s, &settler.settle);
    sim_run_until(s, 50);
    CHECK_INT(settler.runs, 2);
    CHECK_INT(settler.at, 20);
    sim_settle(s, &settler.settle);
    sim_reset(s); // forgets what is due
    CHECK(!sim_step(s));
    CHECK_INT(settler.runs, 2);
    sim_settle(s, &settler.settle);
    CHECK(!sim_step(s));
    CHECK_INT(settler.runs, 3);
    sim_destroy(s);
}

static int traced;
static void on_slice(void *user, const char *track, const char *name, int64_t b, int64_t e)
{
    CHECK(user == &traced);
    CHECK_STR(track, "npu");
    CHECK_STR(name, "matmul");
    CHECK_INT(b, 3);
    CHECK_INT(e, 9);
    traced++;
}
static void on_counter(void *user, const char *track, int64_t time, double value)
{
    CHECK(user == &traced);
    CHECK_STR(track, "dram");
    CHECK_INT(time, 7);
    CHECK_NEAR(value, 0.5, 0);
    traced += 10;
}

static void test_trace_goes_to_the_sink(void)
{
    static const struct sim_trace_sink sink = {&traced, on_slice, on_counter};
    struct sim *s = sim_create();
    CHECK(!sim_tracing(s));
    sim_trace_slice(s, "npu", "matmul", 3, 9); // to nobody
    sim_set_trace(s, &sink);
    CHECK(sim_tracing(s));
    sim_run_until(s, 7);
    sim_trace_slice(s, "npu", "matmul", 3, 9);
    sim_trace_counter(s, "dram", 0.5);
    CHECK_INT(traced, 11);
    sim_set_trace(s, NULL);
    sim_trace_counter(s, "dram", 0.5);
    CHECK_INT(traced, 11);
    sim_destroy(s);
}

// Random operations against a list that is kept sorted by insertion: what is next, and when, must
// agree after each one. Few distinct times, so that ties are everywhere; operations happen inside
// handlers (while the root is vacant) as often as outside.
enum { RANDOM_EVENTS = 600, RANDOM_OPS = 100000 };

static struct probe crowd[RANDOM_EVENTS];
static struct {
    int64_t time;
    uint64_t seq;
    int id;
} list[RANDOM_EVENTS];
static int list_n;
static uint64_t list_seq, random_state, operations;
static int64_t spread;

static void list_remove(int id)
{
    for (int i = 0; i < list_n; i++)
        if (list[i].id == id) {
            memmove(&list[i], &list[i + 1], (size_t)(--list_n - i) * sizeof list[0]);
            return;
        }
}

static void list_insert(int id, int64_t time)
{
    list_remove(id);
    int i = list_n++;
    for (; i > 0 && list[i - 1].time > time; i--)
        list[i] = list[i - 1];
    list[i].time = time;
    list[i].seq = list_seq++;
    list[i].id = id;
}

static void random_operation(struct sim *s)
{
    uint64_t r = splitmix(&random_state);
    int id = (int)(r % RANDOM_EVENTS);
    operations++;
    if (r >> 61 < 3) {
        sim_cancel(s, &crowd[id].event);
        list_remove(id);
    } else {
        int64_t time = sim_now(s) + (int64_t)((r >> 32) % (uint64_t)spread);
        sim_schedule(s, &crowd[id].event, time);
        list_insert(id, time);
    }
}

static void on_crowd(struct sim *s, struct sim_event *e)
{
    struct probe *p = SIM_OWNER(e, struct probe, event);
    if (list_n == 0 || list[0].id != p->id || list[0].time != sim_now(s))
        CHECK_INT(p->id, list_n ? list[0].id : -1);
    list_remove(p->id);
    sim_note(s, (uint32_t)p->id, e->seq);
    for (uint64_t n = splitmix(&random_state) % 4; n > 0; n--)
        random_operation(s);
}

static void test_random_operations_agree_with_a_sorted_list(void)
{
    struct sim *s = sim_create();
    uint64_t digest = DIGEST_INIT;
    static const int64_t spreads[] = {1, 5, 100, 100000};
    for (int k = 0; k < 4; k++) {
        sim_reset(s);
        spread = spreads[k];
        list_n = 0;
        list_seq = 0;
        operations = 0;
        random_state = 7;
        for (int i = 0; i < RANDOM_EVENTS; i++) {
            crowd[i].id = i;
            sim_event_init(&crowd[i].event, on_crowd);
        }
        int bad = 0;
        while (operations < RANDOM_OPS && !bad) {
            for (uint64_t n = splitmix(&random_state) % 6; n > 0; n--)
                random_operation(s);
            bad |= !CHECK_INT(sim_length(s), list_n);
            bad |= !CHECK_INT(sim_next(s), list_n ? list[0].time : SIM_NEVER);
            sim_step(s);
        }
        while (sim_length(s) && operations < 2 * RANDOM_OPS)
            sim_step(s);
        digest = digest_u64(digest, sim_digest(s));
    }
    char text[17];
    CHECK_STR(digest_text(digest, text), "4e7c1ee4d7f421df"); // fired (time, id, seq) in order
    sim_destroy(s);
}

static void then_hold(struct sim *s, struct probe *p)
{
    sim_note(s, (uint32_t)p->id, p->event.seq);
    sim_schedule(s, &p->event, sim_now(s) + 1 + (int64_t)(splitmix(&random_state) % 512));
}

static void on_hold(struct sim *s, struct sim_event *e)
{
    then_hold(s, SIM_OWNER(e, struct probe, event));
}

// The same model twice in one simulator, and against a digest written down here: every machine,
// compiler and heap must agree.
static void test_digest_is_the_same_everywhere(void)
{
    struct sim *s = sim_create();
    for (int run = 0; run < 2; run++) {
        sim_reset(s);
        random_state = 3;
        for (int i = 0; i < RANDOM_EVENTS; i++) {
            crowd[i].id = i;
            sim_event_init(&crowd[i].event, on_hold);
            sim_schedule(s, &crowd[i].event, i % 7);
        }
        sim_run_until(s, 20000);
        char text[17];
        CHECK_STR(digest_text(sim_digest(s), text), "7a3f02086fef5771");
        CHECK_INT(sim_length(s), RANDOM_EVENTS);
    }
    sim_destroy(s);
}

// Two events of one instant and a later one keep their distances and their order; a note for the
// time in between is that of an event which fired there.
static void test_leap_moves_everything(void)
{
    struct probe p[3];
    struct sim *s = begin(p, 3);
    sim_schedule(s, &p[1].event, 50);
    sim_schedule(s, &p[0].event, 50);
    sim_schedule(s, &p[2].event, 80);
    sim_run_until(s, 10);
    sim_leap(s, 1000, 7);
    CHECK_INT(sim_now(s), 1010);
    CHECK_INT(sim_next(s), 1050);
    CHECK_INT(p[2].event.time, 1080);
    CHECK_INT((long long)sim_fired(s), 7);
    sim_note_at(s, 1005, 3, 4);
    uint64_t noted = sim_digest(s);
    sim_run_until(s, 2000);
    CHECK_INT(log_n, 3);
    CHECK(log_id[0] == 1 && log_id[1] == 0 && log_id[2] == 2);
    CHECK(log_time[0] == 1050 && log_time[1] == 1050 && log_time[2] == 1080);
    sim_reset(s);
    sim_run_until(s, 1005);
    sim_note(s, 3, 4);
    CHECK(sim_digest(s) == noted);
    sim_destroy(s);
}

TESTS(sim_sim, T(test_empty), T(test_order_is_time_then_sequence), T(test_cancel),
      T(test_cancel_inside_a_handler), T(test_reschedule_earlier_and_later),
      T(test_reschedule_inside_a_handler), T(test_run_until_is_inclusive),
      T(test_run_until_includes_what_handlers_add), T(test_step_inside_a_handler), T(test_reset),
      T(test_note_digests_time_kind_and_value), T(test_settle_runs_once_before_the_clock_moves),
      T(test_trace_goes_to_the_sink), T(test_random_operations_agree_with_a_sorted_list),
      T(test_digest_is_the_same_everywhere), T(test_leap_moves_everything))
