// SPDX-License-Identifier: GPL-3.0-or-later
// The DSP is killed at random points of a run: in any message, the start-up probe's and the graphs'
// included, some microseconds after it began or after it. The run ends with an error that names the
// DSP, or goes on with what is left and has the tokens of an undisturbed run; without a hang, a
// leak or a zombie.
#include "base/log.h"
#include "base/rng.h"
#include "tests/hexagon/run.h"

// Whoever runs the tests may stop them all for a while, which is not the DSP's fault.
#define PATIENT "timeout = \"600 s\";"

static const char *const syncs[] = {"driver", "event", "poll", "sleep_poll", "queue_order"};

// How often: some by default, PARTITA_KILLS at night.
static int times_of(int few)
{
    const char *s = getenv("PARTITA_KILLS");
    return s ? atoi(s) : few;
}

// A point among the messages of a whole run.
static void draw(struct rng *r, int messages, uint64_t longest_us)
{
    char at[24], us[24];
    snprintf(at, sizeof at, "%d", 1 + (int)rng_below(r, (uint64_t)messages));
    snprintf(us, sizeof us, "%d", 1 + (int)rng_below(r, longest_us));
    fixture_fault("STANDIN_DIE_AT", at);
    setenv("STANDIN_DIE_AFTER", us, 1);
}

static void kills(enum fixture_kind kind, int times, uint64_t longest_us)
{
    const char *library = fixture_need(kind);
    if (!library)
        return;
    struct rng *r = rng_create(5, "kills");
    int killed = 0, in_step = 0;
    fixture_fault(NULL, NULL);
    for (int i = 0; i <= times; i++) {
        struct outcome o = run(kind, PATIENT, syncs[i % 5]);
        if (i == 0)
            CHECK_OK(o.rc, &o.err);
        if (o.rc < 0) {
            killed++;
            in_step += strstr(o.err.msg, " L") != NULL;
            CHECK_INT(o.rc, ERR_DEVICE);
            CHECK_HAS(o.err.msg, "npu: Hexagon DSP restarted");
        } else {
            session_result_fini(&o.result);
        }
        static int messages;
        if (i == 0)
            messages = fixture_count(library, "standin_messages");
        draw(r, messages, longest_us);
    }
    fixture_fault(NULL, NULL);
    rng_destroy(r);
    test_note("%d of %d killed before the end, %d of them in an operator of a layer", killed, times,
              in_step);
    CHECK(killed > times * 3 / 4);
    CHECK(in_step > killed / 2);
    struct outcome o = run(kind, PATIENT, "sleep_poll"); // and the next session is as good as new
    if (CHECK_OK(o.rc, &o.err))
        session_result_fini(&o.result);
}

static void test_kills_natively(void)
{
    kills(FIXTURE_NATIVE, times_of(25), 300);
}

static void test_kills_under_the_emulator(void)
{
    kills(FIXTURE_EMULATED, times_of(16), 3000);
}

// The same with a CPU beside, and a session that goes on without what it lost: the tokens are those
// of an undisturbed run. Both devices keep activations in F32, so that they agree.
static void kills_survived(enum fixture_kind kind, int times, uint64_t longest_us)
{
    struct rng *r = rng_create(6, "kills survived");
    struct model *w = model();
    int32_t right[TOKENS] = {0};
    int lost = 0, finished = 0, unopened = 0, messages = 0;
    const char *library = fixture_need(kind);
    if (!library || !w)
        return;
    log_open(stderr, LOG_ERROR); // each loss is a warning
    for (int i = -1; i < times; i++) {
        struct outcome o = {0};
        struct machine *m = NULL;
        fixture_fault(NULL, NULL);
        if (i >= 0)
            draw(r, messages, longest_us);
        o.rc =
            open_machine(kind, "exact = true; threads = 1;", "exact = true; " PATIENT, &m, &o.err);
        if (o.rc < 0) { // killed in the start-up probe
            CHECK(i >= 0);
            CHECK_HAS(o.err.msg, "npu: Hexagon DSP restarted");
            unopened++;
            continue;
        }
        run_on(m, w, "npu_only", syncs[(i + 5) % 5], SESSION_CONTINUE, &o);
        machines_close(m);
        CHECK_INT(fixture_left(library), 0);
        messages = i < 0 ? fixture_count(library, "standin_messages") : messages;
        if (!CHECK_OK(o.rc, &o.err))
            continue;
        if (i < 0)
            memcpy(right, o.result.tokens, sizeof right);
        for (int t = 0; t < TOKENS; t++)
            CHECK_INT(o.result.tokens[t], right[t]);
        CHECK(o.result.n_losses <= (i >= 0));
        if (o.result.n_losses == 1) {
            CHECK_STR(o.result.loss[0].device, "npu");
            CHECK_HAS(o.result.loss[0].why, "npu: Hexagon DSP restarted");
            lost++;
        } else {
            finished++;
        }
        session_result_fini(&o.result);
    }
    fixture_fault(NULL, NULL);
    log_open(stderr, LOG_WARN);
    rng_destroy(r);
    model_close(w);
    test_note("%d went on without the DSP, %d finished before, %d in the start-up probe", lost,
              finished - 1, unopened);
    CHECK(lost > times / 2);
}

static void test_kills_survived_natively(void)
{
    kills_survived(FIXTURE_NATIVE, times_of(25), 300);
}

static void test_kills_survived_under_the_emulator(void)
{
    kills_survived(FIXTURE_EMULATED, times_of(8), 3000);
}

TESTS(hexagon_kills, T(test_kills_natively), T(test_kills_under_the_emulator),
      T(test_kills_survived_natively), T(test_kills_survived_under_the_emulator))
