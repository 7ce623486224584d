// SPDX-License-Identifier: GPL-3.0-or-later
// A game beside the engine: what it gets alone, overloaded, starved and preferred, what it costs
// the engine, and that nothing is lost or made up. Hand-solved where kernels have a known length:
// the engine's tasks here move next to nothing, so that only the turns count.
#include "models/soc/turn.h"
#include "engine/profile.h"
#include "engine/session.h"
#include "models/soc/control.h"
#include "tests/models/soc_util.h"

// 6 ms of work in 6 kernels per frame, without traffic and without a price for changing.
#define GAME                                                                                       \
    "gpu.game.rate=60.0;gpu.game.work=6 ms;gpu.game.kernels=6;gpu.game.bytes=0 B;"                 \
    "gpu.game.change=0 us;gpu.game.buffers=2"

static struct frames frames_of(struct machine *m)
{
    struct frames f;
    m->ops->frames(m, &f);
    return f;
}

static void until(struct machine *m, int64_t ps)
{
    while (m->ops->now(m) < ps)
        m->ops->pause(m);
}

static void test_no_game_by_default(void)
{
    struct machine *m = soc_open(SOC_DEFAULT, NULL, false);
    until(m, PS_PER_S);
    struct frames f = frames_of(m);
    CHECK(f.rate == 0 && !f.shown && !f.dropped && !f.late && !f.busy_ps);
    CHECK_INT((long long)machine_soc_events(m), 0);
    soc_close(m);
}

// Alone every frame is in time; the GPU is busy for the work of the frames.
static void test_alone(void)
{
    static const char *const socs[] = {"configs/soc/sd8gen3.cfg", "configs/soc/dimensity9300.cfg",
                                       "configs/soc/orin.cfg"};
    for (int i = 0; i < 3; i++) {
        struct machine *m = soc_open(socs[i], "gpu.game.rate=60.0", false);
        until(m, 10 * PS_PER_S - PS_PER_MS);
        struct frames f = frames_of(m);
        CHECK(f.rate == 60);
        CHECK_INT((long long)f.shown, 600);
        CHECK_INT((long long)f.late, 0);
        CHECK_INT((long long)f.dropped, 0);
        CHECK_NEAR(f.bytes, 600 * 40e6, 1);
        CHECK_NEAR(machine_soc_dram_bytes(m), f.bytes, 1);
        CHECK_NEAR((double)f.busy_ps / PS_PER_MS, 600 * 6, 600 * 6 * 0.005); // and waking once
        m->ops->reset(m);
        CHECK_INT((long long)frames_of(m).shown, 0);
        until(m, PS_PER_S - PS_PER_MS);
        CHECK_INT((long long)frames_of(m).shown, 60);
        soc_close(m);
    }
}

// 20 ms of work every 16.7 ms: 50 frames/s are shown, all but the first few of them late.
static void test_overload(void)
{
    struct machine *m =
        soc_open(SOC_DEFAULT, GAME ";gpu.game.work=20 ms;gpu.game.kernels=5", false);
    until(m, 10 * PS_PER_S);
    struct frames f = frames_of(m);
    test_note("%llu shown, %llu late, %llu dropped", (unsigned long long)f.shown,
              (unsigned long long)f.late, (unsigned long long)f.dropped);
    CHECK(f.shown >= 498 && f.shown <= 500);
    CHECK(f.shown + f.dropped >= 598 && f.shown + f.dropped <= 601);
    CHECK(f.late >= f.shown - 3);
    CHECK_NEAR((double)f.busy_ps / (double)m->ops->now(m), 1, 0.01);
    soc_close(m);
}

static double length_of(const char *overrides, struct task *t)
{
    struct machine *m = soc_open(SOC_DEFAULT, overrides, false);
    double us = soc_streamed(m, soc_index(m, DEVICE_GPU), t, 10);
    soc_close(m);
    return us;
}

// The engine enqueues about two seconds of kernels at once.
struct flood {
    struct frames during; // until the last of them is complete
    int64_t took;
};

static struct flood flood(const char *overrides, struct task *t, int count)
{
    struct machine *m = soc_open(SOC_DEFAULT, overrides, false);
    int gpu = soc_index(m, DEVICE_GPU);
    uint64_t seq = 0;
    soc_until(m, gpu, soc_submit(m, gpu, t)); // awake
    while (m->ops->now(m) < 100 * PS_PER_MS)
        m->ops->pause(m);
    struct frames before = frames_of(m);
    int64_t begin = m->ops->now(m);
    for (int i = 0; i < count; i++)
        seq = soc_submit(m, gpu, t);
    soc_until(m, gpu, seq);
    struct flood r = {frames_of(m), m->ops->now(m) - begin};
    r.during.shown -= before.shown;
    r.during.late -= before.late;
    r.during.dropped -= before.dropped;
    test_note("%d kernels in %.1f ms, %llu shown, %llu late, %llu dropped", count,
              (double)r.took / PS_PER_MS, (unsigned long long)r.during.shown,
              (unsigned long long)r.during.late, (unsigned long long)r.during.dropped);
    soc_close(m);
    return r;
}

static void test_flooding_starves_an_equal(void)
{
    struct task *t = soc_matmul(4096, 4096, 256, 0);
    double us = length_of(NULL, t);
    int count = (int)(2e6 / us); // two seconds
    CHECK(count > 100 && count < 1000);
    struct flood none = flood(NULL, t, count), equal = flood(GAME, t, count);
    CHECK(equal.during.shown <= 2);
    CHECK(equal.during.dropped >= 110);
    // The engine hardly notices: one frame at most was there before it.
    CHECK(equal.took - none.took >= 0 && equal.took - none.took < 13 * PS_PER_MS);
}

// An engine that has one or two kernels in the queue at a time lets an equal through: a frame waits
// for those only. The game takes its share of the time from it.
static void test_small_pieces_let_frames_through(void)
{
    struct task *t = soc_matmul(4096, 4096, 256, 0);
    int count = (int)(1e6 / length_of(NULL, t));
    struct flood none = flood("gpu.queue.depth=1", t, count);
    struct flood one = flood(GAME ";gpu.queue.depth=1", t, count);
    struct flood two = flood(GAME ";gpu.queue.depth=2", t, count);
    struct flood many = flood(GAME ";gpu.queue.depth=64", t, count);
    CHECK_INT((long long)one.during.dropped, 0);
    CHECK(one.during.shown >= (uint64_t)((double)one.took / PS_PER_S * 60) - 1);
    CHECK(one.took > 1.5 * none.took);
    CHECK(two.during.late >= one.during.late);
    CHECK(many.during.dropped > 20);
    CHECK(many.took < one.took && many.took > none.took);
}

// Kernels of 10 ms beside a preferred game: every frame is shown in time. Each frame takes 6 ms of
// the 16.7, so the engine needs 1 / (1 - 0.36) of its time.
static void test_priority_saves_the_game(void)
{
    struct task *t = soc_matmul(4096, 4096, 256, 0);
    double us = length_of(NULL, t);
    int count = (int)(1e6 / us);
    CHECK(us < 10000);
    struct flood none = flood(NULL, t, count);
    struct flood high = flood(GAME ";gpu.game.priority=high", t, count);
    CHECK_INT((long long)high.during.dropped, 0);
    CHECK(high.during.shown >= (uint64_t)((double)high.took / PS_PER_S * 60) - 1);
    CHECK_NEAR((double)high.took / (double)none.took, 1 / (1 - 0.36), 0.02);
}

// A preferred game still waits for the kernel that is executing: kernels of more than two periods
// make it lose frames.
static void test_priority_does_not_interrupt(void)
{
    struct task *t = soc_matmul(28672, 14336, 256, 0);
    double us = length_of(NULL, t);
    CHECK(us > 2 * 16667);
    struct flood high = flood(GAME ";gpu.game.priority=high", t, 8);
    CHECK(high.during.dropped > 0);
    CHECK(high.during.late > 0);
    CHECK(high.during.shown >= 8); // at each end of a kernel it goes first
}

// A preferred game that would use the whole GPU slows the engine down without end, but not for
// ever.
static void test_engine_is_not_starved_for_ever(void)
{
    struct task *t = soc_matmul(4096, 4096, 1, 0);
    struct flood high = flood(GAME ";gpu.game.priority=high;gpu.game.work=20 ms", t, 3);
    CHECK(high.took > 2 * PS_PER_S && high.took < 4 * PS_PER_S);
}

// The turns themselves, without anything else: rank, then order of submission.
static char order[16];
static int n_order;

struct player {
    struct turn_client c;
    char name;
};

static void play(struct turn_client *c, bool changed)
{
    order[n_order++] = ((struct player *)c)->name;
    order[n_order++] = changed ? '+' : '.';
}

static void test_turns(void)
{
    struct sim *s = sim_create();
    struct turn t;
    struct player a = {{.rank = 1, .go = play}, 'a'}, b = {{.rank = 1, .go = play}, 'b'},
                  c = {{.rank = 0, .go = play}, 'c'};
    turn_init(&t, s);
    turn_join(&t, &a.c);
    turn_join(&t, &b.c);
    turn_join(&t, &c.c);
    turn_ask(&t, &a.c, turn_ticket(&t)); // free: at once
    uint64_t second = turn_ticket(&t);
    turn_ask(&t, &b.c, turn_ticket(&t));
    turn_ask(&t, &c.c, turn_ticket(&t));
    turn_pass(&t, &a.c, second); // c is better; then a, which submitted before b
    turn_pass(&t, &c.c, 0);
    turn_pass(&t, &a.c, turn_ticket(&t));
    turn_pass(&t, &b.c, 0);
    turn_pass(&t, &a.c, 0);
    CHECK_STR(order, "a.c+a+b+a+");
    // a waits for longer than its patience beside a better one that never ends.
    n_order = 0;
    memset(order, 0, sizeof order);
    turn_ask(&t, &c.c, turn_ticket(&t));
    turn_ask(&t, &a.c, turn_ticket(&t));
    for (int i = 0; i < 3; i++) {
        sim_run_until(s, sim_now(s) + 600 * PS_PER_MS);
        turn_pass(&t, t.holder, turn_ticket(&t));
    }
    CHECK_STR(order, "c+c.a+c+");
    sim_destroy(s);
}

// What a session does with the game, and that its books are right.
struct outcome {
    struct session_result r;
    struct frames f;
    double dram;
    uint64_t cost;
};

static void session(const char *overrides, const char *policy, const char *sync,
                    struct outcome *out)
{
    struct machine *m = soc_open(SOC_DEFAULT, overrides, false);
    struct cost_table *t = cost_create();
    struct arena a;
    struct err e = {0};
    struct session_request q = {.machine = m,
                                .model = soc_llama3_8b(),
                                .cost = t,
                                .n_prompt = 64,
                                .n_gen = 5,
                                .sampler = {.top_p = 1}};
    arena_init(&a);
    memset(out, 0, sizeof *out);
    if (CHECK_OK(policy_parse(policy, &a, &q.policy, &q.policy_options, &e), &e) &&
        CHECK_OK(sync_parse(sync, &a, &q.sync, &q.sync_options, &e), &e) &&
        CHECK_OK(session_profile(m, q.model, q.n_prompt, q.n_gen, t, &e), &e) &&
        CHECK_OK(profile_sync(m, q.model, q.sync, q.sync_options, q.n_prompt, t, &e), &e)) {
        CHECK(!m->quiet);
        out->cost = cost_digest(t);
        if (CHECK_OK(session_run(&q, &out->r, &e), &e))
            CHECK_OK(session_audit(&q, &out->r, &e), &e);
        m->ops->frames(m, &out->f);
        out->dram = machine_soc_dram_bytes(m);
        // The frame under way may have moved a part of a kernel.
        struct device_stats s;
        double engine = 0;
        for (int d = 0; d < m->n_devices; d++) {
            m->device[d]->ops->stats(m->device[d], &s);
            engine += s.bytes;
            if (m->device[d]->caps.kind == DEVICE_GPU)
                CHECK(s.busy_ps + out->f.busy_ps <= m->ops->now(m));
        }
        double others = out->dram - engine;
        CHECK(others >= out->f.bytes - 1e3 && others <= out->f.bytes + 40e6 / 8 + 1e3);
    }
    cost_destroy(t);
    arena_fini(&a);
    soc_close(m);
}

static void test_sessions(void)
{
    static const char *const policies[] = {"gpu_only", "layer", "hetero_tensor"};
    for (int i = 0; i < 3; i++) {
        struct outcome none, game, again;
        session(NULL, policies[i], "queue_order", &none);
        session("gpu.game.rate=60.0", policies[i], "queue_order", &game);
        session("gpu.game.rate=60.0", policies[i], "queue_order", &again);
        test_note("%s: TTFT %.1f -> %.1f ms, TPOT %.2f -> %.2f ms, %.1f and %.1f fps", policies[i],
                  none.r.ttft_ms, game.r.ttft_ms, none.r.tpot_ms, game.r.tpot_ms,
                  game.r.frames_prefill.rate, game.r.frames_decode.rate);
        CHECK(none.r.frame_rate == 0 && isnan(none.r.frames_prefill.rate));
        CHECK(game.r.frame_rate == 60);
        // The table is the one of a machine without the game, and so are the plans.
        CHECK(game.cost == none.cost);
        CHECK(game.r.plan_prefill == none.r.plan_prefill);
        CHECK(game.r.plan_decode == none.r.plan_decode);
        CHECK(game.r.tpot_ms > none.r.tpot_ms);
        CHECK(game.r.energy_j > none.r.energy_j);
        CHECK(game.r.bytes_moved == none.r.bytes_moved); // the engine's own
        CHECK(game.r.digest != none.r.digest);
        CHECK(game.r.digest == again.r.digest);
        CHECK(game.r.frames_prefill.shown + game.r.frames_decode.shown <= game.f.shown);
        if (i == 0)
            CHECK(game.r.frames_prefill.rate < 10); // the whole prefill is enqueued at once
        else
            CHECK(game.r.frames_prefill.rate > 45);
        session_result_fini(&none.r);
        session_result_fini(&game.r);
        session_result_fini(&again.r);
    }
}

// With nothing executing there is nothing to wait for, however long the game goes on.
static struct control plane;
static int ticks, works;

static void on_tick(struct sim *s, struct sim_event *e)
{
    ticks++;
    control_foreground(&plane);
    control_background(&plane, e, sim_now(s) + 10);
}

static void on_work(struct sim *s, struct sim_event *e)
{
    (void)s, (void)e;
    works++;
}

static void test_standing_still_is_noticed(void)
{
    static const struct control_params p = {.granularity = 1, .pause = 1000};
    struct sim *s = sim_create();
    struct sim_event tick, work;
    control_init(&plane, &p, s);
    sim_event_init(&tick, on_tick);
    sim_event_init(&work, on_work);
    CHECK(!control_step(&plane));
    control_background(&plane, &tick, 10);
    CHECK(!control_step(&plane));
    sim_schedule(s, &work, 35);
    while (control_step(&plane) && ticks < 100)
        ;
    CHECK_INT(ticks, 3);
    CHECK_INT(works, 1);
    CHECK_INT(sim_now(s), 35);
    control_sleep(&plane, 100); // sleeping goes on, and so does the background
    CHECK_INT(ticks, 13);
    sim_destroy(s);
}

static void test_bad_values(void)
{
    static const struct {
        const char *key, *value;
    } bad[] = {
        {"gpu.game.rate", "-1.0"},  {"gpu.game.priority", "higher"}, {"gpu.game.buffers", "0"},
        {"gpu.game.buffers", "17"}, {"gpu.game.kernels", "0"},       {"gpu.game.work", "6"},
        {"gpu.game.fps", "60"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct conf *c;
        struct machine *m = NULL;
        struct err e = {0};
        char text[700];
        CHECK_OK(conf_open(SOC_DEFAULT, &c, &e), &e);
        CHECK_OK(conf_override(c, bad[i].key, bad[i].value, &e), &e);
        CHECK(machine_soc_open(c, false, &m, &e) < 0);
        CHECK_HAS(err_text(&e, text, sizeof text), bad[i].key);
        conf_close(c);
    }
}

TESTS(models_game, T(test_no_game_by_default), T(test_alone), T(test_overload),
      T(test_flooding_starves_an_equal), T(test_small_pieces_let_frames_through),
      T(test_priority_saves_the_game), T(test_priority_does_not_interrupt),
      T(test_engine_is_not_starved_for_ever), T(test_turns), T(test_sessions),
      T(test_standing_still_is_noticed), T(test_bad_values))
