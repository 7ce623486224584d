// SPDX-License-Identifier: GPL-3.0-or-later
// Keys: equal for equal evaluations however they were written, different for everything that
// metrics depend on.
#include "explore/identity.h"
#include "tests/explore/util.h"

#define HEAD     "machine = \"soc:sd8gen3\"; model = \"qwen2-1.5b\"; prompt = 32; gen = 3;\n"
#define POLICIES "policies = ({name = \"gpu_only\";});\n"
#define SYNCS    "syncs = ({name = \"poll\";});\n"

static struct model *shape(const char *name)
{
    struct model *m = NULL;
    struct err e = {0};
    char path[100];
    snprintf(path, sizeof path, "configs/model/%s.cfg", name);
    CHECK_OK(model_open(path, &m, &e), &e);
    return m;
}

// The key of the first point of a space whose SoC parameter (if any) has choice c.
static uint64_t key_of(const char *text, const struct model *m, int c, uint64_t *config)
{
    struct space *s = space_of(text);
    struct test_factory f = test_factory();
    struct evaluate_context x = {.space = s, .factory = &f.base, .model = m};
    struct identity *d = identity_create(&x);
    struct search_point p = {.level = 0};
    struct space_config g;
    struct arena a;
    uint64_t unused;
    arena_init(&a);
    p.choice[0] = s->param[0].kind == SPACE_SOC ? c : 0;
    CHECK(space_canonical(s, &p));
    space_resolve(s, &p, &a, &g);
    uint64_t key = identity_key(d, &p, &g, config ? config : &unused);
    CHECK(key == identity_key(d, &p, &g, config ? config : &unused));
    arena_fini(&a);
    identity_destroy(d);
    space_close(s);
    return key;
}

static void test_equal(void)
{
    struct model *m = small_model();
    static const char *const same[] = {
        HEAD POLICIES SYNCS,
        // what the space makes of metrics, and what else is in it
        HEAD "objectives = [\"energy_j\"]; constraints = [\"tpot_ms <= 1\"];\n" POLICIES SYNCS,
        HEAD "policies = ({name = \"gpu_only\";}, {name = \"npu_only\";});\n" SYNCS,
        // an override to what the file says
        HEAD POLICIES SYNCS "soc = ({key = \"npu.arch.arrays\"; values = [8, 4];});",
    };
    uint64_t config, first, key = key_of(same[0], m, 0, &first);
    for (size_t i = 1; i < sizeof same / sizeof same[0]; i++) {
        CHECK(key_of(same[i], m, 0, &config) == key);
        CHECK(config == first);
    }
    static const char *const spelt[] = {
        HEAD "policies = ({name = \"hetero_tensor\"; parts = 8; margin = \"5 %\";});\n"
             "syncs = ({name = \"sleep_poll\"; margin = \"50 us\";});",
        HEAD "policies = ({name = \"hetero_tensor\"; margin = \"5.0 %\"; parts = [8, 16];});\n"
             "syncs = ({name = \"sleep_poll\"; margin = \"0.05 ms\"; granularity = \"90 us\";});",
    };
    CHECK(key_of(spelt[0], m, 0, NULL) == key_of(spelt[1], m, 0, NULL));
    model_close(m);
}

static void test_different(void)
{
    struct model *m = small_model(), *other = shape("tinyllama-1.1b");
    static const char SOC[] =
        HEAD POLICIES SYNCS "soc = ({key = \"npu.arch.arrays\"; values = [8, 4, 16];});";
    uint64_t config[9], key[9];
    int n = 0;
    key[n] = key_of(SOC, m, 0, &config[n]), n++;
    key[n] = key_of(SOC, m, 1, &config[n]), n++;
    key[n] = key_of(SOC, m, 2, &config[n]), n++;
    key[n] = key_of(HEAD "policies = ({name = \"npu_only\";});\n" SYNCS, m, 0, &config[n]), n++;
    key[n] = key_of(HEAD POLICIES "syncs = ({name = \"event\";});\n", m, 0, &config[n]), n++;
    for (int i = 0; i < n; i++)
        for (int j = 0; j < i; j++)
            CHECK(key[i] != key[j] && config[i] != config[j]);
    // Same configuration, other work.
    int same = n;
    key[n] = key_of(HEAD POLICIES SYNCS, other, 0, &config[n]), n++;
    key[n] = key_of(
        "machine = \"soc:sd8gen3\"; model = \"qwen2-1.5b\"; prompt = 33; gen = 3;\n" POLICIES SYNCS,
        m, 0, &config[n]),
    n++;
    key[n] = key_of(
        "machine = \"soc:sd8gen3\"; model = \"qwen2-1.5b\"; prompt = 32; gen = 4;\n" POLICIES SYNCS,
        m, 0, &config[n]),
    n++;
    key[n] = key_of(HEAD "levels = [\"estimate\", \"flow\"];\n" POLICIES SYNCS, m, 0, &config[n]);
    n++;
    for (int i = same; i < n; i++) {
        CHECK(config[i] == config[0]);
        for (int j = 0; j < i; j++)
            CHECK(key[i] != key[j]);
    }
    model_close(m);
    model_close(other);
}

// A text is resolved once, however many points use it; a machine that cannot be resolved has a key
// all the same.
static void test_remembered(void)
{
    struct space *s =
        space_of(HEAD POLICIES SYNCS "soc = ({key = \"npu.arch.arrays\"; values = [4, -1];});");
    struct model *m = small_model();
    struct test_factory f = test_factory();
    struct evaluate_context x = {.space = s, .factory = &f.base, .model = m};
    struct identity *d = identity_create(&x);
    uint64_t key[2], config;
    struct arena a;
    arena_init(&a);
    for (int i = 0; i < 20; i++) {
        struct search_point p = {.choice = {i % 2}};
        struct space_config g;
        space_resolve(s, &p, &a, &g);
        key[i % 2] = identity_key(d, &p, &g, &config);
    }
    CHECK_INT(f.digested, 2);
    CHECK(key[0] != key[1]);
    CHECK(identity_base(d) == identity_base(d));
    CHECK_INT(f.digested, 3);
    arena_fini(&a);
    identity_destroy(d);
    model_close(m);
    space_close(s);
}

TESTS(explore_identity, T(test_equal), T(test_different), T(test_remembered))
