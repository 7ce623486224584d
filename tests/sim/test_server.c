// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/harness.h"

#include "sim/server.h"

struct task {
    struct sim_job job;
    struct sim_server *server;
    int64_t done_at;
    int order, again;
};

static int order;

static void on_done(struct sim *s, struct sim_job *j)
{
    struct task *t = SIM_OWNER(j, struct task, job);
    t->done_at = sim_now(s);
    t->order = ++order;
    if (t->again-- > 0)
        sim_server_push(t->server, j, 5, on_done);
}

static void test_first_in_first_out(void)
{
    struct sim *s = sim_create();
    struct sim_server v;
    sim_server_init(&v, s);
    struct task t[4] = {0};
    order = 0;
    sim_run_until(s, 100);
    sim_server_push(&v, &t[0].job, 10, on_done);
    sim_server_push(&v, &t[1].job, 0, on_done); // takes no time, but waits for its turn
    sim_server_push(&v, &t[2].job, 7, on_done);
    CHECK_INT(v.length, 3);
    sim_run_until(s, 109);
    CHECK_INT(order, 0);
    CHECK_INT(sim_server_busy(&v), 9); // service under way counts up to now
    CHECK_INT(v.busy_ps, 0);
    sim_run_until(s, 110);
    CHECK_INT(t[0].done_at, 110);
    CHECK_INT(t[1].done_at, 110);
    CHECK_INT(v.length, 1);
    sim_run_until(s, 112);
    sim_server_push(&v, &t[3].job, 1, on_done); // joins a busy server
    sim_run_until(s, 150);
    CHECK_INT(t[2].done_at, 117);
    CHECK_INT(t[3].done_at, 118);
    for (int i = 0; i < 4; i++)
        CHECK_INT(t[i].order, i + 1);
    CHECK_INT(v.length, 0);
    CHECK_INT(v.served, 4);
    CHECK_INT(sim_server_busy(&v), 18);
    sim_run_until(s, 1000); // idle time does not count
    CHECK_INT(sim_server_busy(&v), 18);
    sim_destroy(s);
}

static void test_pushing_again_goes_to_the_end(void)
{
    struct sim *s = sim_create();
    struct sim_server v;
    sim_server_init(&v, s);
    struct task t[2] = {{.server = &v, .again = 2}, {.server = &v}};
    order = 0;
    sim_server_push(&v, &t[0].job, 10, on_done);
    sim_server_push(&v, &t[1].job, 10, on_done);
    sim_run_until(s, 10);
    CHECK_INT(order, 1);
    sim_run_until(s, 20);
    CHECK_INT(t[1].order, 2); // was waiting before 0 came again
    sim_run_until(s, 100);
    CHECK_INT(t[0].done_at, 30); // 20 + 5, and once more to an idle server: + 5
    CHECK_INT(v.served, 4);
    CHECK_INT(sim_server_busy(&v), 30);
    CHECK(v.head == NULL && v.tail == NULL);
    sim_destroy(s);
}

TESTS(sim_server, T(test_first_in_first_out), T(test_pushing_again_goes_to_the_end))
