// SPDX-License-Identifier: GPL-3.0-or-later
// Cores that devices share: who finds all of them taken proceeds at his share of the time, exactly,
// and where there are enough of them nothing differs from a machine whose devices have their own.
#include <math.h>
#include "engine/profile.h"
#include "engine/session.h"
#include "tests/models/soc_util.h"

#define HOST "configs/soc/host.cfg"
// Launches and waking take no time, and no memory is short: only computing is left.
#define BARE                                                                                       \
    "cpu.queue.launch=0 s;gpu.queue.launch=0 s;npu.queue.launch=0 s;cpu.queue.wake=0 s;"           \
    "gpu.queue.wake=0 s;npu.queue.wake=0 s;cpu.queue.restart=0 s;gpu.queue.restart=0 s;"           \
    "npu.queue.restart=0 s;cpu.gemv=1 GFLOP/s;cpu.gemm=1 GFLOP/s;gpu.gemm=2 GFLOP/s;gpu.gemv=1 "   \
    "GFLOP/s;"

// us from submission until the task is complete, while nobody polls.
static double asleep(struct machine *m, int device, struct task *t)
{
    struct err e = {0};
    int64_t begin = m->ops->now(m);
    uint64_t seq = soc_submit(m, device, t);
    CHECK_OK(m->device[device]->ops->wait(m->device[device], seq, WAIT_FINISH, &e), &e);
    struct device_stats s;
    m->device[device]->ops->stats(m->device[device], &s);
    CHECK(s.busy_ps <= m->ops->now(m) - begin);
    return (double)s.busy_ps / PS_PER_US;
}

static double polled(struct machine *m, int device, struct task *t)
{
    struct device_stats s;
    soc_until(m, device, soc_submit(m, device, t));
    m->device[device]->ops->stats(m->device[device], &s);
    return (double)s.busy_ps / PS_PER_US;
}

// Two threads of the CPU on two cores; a third, that polls, leaves them two thirds.
static void test_polling_takes_a_core(void)
{
    double took[2][2];
    for (int shared = 0; shared < 2; shared++)
        for (int poll = 0; poll < 2; poll++) {
            struct machine *m = soc_open(
                HOST, shared ? BARE "cores.count=2;cores.control=1" : BARE "cores.count=0", false);
            struct task *t = soc_matmul(4096, 4096, 64, 0);
            took[shared][poll] = (poll ? polled : asleep)(m, soc_index(m, DEVICE_CPU), t);
            soc_close(m);
        }
    CHECK_NEAR(took[0][0], 4096. * 4096 * 64 * 2 / 2e3, 1e-3 * took[0][0]); // 2 x 1 GFLOP/s
    CHECK_NEAR(took[0][1] / took[0][0], 1, 1e-6);
    CHECK_NEAR(took[1][0] / took[0][0], 1, 1e-6);
    CHECK_NEAR(took[1][1] / took[0][0], 1.5, 1e-3);
}

// A task that runs beside another for half of its work: the share is that of the moment.
static void test_shares_follow_the_moment(void)
{
    struct machine *m = soc_open(HOST,
                                 BARE "cores.count=1;cores.cpu=1;cores.gpu=1;cpu.cores=1;"
                                      "cores.slice=0 us",
                                 false);
    int cpu = soc_index(m, DEVICE_CPU), gpu = soc_index(m, DEVICE_GPU);
    // 1 GFLOP/s and 2 GFLOP/s at half the pace each: the GPU's needs t / 2 alone, t beside; then
    // the CPU has half of its work left.
    uint64_t a = soc_submit(m, cpu, soc_matmul(2048, 2048, 64, 0));
    uint64_t b = soc_submit(m, gpu, soc_matmul(2048, 2048, 64, 0));
    double alone = 2048. * 2048 * 64 * 2 / 1e3; // us
    soc_until(m, gpu, b);
    CHECK_NEAR((double)m->ops->now(m) / PS_PER_US, alone, 0.02 * alone);
    soc_until(m, cpu, a);
    CHECK_NEAR((double)m->ops->now(m) / PS_PER_US, 1.5 * alone, 0.02 * alone);
    soc_close(m);
}

// The GPU ends while the CPU computes on, both on one core: a sleeper learns of it at once, who
// polls and yields at the end of a slice, or when the CPU stops as well.
static void test_a_poller_waits_for_its_slice(void)
{
    static const char *const set[] = {
        BARE "cores.count=1;cores.cpu=1;cores.gpu=1;cpu.cores=1;cores.slice=100 ms",
        BARE "cores.count=1;cores.cpu=1;cores.gpu=1;cpu.cores=1;cores.slice=1 s",
    };
    double work = 2048. * 2048 * 16 * 2 / 1e6; // ms at 1 GFLOP/s; the GPU has 2
    double ended = work, all = 2.5 * work, seen[2] = {ceil(ended / 100) * 100, all};
    for (int i = 0; i < 2; i++)
        for (int polls = 0; polls < 2; polls++) {
            struct machine *m = soc_open(HOST, set[i], false);
            struct err e = {0};
            int cpu = soc_index(m, DEVICE_CPU), gpu = soc_index(m, DEVICE_GPU);
            uint64_t a = soc_submit(m, cpu, soc_matmul(4096, 2048, 16, 0));
            uint64_t b = soc_submit(m, gpu, soc_matmul(2048, 2048, 16, 0));
            if (polls)
                soc_until(m, gpu, b);
            else
                CHECK_OK(m->device[gpu]->ops->wait(m->device[gpu], b, WAIT_FINISH, &e), &e);
            double want = polls ? seen[i] : ended;
            CHECK_NEAR((double)m->ops->now(m) / PS_PER_MS, want, 0.02 * want);
            soc_until(m, cpu, a);
            CHECK_NEAR((double)m->ops->now(m) / PS_PER_MS, all, 0.02 * all);
            soc_close(m);
        }
}

static void session(const char *overrides, struct session_result *r)
{
    struct machine *m = soc_open(HOST, overrides, false);
    struct cost_table *cost = cost_create();
    struct model *model = NULL;
    struct arena a;
    struct err e = {0};
    struct session_request q = {
        .machine = m, .cost = cost, .n_prompt = 40, .n_gen = 4, .sampler = {.top_p = 1}};
    arena_init(&a);
    *r = (struct session_result){0};
    if (CHECK_OK(model_open("configs/model/demo-60m.cfg", &model, &e), &e) &&
        CHECK_OK(policy_parse("hybrid", &a, &q.policy, &q.policy_options, &e), &e) &&
        CHECK_OK(sync_parse("poll", &a, &q.sync, &q.sync_options, &e), &e) &&
        CHECK_OK(session_profile(m, model, 40, 4, cost, &e), &e)) {
        q.model = model;
        CHECK_OK(session_run(&q, r, &e), &e);
    }
    if (model)
        model_close(model);
    cost_destroy(cost);
    arena_fini(&a);
    soc_close(m);
}

// With enough cores: bit for bit as without the group. With too few: slower, and the same with
// layer replay and without.
static void test_whole_runs(void)
{
    struct session_result own, many, few, slow;
    session("cores.count=0", &own);
    session("cores.count=8", &many);
    session("cores.count=1", &few);
    session("cores.count=1;replay=false", &slow);
    CHECK(own.digest && own.digest == many.digest && own.total_ms == many.total_ms);
    CHECK(few.total_ms > 1.2 * own.total_ms);
    CHECK(few.digest == slow.digest && few.total_ms == slow.total_ms);
    session_result_fini(&own);
    session_result_fini(&many);
    session_result_fini(&few);
    session_result_fini(&slow);
}

static void test_only_at_flow_level(void)
{
    struct conf *c;
    struct machine *m = NULL;
    struct err e = {0};
    CHECK_OK(conf_open(HOST, &c, &e), &e);
    CHECK_OK(conf_override(c, "detail", "cycle", &e), &e);
    CHECK(machine_soc_open(c, false, &m, &e) < 0);
    CHECK_HAS(e.msg, "flow");
    CHECK_STR(e.key, "cores");
    conf_close(c);
}

TESTS(models_cores, T(test_polling_takes_a_core), T(test_shares_follow_the_moment),
      T(test_a_poller_waits_for_its_slice), T(test_whole_runs), T(test_only_at_flow_level))
