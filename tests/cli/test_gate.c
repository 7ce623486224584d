// SPDX-License-Identifier: GPL-3.0-or-later
// partita gate: an unchanged program passes its own baseline, a slower machine fails it, a faster
// one fails only when asked to; what is chosen is what is evaluated.
#include "tests/cli/cli_util.h"

static void baseline(void)
{
    static bool there;
    if (there)
        return;
    struct ran r = works("explore tiny -q -j 2 -o base.db", NULL);
    ran_free(&r);
    there = true;
}

static json_t *gate_json(int code, const char *options)
{
    char line[512];
    json_error_t e;
    baseline();
    snprintf(line, sizeof line, "gate base.db -q -j 2 --json %s", options);
    struct ran r = run_line(line, NULL);
    CHECK_INT(r.code, code);
    CHECK_STR(r.err, "");
    json_t *j = json_loads(r.out ? r.out : "", JSON_REJECT_DUPLICATES, &e);
    if (!CHECK(j != NULL))
        test_note("partita %s: %s", line, e.text);
    ran_free(&r);
    return j;
}

static json_int_t count(const json_t *j, const char *key)
{
    const json_t *pair = json_array_get(json_object_get(j, "pairs"), 0);
    return json_integer_value(json_object_get(pair, key));
}

static void test_unchanged(void)
{
    json_t *j = gate_json(0, "--strict --tolerance 0% -o new.db");
    CHECK_INT(count(j, "both"), 15);
    CHECK_INT(count(j, "worse") + count(j, "better") + count(j, "moved"), 0);
    CHECK_INT(count(j, "configurations_changed") + count(j, "digests_changed"), 0);
    json_decref(j);
    struct ran r = works("diff base.db new.db --strict --tolerance 0%", NULL); // kept, and the same
    CHECK_HAS(r.out, "15 points in both");
    ran_free(&r);
}

static void test_worse(void)
{
    json_t *j = gate_json(1, "--set npu.arch.arrays=4 --junit gate.xml --markdown gate.md");
    CHECK(count(j, "worse") > 0);
    CHECK(count(j, "worse") < 15); // those that leave the NPU alone are as they were
    CHECK_INT(count(j, "configurations_changed"), 15);
    char want[64], *xml = slurp(in_tmp("gate.xml"), NULL), *md = slurp(in_tmp("gate.md"), NULL);
    snprintf(want, sizeof want, "tests=\"15\" failures=\"%d\"", (int)count(j, "worse"));
    CHECK_HAS(xml, want);
    CHECK_HAS(xml, "<failure type=\"worse\"");
    CHECK_HAS(md, "gate failed");
    json_decref(j);
    free(xml);
    free(md);
    j = gate_json(0, "--set npu.arch.arrays=4 --tolerance 1000%");
    CHECK_INT(count(j, "worse"), 0);
    json_decref(j);
}

static void test_better(void)
{
    struct ran r = works("explore tiny -q -j 2 -s npu.arch.arrays=4 -o slow.db", NULL);
    ran_free(&r);
    r = works("gate slow.db -q --strict --tolerance 0%", NULL); // what the baseline had set holds
    CHECK_HAS(r.out, "worse 0, better 0, moved 0");
    ran_free(&r);
    r = works("gate slow.db -q -s npu.arch.arrays=8 --tolerance 1% "
              "--tolerance power_prefill_w=1000%",
              NULL);
    CHECK_HAS(r.out, "worse 0, better 12, moved 0");
    ran_free(&r);
    r = run_line("gate slow.db -q -s npu.arch.arrays=8 --tolerance 1% "
                 "--tolerance power_prefill_w=1000% --strict",
                 NULL);
    CHECK_INT(r.code, 1);
    CHECK_HAS(r.out, "worse 0, better 12, moved 0");
    ran_free(&r);
}

static void test_choice(void)
{
    json_t *j = gate_json(0, "--sample 4");
    CHECK_INT(count(j, "both"), 4);
    CHECK_INT(count(j, "only_a"), 0);
    json_decref(j);
    j = gate_json(0, "--top 3");
    CHECK_INT(count(j, "both"), 3);
    json_decref(j);
    j = gate_json(0, "--sample 99");
    CHECK_INT(count(j, "both"), 15);
    json_decref(j);
}

static void test_usage(void)
{
    baseline();
    fails(2, "which baseline", "gate");
    fails(2, "one baseline", "gate base.db base.db");
    fails(5, "nowhere.db", "gate nowhere.db");
    fails(2, "no campaign", "gate base.db --campaign quick");
    fails(2, "--sample", "gate base.db --sample 0");
    fails(2, "arrays", "gate base.db -q --set npu.arch.array=4");
    spill(in_tmp("no.db"), "", 0);
    fails(3, "nothing was explored", "gate no.db");
    struct ran r = works("explore tiny -q -o other.db -M demo-60m", NULL);
    ran_free(&r);
    fails(2, "give it with -M", "gate other.db -q");
    r = works("gate other.db -q -M demo-60m", NULL);
    CHECK_HAS(r.out, "passed");
    ran_free(&r);
    // Points of a shard say nothing about their space.
    r = works("explore tiny -q --ask points.txt -o main.db", NULL);
    CHECK_HAS(r.out, "15 points to evaluate in points.txt, 0 are known");
    ran_free(&r);
    r = works("explore tiny -q --points points.txt --shard 0/5 -o shard.db", NULL);
    CHECK_HAS(r.out, "3 points in shard.db");
    ran_free(&r);
    fails(2, "no campaign", "gate shard.db");
}

TESTS(cli_gate, T(test_unchanged), T(test_worse), T(test_better), T(test_choice), T(test_usage))
