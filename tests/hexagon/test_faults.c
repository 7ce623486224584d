// SPDX-License-Identifier: GPL-3.0-or-later
// What goes wrong with a DSP, injected by the stand-in: every fault ends in one error that says
// what happened and what was being executed, or is ridden out; never in a hang, a leak or a zombie.
#include "engine/host/npu/hexagon_ring.h"
#include "tests/hexagon/run.h"

// One fault, the error that it must end in, and the operator that is named with it (or NULL).
static void fails(const char *fault, const char *value, const char *more, const char *sync,
                  const char *message)
{
    if (!fixture_need(FIXTURE_NATIVE))
        return;
    fixture_fault(fault, value);
    struct outcome o = run(FIXTURE_NATIVE, more, sync);
    fixture_fault(NULL, NULL);
    CHECK(o.rc < 0);
    CHECK_INT(o.err.code, o.rc);
    CHECK_HAS(o.err.msg, message);
    if (o.rc >= 0)
        session_result_fini(&o.result);
}

static uint64_t undisturbed;

// One fault that the run does not feel: the tokens are those of an undisturbed run.
static void rides_out(const char *fault, const char *value, const char *more)
{
    if (!fixture_need(FIXTURE_NATIVE))
        return;
    if (!undisturbed) {
        fixture_fault(NULL, NULL);
        struct outcome o = run(FIXTURE_NATIVE, NULL, "sleep_poll");
        if (!CHECK_OK(o.rc, &o.err))
            return;
        undisturbed = o.result.logits_digest;
        session_result_fini(&o.result);
    }
    fixture_fault(fault, value);
    struct outcome o = run(FIXTURE_NATIVE, more, "event");
    fixture_fault(NULL, NULL);
    if (!CHECK_OK(o.rc, &o.err))
        return;
    CHECK(o.result.logits_digest == undisturbed);
    session_result_fini(&o.result);
}

static void test_refused_sessions(void)
{
    fails(
        "STANDIN_REFUSE", "unsigned", NULL, "poll",
        "npu: the cdsp refuses unsigned modules: AEE_EUNSUPPORTED (0x80000414); sign the skel and "
        "say unsigned_pd = false");
    fails("STANDIN_REFUSE", "open", NULL, "poll",
          "npu: no session with the cdsp (Hexagon v68): AEE_EUNABLETOLOAD (0x80000406); is "
          "libpartita_npu_skel.so in a folder of ADSP_LIBRARY_PATH?");
    rides_out("STANDIN_REFUSE", "unsigned", "unsigned_pd = false;");
}

// Messages of the start-up probe, graphs, then step by step: what is under way is named.
static void test_death_in_a_message(void)
{
    static const char *const syncs[] = {"driver", "event", "poll", "sleep_poll", "queue_order"};
    fails("STANDIN_DIE_AT", "2", NULL, "poll",
          "npu: Hexagon DSP restarted while executing start-up probe");
    fails("STANDIN_DIE_AT", "5", NULL, "poll",
          "npu: Hexagon DSP restarted while executing graph of q");
    for (int i = 0; i < 5; i++) // in the middle of the prefill, and of the decode
        fails("STANDIN_DIE_AT", i % 2 ? "40" : "200", NULL, syncs[i],
              "npu: Hexagon DSP restarted while executing L");
}

static void test_map_limit(void)
{
    // Not even the ring fits; the ring and the buffers, but no weight; and one that has to manage.
    fails("STANDIN_MAP_LIMIT", "65536", NULL, "poll",
          "npu: the Hexagon DSP's 0.0 MB of mappings leave no room for another 0.1 MB: "
          "AEE_ENOMEMORY (0x80000402)");
    const char *library = fixture_library(FIXTURE_NATIVE);
    int before = library ? fixture_count(library, "standin_maps") : 0;
    rides_out(NULL, NULL, "arena = \"64 KiB\";");
    int once = fixture_count(library, "standin_maps") - before;
    rides_out("STANDIN_MAP_LIMIT", "1500000", "arena = \"64 KiB\";");
    rides_out(NULL, NULL, "arena = \"64 KiB\"; window = \"1 MB\";");
    CHECK(fixture_count(library, "standin_maps") - before > 5 * once); // they came and went
    fails(NULL, NULL, "window = \"200 kB\";", "poll", "leave no room for another");
}

static void test_slow_replies(void)
{
    rides_out("STANDIN_DELAY", "300", NULL);
    rides_out("STANDIN_DELAY", "300", "idle_turns = 1;");
}

// The DSP left RUN and the host was never told: what was complete is seen in memory; what comes
// next is not executed, and the watchdog ends it.
static void test_lost_return(void)
{
    fails("STANDIN_LOSE", "3", "timeout = \"200 ms\";", "event",
          "npu: Hexagon DSP did not answer for 0.2 s while executing ");
    fails("STANDIN_LOSE", "2", "timeout = \"200 ms\";", "poll",
          "npu: Hexagon DSP did not answer for 0.2 s while executing ");
}

static int kills;

static int count_kills(uint32_t request, void *data, uint32_t size)
{
    (void)request, (void)data, (void)size;
    kills++;
    return 0;
}

// Nobody looked for longer than the timeout, as when the process was stopped: not the DSP's time.
static void test_a_stopped_process(void)
{
    static struct hexagon_session s;
    struct err e = {0};
    int64_t now = host_now();
    s.opt.timeout = PS_PER_S;
    s.rpc.session_control = count_kills;
    s.head = 1;
    pthread_mutex_init(&s.fail_lock, NULL);
    atomic_store(&s.flag, true);
    atomic_store(&s.progress, now - 40 * PS_PER_S);
    atomic_store(&s.looked, now - 40 * PS_PER_S);
    CHECK_OK(hexagon_watch(&s, &e), &e);
    CHECK_OK(hexagon_watch(&s, &e), &e);
    atomic_fetch_sub(&s.progress, 2 * PS_PER_S); // watched, and silent
    CHECK_INT(hexagon_watch(&s, &e), ERR_DEVICE);
    CHECK_HAS(e.msg, "did not answer for 1 s");
    CHECK_INT(kills, 1);
    pthread_mutex_destroy(&s.fail_lock);
}

// Idle returns after every message, and none at all.
static void test_idling(void)
{
    rides_out(NULL, NULL, "idle_turns = 1;");
    rides_out(NULL, NULL, "idle_turns = 0;");
    rides_out(NULL, NULL, "flag = false; idle_turns = 1;");
    rides_out(NULL, NULL, "flag = false; idle_turns = 0;");
}

static void test_no_library(void)
{
    struct machine *m = NULL;
    struct conf *c = NULL;
    struct err e = {0};
    CHECK_OK(conf_open_text("test", "hexagon = { library = \"/nowhere/libcdsprpc.so\"; };", &c, &e),
             &e);
    CHECK_INT(machine_host_open(c, &m, &e), ERR_DEVICE);
    CHECK_HAS(e.msg, "no Hexagon DSP: its driver library cannot be loaded (/nowhere/libcdsprpc.so");
    conf_close(c);
    // By its plain name it may be missing: the tile NPU takes its place.
    CHECK_OK(
        conf_open_text("test", "cpu = { enabled = false; }; gpu = { enabled = false; };", &c, &e),
        &e);
    m = NULL;
    CHECK_OK(machine_host_open(c, &m, &e), &e);
    if (m && !fixture_left(fixture_library(FIXTURE_NATIVE)))
        CHECK_HAS(m->device[0]->caps.detail, "tile NPU");
    machines_close(m);
    conf_close(c);
}

TESTS(hexagon_faults, T(test_refused_sessions), T(test_death_in_a_message), T(test_map_limit),
      T(test_slow_replies), T(test_lost_return), T(test_a_stopped_process), T(test_idling),
      T(test_no_library))
