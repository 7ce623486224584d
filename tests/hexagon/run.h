// SPDX-License-Identifier: GPL-3.0-or-later
// Sessions of the project's model on a host machine with the DSP, alone or beside a CPU.
#ifndef TESTS_HEXAGON_RUN_H
#define TESTS_HEXAGON_RUN_H

#include <sys/wait.h>
#include "engine/session.h"
#include "tests/contract/machines.h"

struct outcome {
    int rc;
    struct err err;
    struct session_result result; // rc >= 0
};

static inline int open_machine(enum fixture_kind kind, const char *cpu, const char *more,
                               struct machine **m, struct err *e)
{
    char text[1200];
    struct conf *c = NULL;
    snprintf(text, sizeof text,
             "cpu = { %s }; gpu = { enabled = false; }; hexagon = { library = \"%s\"; %s };", cpu,
             fixture_library(kind), more ? more : "");
    int rc = conf_open_text("test", text, &c, e);
    if (rc == 0)
        rc = machine_host_open(c, m, e);
    conf_close(c);
    return rc;
}

static inline struct model *model(void)
{
    struct model *m = NULL;
    struct err e = {0};
    CHECK_OK(model_open(MACHINES_SMALL_MODEL, &m, &e), &e);
    return m;
}

enum { PROMPT = 10, TOKENS = 6 };

static inline void run_on(struct machine *m, const struct model *model, const char *policy,
                          const char *sync, enum session_on_loss on_loss, struct outcome *o)
{
    struct arena a;
    int32_t prompt[PROMPT];
    for (int i = 0; i < PROMPT; i++)
        prompt[i] = 5 + 3 * i;
    arena_init(&a);
    struct cost_table *cost = cost_create();
    struct session_request q = {.machine = m,
                                .model = model,
                                .cost = cost,
                                .prompt = prompt,
                                .n_prompt = PROMPT,
                                .n_gen = TOKENS,
                                .on_loss = on_loss,
                                .sampler = {.top_p = 1}};
    o->rc = policy_parse(policy, &a, &q.policy, &q.policy_options, &o->err);
    if (o->rc == 0)
        o->rc = sync_parse(sync, &a, &q.sync, &q.sync_options, &o->err);
    if (o->rc == 0)
        o->rc = session_run(&q, &o->result, &o->err);
    cost_destroy(cost);
    arena_fini(&a);
}

static inline struct outcome run(enum fixture_kind kind, const char *more, const char *sync)
{
    struct outcome o = {0};
    struct machine *m = NULL;
    struct model *w = model();
    o.rc = open_machine(kind, "enabled = false;", more, &m, &o.err);
    if (w && o.rc == 0)
        run_on(m, w, "npu_only", sync, SESSION_STOP, &o);
    machines_close(m);
    model_close(w);
    CHECK_INT(fixture_left(fixture_library(kind)), 0);
    CHECK(waitpid(-1, NULL, WNOHANG) <= 0); // no zombie
    return o;
}

#endif
