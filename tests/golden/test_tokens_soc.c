// SPDX-License-Identifier: GPL-3.0-or-later
// Token ids and logits equal the reference on simulated SoCs that carry values, under every policy
// of the registry; sync schemes take turns. The devices compute with the reference operators, so
// what is tested here are plans, joins and the order of things in virtual time.
#include "tests/golden/tokens_rig.h"

#define PHONE "configs/soc/sd8gen3.cfg"

// Whether the registry's policy can run on the machine; and under the scheme, if one is named.
static bool offered(const char *machine, const char *policy, const char *sync)
{
    struct setting s = {
        .machine = machine, .policy = policy, .sync = sync ? sync : "driver", .busy = ""};
    struct reference *ref = reference_get(0);
    struct graph g;
    struct plan p;
    struct rig r;
    struct err e = {0};
    bool ok = false;
    if (ref && rig_open(&r, &s, ref)) {
        graph_build(r.model, 50, 0, &g);
        int rc = rig_plan(&r, &g, &p, &e);
        struct machine_desc d;
        machine_describe(r.machine, &d);
        ok = rc == 0 && r.sync->offered(&d, r.sync_options, NULL) == 0;
        if (rc == 0)
            plan_fini(&p);
        else
            CHECK_INT(rc, ERR_UNSUPPORTED);
    }
    rig_close(&r);
    reference_close(ref);
    return ok;
}

static void soc(const char *machine, const char *policy, const char *sync, const char *busy)
{
    run_setting((struct setting){.machine = machine,
                                 .policy = policy,
                                 .sync = sync,
                                 .busy = busy,
                                 .tolerance = {F32_TOLERANCE, F32_TOLERANCE},
                                 .prefill = 50,
                                 .brief = true});
}

static void test_phone_single(void)
{
    soc(PHONE, "cpu_only", "driver", "cpu");
    soc(PHONE, "gpu_only", "queue_order", "gpu");
    soc(PHONE, "npu_only", "poll", "npu");
}

static void test_phone_weight_centric(void)
{
    soc(PHONE, "weight_centric:share=50 %", "sleep_poll", "gpu npu");
    soc(PHONE, "weight_centric:partner=cpu,share=25 %", "driver", "cpu npu");
}

static void test_phone_activation_centric(void)
{
    soc(PHONE, "activation_centric", "event", "gpu npu");
    soc(PHONE, "activation_centric:partner=cpu", "poll", "cpu npu");
}

static void test_phone_hybrid(void)
{
    soc(PHONE, "hybrid:rest=flexible,share=40 %", "queue_order", "gpu npu");
    soc(PHONE, "hybrid:rest=pad,share=50 %,partner=cpu", "sleep_poll", "cpu npu");
}

static void test_phone_hetero_tensor(void)
{
    soc(PHONE, "hetero_tensor", "sleep_poll", "gpu npu");
    soc(PHONE, "hetero_tensor:partner=cpu", "driver", "cpu npu");
    soc(PHONE, "hetero_tensor:solver=chain", "queue_order", "gpu npu");
    soc(PHONE, "hetero_tensor:solver=chain,rest=any", "sleep_poll", "gpu npu");
}

// Whatever else there is (a policy added tomorrow included).
static void test_phone_registry(void)
{
    static const char *const above[] = {"cpu_only",       "gpu_only",           "npu_only",
                                        "weight_centric", "activation_centric", "hybrid",
                                        "hetero_tensor"};
    for (size_t i = 0; i < policy_registry_count; i++) {
        const char *name = policy_registry[i]->name;
        bool done = false;
        for (size_t k = 0; k < sizeof above / sizeof above[0]; k++)
            done |= !strcmp(name, above[k]);
        size_t k = i; // schemes take turns; not all are for phones
        if (done || !offered(PHONE, name, NULL))
            continue;
        while (!offered(PHONE, name, sync_registry[k % sync_registry_count]->name))
            k++;
        soc(PHONE, name, sync_registry[k % sync_registry_count]->name, NULL);
    }
}

static void test_other_socs(void)
{
    soc("configs/soc/sd8elite.cfg", "hetero_tensor", "sleep_poll", NULL);
    soc("configs/soc/a18.cfg", "weight_centric:share=50 %", "queue_order", NULL);
    soc("configs/soc/dimensity9300.cfg", "hybrid:share=50 %", "event", NULL);
}

TESTS(golden_tokens_soc, T(test_phone_single), T(test_phone_weight_centric),
      T(test_phone_activation_centric), T(test_phone_hybrid), T(test_phone_hetero_tensor),
      T(test_phone_registry), T(test_other_socs))
