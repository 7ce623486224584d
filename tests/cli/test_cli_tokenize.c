// SPDX-License-Identifier: GPL-3.0-or-later
// partita tokenize: the reference vectors of vocabulary-only files, and the way there and back for
// any bytes.
#include "tests/cli/cli_util.h"

static struct ran tokenize(const char *file, const char *options, const char *input, size_t n)
{
    char text[256], *argv[16] = {(char *)"partita", (char *)"tokenize"}, *save = NULL;
    int count = 2;
    snprintf(text, sizeof text, "%s", options);
    for (char *w = strtok_r(text, " ", &save); w; w = strtok_r(NULL, " ", &save))
        argv[count++] = w;
    argv[count++] = (char *)file;
    argv[count] = NULL;
    struct ran r = run_to(NULL, input, n, argv);
    CHECK_INT(r.code, 0);
    CHECK_STR(r.err, "");
    return r;
}

static void round_trip(const char *file, const char *text, size_t n)
{
    struct ran ids = tokenize(file, "", text, n);
    struct ran back = tokenize(file, "--decode", ids.out ? ids.out : "", ids.n_out);
    CHECK_INT(back.n_out, n);
    if (!CHECK(back.out && back.n_out == n && !memcmp(back.out, text, n)))
        test_note("%.60s", text);
    ran_free(&ids);
    ran_free(&back);
}

static void test_round_trip(void)
{
    static const char *const texts[] = {"Once upon a time",
                                        "",
                                        " ",
                                        "  two spaces,  and\ttabs\n\nand lines\n",
                                        "caf\xc3\xa9 na\xc3\xafve \xe2\x82\xac \xf0\x9f\x8e\xbc",
                                        "<s> </s> <unk> [INST]"};
    const char *file = here("data/partita-stories.gguf");
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        round_trip(file, texts[i], strlen(texts[i]));
}

static void test_large_input(void)
{
    enum { N = 300000 };
    char *text = malloc(N);
    for (int i = 0; i < N; i++)
        text[i] = "the quick brown fox, jumps. over the lazy dog\n"[i * 7 % 46];
    round_trip(here("data/partita-stories.gguf"), text, N);
    free(text);
}

// The vectors of a vocabulary: texts in .inp, one line of ids each in .out.
static void vectors(const char *name)
{
    static const char separator[] = "\n__ggml_vocab_test__\n";
    char relative[128];
    snprintf(relative, sizeof relative, "data/vocab/ggml-vocab-%s.gguf", name);
    const char *shared = test_shared(relative);
    if (!shared) {
        test_skip("%s is not in the shared folder", relative);
        return;
    }
    char file[4096], path[4200];
    if (!realpath(shared, file))
        return;
    snprintf(path, sizeof path, "%s.inp", file);
    char *in = slurp(path, NULL), *text = in;
    snprintf(path, sizeof path, "%s.out", file);
    char *out = slurp(path, NULL), *ids = out;
    int n = 0;
    while (text && ids && *ids) {
        char *end = strstr(text, separator), *line_end = strchr(ids, '\n');
        size_t size = end ? (size_t)(end - text) : strlen(text);
        if (line_end)
            *line_end = 0;
        ids += *ids == ' ';
        struct ran r = tokenize(file, "", text, size);
        r.out[strcspn(r.out, "\n")] = 0;
        CHECK_STR(r.out, ids);
        ran_free(&r);
        n++;
        text = end ? end + strlen(separator) : NULL;
        ids = line_end ? line_end + 1 : NULL;
    }
    test_note("%s: %d texts", name, n);
    CHECK(n >= 40);
    free(in);
    free(out);
}

static void test_llama_spm(void)
{
    vectors("llama-spm");
}

static void test_gpt_2(void)
{
    vectors("gpt-2");
}

static void test_json(void)
{
    json_error_t e;
    struct ran r = tokenize(here("data/partita-stories.gguf"), "--json --bos", "Once upon", 9);
    json_t *j = json_loads(r.out, 0, &e), *ids = json_object_get(j, "tokens");
    CHECK_INT(json_array_size(ids), 3);
    CHECK_INT(json_integer_value(json_array_get(ids, 0)), 1);
    struct ran back = tokenize(here("data/partita-stories.gguf"), "--json --decode", r.out + 10,
                               strcspn(r.out + 10, "}"));
    json_t *text = json_loads(back.out, 0, &e);
    CHECK_STR(json_string_value(json_object_get(text, "text")), "Once upon");
    json_decref(j);
    json_decref(text);
    ran_free(&r);
    ran_free(&back);
}

static void test_bad_ids(void)
{
    static const struct {
        const char *input, *message;
    } bad[] = {{"1 2 x", "token 3"},
               {"999999", "token 1"},
               {"-1", "token 1"},
               {"1 99999999999999999999", "token 2"},
               {"1.5", "token 2"}};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        char line[4200];
        snprintf(line, sizeof line, "tokenize --decode %s", here("data/partita-stories.gguf"));
        struct ran r = run_line(line, bad[i].input);
        CHECK_INT(r.code, 3);
        CHECK_STR(r.out, "");
        CHECK_HAS(r.err, bad[i].message);
        ran_free(&r);
    }
}

TESTS(cli_tokenize, T(test_round_trip), T(test_large_input), T(test_llama_spm), T(test_gpt_2),
      T(test_json), T(test_bad_ids))
