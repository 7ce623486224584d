// SPDX-License-Identifier: GPL-3.0-or-later
// Finding plug-ins and reading their options: "NAME" or "NAME:key=value,...".
#include "tests/harness.h"

#include <string.h>
#include "engine/policy.h"
#include "engine/sync.h"

static void test_registries_are_sorted_and_complete(void)
{
    CHECK(policy_registry_count >= 14);
    for (size_t i = 0; i < policy_registry_count; i++) {
        const struct policy_ops *p = policy_registry[i];
        struct err e;
        if (i)
            CHECK(strcmp(policy_registry[i - 1]->name, p->name) < 0);
        CHECK(policy_find(p->name, &e) == p);
        CHECK(p->doc && strlen(p->doc) > 10 && p->plan);
        CHECK(p->n_rows == 0 || p->options_size > 0);
        for (size_t r = 0; r < p->n_rows; r++)
            CHECK(p->rows[r].doc && p->rows[r].offset < p->options_size && p->rows[r].fallback);
    }
    CHECK(sync_registry_count >= 6);
    for (size_t i = 0; i < sync_registry_count; i++) {
        const struct sync_ops *s = sync_registry[i];
        struct err e;
        if (i)
            CHECK(strcmp(sync_registry[i - 1]->name, s->name) < 0);
        CHECK(sync_find(s->name, &e) == s);
        CHECK(s->doc && strlen(s->doc) > 10 && s->offered && s->join);
        for (size_t r = 0; r < s->n_rows; r++)
            CHECK(s->rows[r].doc && s->rows[r].offset < s->options_size && s->rows[r].fallback);
    }
    static const char *const expected[] = {"activation_centric",
                                           "chunked",
                                           "cpu_only",
                                           "gpu_only",
                                           "hetero_tensor",
                                           "hybrid",
                                           "layer",
                                           "npu_only",
                                           "null",
                                           "online_prepare",
                                           "padding",
                                           "pipe",
                                           "template",
                                           "weight_centric"};
    for (size_t i = 0; i < sizeof expected / sizeof expected[0]; i++) {
        struct err e;
        CHECK(policy_find(expected[i], &e) != NULL);
    }
}

static void test_options_are_read(void)
{
    struct arena a;
    struct err e = {0};
    const struct policy_ops *p = NULL;
    const struct sync_ops *s = NULL;
    const void *o = NULL;
    char text[64];
    arena_init(&a);
    CHECK_OK(policy_parse("hetero_tensor:parts=16,partner=cpu", &a, &p, &o, &e), &e);
    CHECK_STR(p->name, "hetero_tensor");
    for (size_t r = 0; r < p->n_rows; r++) {
        const char *name = p->rows[r].name;
        const char *value = conf_value_text(&p->rows[r], o, text, sizeof text);
        if (!strcmp(name, "parts"))
            CHECK_STR(value, "16");
        if (!strcmp(name, "partner"))
            CHECK_HAS(value, "cpu");
    }
    CHECK_OK(policy_parse("gpu_only", &a, &p, &o, &e), &e); // no options at all
    CHECK(o != NULL);
    CHECK_OK(policy_parse("gpu_only:", &a, &p, &o, &e), &e);
    CHECK_OK(policy_parse("padding:sizes=[128,256],decode=npu", &a, &p, &o, &e), &e);
    CHECK_OK(sync_parse("sleep_poll:margin=50 us,granularity=80 us", &a, &s, &o, &e), &e);
    CHECK_STR(s->name, "sleep_poll");
    arena_fini(&a);
}

static void test_mistakes_are_answered(void)
{
    static const struct {
        const char *spec, *says;
        bool sync;
    } bad[] = {
        {"hetero_tensr", "did you mean \"hetero_tensor\"", false},
        {"gpu-only", "did you mean \"gpu_only\"", false},
        {"GPU_ONLY", "unknown policy", false},
        {"", "unknown policy", false},
        {":", "unknown policy", false},
        {"zzzzzzzzzzzzzzzzzz", "unknown policy", false},
        {"hetero_tensor ", "unknown policy", false},
        {"hetero_tensor:parst=8", "parts", false},
        {"hetero_tensor:parts=1", "parts", false},
        {"hetero_tensor:parts=65", "parts", false},
        {"hetero_tensor:parts=eight", "parts", false},
        {"hetero_tensor:margin=5", "margin", false}, // without its unit
        {"hetero_tensor:parts=8,parts=9", "parts", false},
        {"hetero_tensor:partner=tpu", "partner", false},
        {"gpu_only:x=1", "x", false},
        {"sleep_pol", "did you mean \"sleep_poll\"", true},
        {"sleep_poll:margin=50", "margin", true},
        {"driver:margin=50 us", "margin", true},
        {"", "unknown sync scheme", true},
    };
    struct arena a;
    arena_init(&a);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct err e = {0};
        const struct policy_ops *p;
        const struct sync_ops *s;
        const void *o;
        char text[700];
        int rc = bad[i].sync ? sync_parse(bad[i].spec, &a, &s, &o, &e)
                             : policy_parse(bad[i].spec, &a, &p, &o, &e);
        if (rc >= 0)
            test_note("accepted: %s", bad[i].spec);
        CHECK(rc < 0);
        CHECK_INT(e.code, rc);
        CHECK_HAS(err_text(&e, text, sizeof text), bad[i].says);
    }
    // A name longer than any.
    char spec[300];
    memset(spec, 'a', sizeof spec - 1);
    spec[sizeof spec - 1] = 0;
    struct err e = {0};
    const struct policy_ops *p;
    const void *o;
    CHECK(policy_parse(spec, &a, &p, &o, &e) < 0);
    arena_fini(&a);
}

TESTS(engine_registry, T(test_registries_are_sorted_and_complete), T(test_options_are_read),
      T(test_mistakes_are_answered))
