// SPDX-License-Identifier: GPL-3.0-or-later
// What the tests of explore share: small spaces, a factory of simulated machines, a worker that
// computes metrics by formula.
#ifndef TESTS_EXPLORE_UTIL_H
#define TESTS_EXPLORE_UTIL_H

#include <stdlib.h>
#include <string.h>
#include "engine/model.h"
#include "explore/campaign.h"
#include "explore/space.h"
#include "models/soc/soc.h"
#include "tests/harness.h"

#define SMALL_SPACE                                                                                \
    "machine = \"soc:sd8gen3\"; model = \"qwen2-1.5b\"; prompt = 32; gen = 3;\n"                   \
    "policies = ({name = \"gpu_only\";},\n"                                                        \
    "  {name = \"hetero_tensor\"; parts = [4, 8, 16]; margin = \"5 %\";});\n"                      \
    "syncs = ({name = \"driver\";},\n"                                                             \
    "  {name = \"sleep_poll\"; margin = [\"50 us\", \"100 us\"];});\n"

static inline struct space *space_of(const char *text)
{
    struct space *s = NULL;
    struct err e = {0};
    CHECK_OK(space_open_text("test.cfg", text, &s, &e), &e);
    return s;
}

// configs/soc/sd8gen3.cfg with overrides. no_flag: no device has a flag word. slow_npu: its arrays
// run at a thousandth of their clock.
struct test_factory {
    struct machine_factory base; // first
    bool no_flag, slow_npu;
    int opened, digested;
};

static inline int test_factory_conf(const char *const *overrides, int n, struct conf **out,
                                    struct err *e)
{
    int rc = conf_open("configs/soc/sd8gen3.cfg", out, e);
    for (int i = 0; rc >= 0 && i < n; i++) {
        char key[96];
        const char *eq = strchr(overrides[i], '=');
        snprintf(key, sizeof key, "%.*s", (int)(eq - overrides[i]), overrides[i]);
        rc = conf_override(*out, key, eq + 1, e);
    }
    return rc;
}

static inline int test_factory_digest(const struct machine_factory *base,
                                      const char *const *overrides, int n, uint64_t *out,
                                      struct err *e)
{
    struct test_factory *f = (struct test_factory *)base;
    struct conf *c = NULL;
    int rc = test_factory_conf(overrides, n, &c, e);
    if (rc >= 0)
        rc = machine_soc_config_digest(c, out, e);
    conf_close(c);
    f->digested++;
    return rc;
}

static inline int test_factory_open(const struct machine_factory *base,
                                    const char *const *overrides, int n, struct machine **out,
                                    struct err *e)
{
    struct test_factory *f = (struct test_factory *)base;
    struct conf *c = NULL;
    int rc = test_factory_conf(overrides, n, &c, e);
    if (rc >= 0 && f->slow_npu)
        rc = conf_override(c, "npu.arch.clock", "1 MHz", e);
    if (rc >= 0)
        rc = machine_soc_open(c, false, out, e);
    for (int d = 0; rc >= 0 && f->no_flag && d < (*out)->n_devices; d++)
        (*out)->device[d]->caps.flag = false;
    conf_close(c);
    f->opened++;
    return rc;
}

static inline struct test_factory test_factory(void)
{
    return (struct test_factory){
        .base = {.open = test_factory_open, .digest = test_factory_digest, .spec = "soc:sd8gen3"}};
}

static inline struct model *small_model(void)
{
    struct model *m = NULL;
    struct err e = {0};
    CHECK_OK(model_open("configs/model/qwen2-1.5b.cfg", &m, &e), &e);
    return m;
}

#endif
