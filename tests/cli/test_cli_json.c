// SPDX-License-Identifier: GPL-3.0-or-later
// What --json promises: valid JSON with every key of a result, null where a number is unknown, the
// same digest for the same run; and the tokens that a result carries are the right ones.
#include "tests/cli/cli_util.h"

static const char *const NUMBERS[] = {"ttft_ms", "tpot_ms", "prefill_tok_s", "decode_tok_s",
                                      "bytes_moved"};
static const char *const STRINGS[] = {"digest", "machine", "policy", "sync", "model"};

static double number(const json_t *j, const char *key)
{
    const json_t *v = json_object_get(j, key);
    if (!CHECK(json_is_number(v)))
        test_note("no number \"%s\"", key);
    return json_number_value(v);
}

static const char *string(const json_t *j, const char *key)
{
    const char *s = json_string_value(json_object_get(j, key));
    if (!CHECK(s != NULL))
        test_note("no string \"%s\"", key);
    return s ? s : "";
}

static void check_result(const json_t *j)
{
    for (size_t i = 0; i < sizeof NUMBERS / sizeof NUMBERS[0]; i++)
        CHECK(number(j, NUMBERS[i]) > 0);
    for (size_t i = 0; i < sizeof STRINGS / sizeof STRINGS[0]; i++)
        CHECK(*string(j, STRINGS[i]) != 0);
    CHECK(json_object_get(j, "energy_j") != NULL);
    CHECK(json_object_get(j, "tokens") != NULL);
    CHECK(json_object_get(j, "text") != NULL);
    CHECK(json_array_size(json_object_get(j, "devices")) > 0);
    CHECK_INT(strlen(string(j, "digest")), 16);
}

static json_t *story(const char *options)
{
    char line[1024];
    snprintf(line, sizeof line, "run %s --json %s", here("data/partita-stories.gguf"), options);
    return works_json(line);
}

// The reference's tokens after the prompt of its line `index`.
static void check_tokens(const json_t *j, int index, int n)
{
    FILE *f = fopen("data/partita-stories.greedy.json", "r");
    char *text = NULL;
    size_t room = 0;
    json_t *ref = NULL;
    json_error_t e;
    for (int i = 0; f && i <= index; i++)
        CHECK(getline(&text, &room, f) > 0);
    if (f)
        fclose(f);
    ref = json_loads(text ? text : "", 0, &e);
    free(text);
    const json_t *next = json_object_get(ref, "next_ids"), *got = json_object_get(j, "tokens");
    size_t first = json_array_size(json_object_get(ref, "prompt_ids")) - 1;
    CHECK_INT(json_array_size(got), n);
    for (size_t i = 0; i < (size_t)n; i++)
        CHECK_INT(json_integer_value(json_array_get(got, i)),
                  json_integer_value(json_array_get(next, first + i)));
    json_decref(ref);
}

static void test_run_host(void)
{
    static const char *const policies[] = {"cpu_only", "npu_only", "gpu_only",
                                           "hetero_tensor:partner=cpu", "hetero_tensor"};
    for (size_t i = 0; i < sizeof policies / sizeof policies[0]; i++) {
        char options[256];
        snprintf(options, sizeof options, "-n 40 -p 'Mabel was a' --policy %s", policies[i]);
        struct ran r = run("run %s --json %s", here("data/partita-stories.gguf"), options);
        if (r.code == 4) { // no OpenCL device here
            CHECK_HAS(r.err, "GPU");
            ran_free(&r);
            continue;
        }
        json_error_t e;
        json_t *j = json_loads(r.out, 0, &e);
        CHECK_INT(r.code, 0);
        CHECK_STR(r.err, "");
        ran_free(&r);
        check_result(j);
        CHECK(json_is_null(json_object_get(j, "energy_j"))); // nobody measures it here
        CHECK_STR(string(j, "machine"), "host");
        CHECK_STR(string(j, "policy"), policies[i]);
        check_tokens(j, 2, 40);
        json_decref(j);
    }
}

static void test_run_soc(void)
{
    json_t *a = story("-n 40 -p 'Mabel was a' --machine soc:sd8gen3");
    json_t *b = story("-n 40 -p 'Mabel was a' --machine soc:sd8gen3");
    json_t *c = story("-n 40 -p 'Mabel was a' --machine soc:sd8gen3 --sync driver");
    check_result(a);
    check_tokens(a, 2, 40);
    check_tokens(c, 2, 40);
    CHECK(number(a, "energy_j") > 0);
    CHECK(json_equal(a, b)); // in virtual time everything repeats
    CHECK(strcmp(string(a, "digest"), string(c, "digest")) != 0);
    CHECK_STR(string(a, "logits_digest"), string(c, "logits_digest"));
    CHECK_HAS(string(a, "text"), "Mabel");
    json_decref(a);
    json_decref(b);
    json_decref(c);
}

static void test_run_repeats(void)
{
    json_t *a = story("-n 20 --policy cpu_only"), *b = story("-n 20 --policy cpu_only");
    json_t *c = story("-n 20 --policy cpu_only --temp 5 --seed 7");
    json_t *d = story("-n 20 --policy cpu_only --temp 5 --seed 7");
    json_t *e = story("-n 20 --policy cpu_only --temp 5 --seed 8");
    CHECK_STR(string(a, "digest"), string(b, "digest"));
    CHECK_STR(string(c, "digest"), string(d, "digest"));
    CHECK(strcmp(string(c, "digest"), string(e, "digest")) != 0);
    CHECK(strcmp(string(c, "text"), string(a, "text")) != 0);
    CHECK_HAS(string(a, "text"), "Once upon a time"); // and no space in front
    CHECK(string(a, "text")[0] == 'O');
    json_decref(a);
    json_decref(b);
    json_decref(c);
    json_decref(d);
    json_decref(e);
}

// A hot sampler draws byte tokens: the text is no longer UTF-8, the JSON still is.
static void test_any_bytes(void)
{
    json_t *j = story("-n 120 --policy cpu_only --temp 100 --seed 3 --ignore-eos");
    CHECK_INT(json_array_size(json_object_get(j, "tokens")), 120);
    CHECK(strlen(string(j, "text")) > 0);
    json_decref(j);
}

static void test_sim(void)
{
    const char *line = "sim --soc sd8gen3 --model llama3-8b --prompt 256 --gen 4 --json";
    json_t *a = works_json(line), *b = works_json(line);
    check_result(a);
    CHECK(json_equal(a, b));
    CHECK(number(a, "energy_j") > 0);
    CHECK(json_is_null(json_object_get(a, "tokens")));
    CHECK(json_is_null(json_object_get(a, "text")));
    CHECK_STR(string(a, "machine"), "soc:sd8gen3");
    CHECK_STR(string(a, "policy"), "hetero_tensor");
    CHECK_STR(string(a, "sync"), "sleep_poll");
    CHECK_INT(number(a, "n_prompt"), 256);
    CHECK_INT(number(a, "n_gen"), 4);
    CHECK_NEAR(number(a, "decode_tok_s") * number(a, "tpot_ms"), 1000, 1e-6);
    json_decref(a);
    json_decref(b);
    // One token: there is no time per further token.
    json_t *one = works_json("sim --prompt 8 --gen 1 --json");
    CHECK(json_is_null(json_object_get(one, "tpot_ms")));
    CHECK(json_is_null(json_object_get(one, "decode_tok_s")));
    json_decref(one);
}

static void test_sim_set(void)
{
    json_t *a = works_json("sim --prompt 64 --gen 4 --json");
    json_t *b = works_json("sim --prompt 64 --gen 4 --json --set dram.timing.channels=2");
    CHECK(number(b, "tpot_ms") > number(a, "tpot_ms"));
    CHECK(strcmp(string(a, "digest"), string(b, "digest")) != 0);
    json_decref(a);
    json_decref(b);
}

static void test_sim_game(void)
{
    json_t *without = works_json("sim --model tinyllama-1.1b --prompt 16 --gen 3 --json");
    CHECK(!json_object_get(without, "game") && !json_object_get(without, "temperature_c"));
    json_t *j =
        works_json("sim --model tinyllama-1.1b --prompt 16 --gen 8 --json --policy gpu_only "
                   "--set gpu.game.rate=60 --set thermal.enabled=true");
    const json_t *game = json_object_get(j, "game"), *d = json_object_get(game, "decode");
    CHECK(number(game, "rate") == 60);
    CHECK(number(d, "shown") > 0 && number(d, "fps") > 0);
    CHECK_NEAR(number(d, "fps"), number(d, "shown") / (7 * number(j, "tpot_ms")) * 1e3, 1e-6);
    CHECK(number(d, "late") <= number(d, "shown"));
    CHECK(number(json_object_get(game, "prefill"), "dropped") >= 0);
    CHECK(number(j, "temperature_c") > 25 && number(j, "throttled") == 0);
    json_decref(without);
    json_decref(j);
}

// Another level of detail: other times, but about the same, and the same bytes.
static void test_detail(void)
{
    json_t *a = works_json("sim --prompt 8 --gen 2 --json --model llama3.2-1b --detail flow");
    json_t *b = works_json("sim --prompt 8 --gen 2 --json --model llama3.2-1b --detail cycle");
    double flow = number(a, "ttft_ms"), cycle = number(b, "ttft_ms");
    CHECK(flow != cycle);
    CHECK_NEAR(cycle, flow, 0.1 * flow);
    CHECK(number(a, "bytes_moved") == number(b, "bytes_moved"));
    json_decref(a);
    json_decref(b);
}

static void test_list(void)
{
    static const char *const kinds[] = {"policies",  "syncs", "socs",      "models",
                                        "searchers", "npus",  "encodings", "spaces"};
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        char line[64];
        snprintf(line, sizeof line, "list %s --json --options", kinds[i]);
        json_t *j = works_json(line), *items = json_object_get(j, kinds[i]);
        CHECK(json_array_size(items) > 0);
        for (size_t k = 0; k < json_array_size(items); k++) {
            const json_t *item = json_array_get(items, k);
            CHECK(*string(item, "name") != 0);
            CHECK(*string(item, "doc") != 0);
            CHECK(json_is_array(json_object_get(item, "options")));
        }
        json_decref(j);
    }
    json_t *all = works_json("list --json");
    CHECK(json_object_size(all) >= sizeof kinds / sizeof kinds[0]);
    json_decref(all);
}

static void test_show_config(void)
{
    json_t *a = works_json("show-config --json"), *b = works_json("show-config host --json");
    CHECK_STR(string(a, "machine"), "soc:sd8gen3");
    const json_t *arch =
        json_object_get(json_object_get(json_object_get(a, "config"), "npu"), "arch");
    CHECK(number(arch, "arrays") >= 1);
    CHECK(json_is_string(json_object_get(arch, "clock"))); // a quantity with its unit
    CHECK(json_is_boolean(
        json_object_get(json_object_get(json_object_get(b, "config"), "cpu"), "enabled")));
    json_decref(a);
    json_decref(b);
    // What it prints is a configuration again, which resolves to the same values.
    struct ran r = works("show-config", NULL);
    spill(in_tmp("again.cfg"), r.out, r.n_out);
    ran_free(&r);
    json_t *c = works_json("show-config soc:./again.cfg --json"),
           *d = works_json("show-config --json");
    CHECK(json_equal(json_object_get(c, "config"), json_object_get(d, "config")));
    json_decref(c);
    json_decref(d);
}

static void test_audit(void)
{
    json_t *j = works_json("check --model tinyllama-1.1b --prompt 40 --gen 2 --policy "
                           "weight_centric --json");
    const json_t *runs = json_object_get(j, "runs");
    CHECK(json_array_size(runs) > 1); // one per scheme
    for (size_t i = 0; i < json_array_size(runs); i++) {
        const json_t *run = json_array_get(runs, i);
        if (!strcmp(string(run, "sync"), "futex")) { // a phone's driver wakes by callbacks only
            CHECK_STR(string(run, "status"), "skipped");
            continue;
        }
        CHECK_STR(string(run, "status"), "ok");
        CHECK(number(run, "busiest") <= 1 + 1e-9);
    }
    CHECK_INT(number(j, "plans_proven"), 10);
    CHECK_INT(number(j, "failed"), 0);
    json_decref(j);
}

static void test_explore(void)
{
    json_t *a = works_json("explore tiny --json --output a.db --csv a.csv --jobs 1");
    json_t *b = works_json("explore tiny --json --output b.db --csv b.csv --jobs 2");
    CHECK(number(a, "points") > 1);
    CHECK_INT(number(a, "points"), number(b, "points"));
    char *csv_a = slurp(in_tmp("a.csv"), NULL), *csv_b = slurp(in_tmp("b.csv"), NULL);
    CHECK(csv_a && csv_b && strchr(csv_a, '\n'));
    CHECK_STR(csv_a, csv_b);
    free(csv_a);
    free(csv_b);
    json_decref(a);
    json_decref(b);
}

static void test_profile(void)
{
    json_t *j =
        works_json("profile --cost --soc sd8gen3 --model demo-60m --prompt 32 --gen 2 --json");
    const json_t *rows = json_object_get(j, "rows");
    CHECK(json_array_size(rows) > 50);
    for (size_t i = 0; i < json_array_size(rows); i++) {
        CHECK(*string(json_array_get(rows, i), "kind") != 0);
        CHECK(number(json_array_get(rows, i), "ps") >= 0);
    }
    json_decref(j);
}

static void test_characterisation(void)
{
    json_t *j = works_json("profile --soc sd8gen3 --quick --json");
    const json_t *points = json_object_get(j, "points");
    bool npu = false;
    CHECK_STR(string(j, "machine"), "soc:sd8gen3");
    CHECK(json_array_size(points) > 100);
    for (size_t i = 0; i < json_array_size(points); i++) {
        const json_t *p = json_array_get(points, i);
        CHECK(*string(p, "section") != 0 && *string(p, "unit") != 0);
        // A device's own queue goes on at once.
        CHECK(number(p, "value") > 0 || !strcmp(string(p, "section"), "join"));
        npu |= !strcmp(string(p, "what"), "npu:streamed");
    }
    CHECK(npu);
    json_decref(j);
}

TESTS(cli_json, T(test_run_host), T(test_run_soc), T(test_run_repeats), T(test_any_bytes),
      T(test_sim), T(test_sim_game), T(test_sim_set), T(test_detail), T(test_list),
      T(test_show_config), T(test_audit), T(test_explore), T(test_profile),
      T(test_characterisation))
