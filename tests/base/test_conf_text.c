// SPDX-License-Identifier: GPL-3.0-or-later
// Values from the command line: overrides of a file, and options written "key=value,key=value".
#include "tests/harness.h"

#include <stdio.h>
#include <string.h>
#include "base/conf.h"
#include "tests/base/conf_rows.h"

static struct arena arena;

static struct conf *opened(const char *text)
{
    struct err e;
    struct conf *c = NULL;
    CHECK_OK(conf_open_text("good.cfg", text, &c, &e), &e);
    return c;
}

static struct sample read_ok(const struct conf *c)
{
    struct err e;
    struct sample s = {0};
    CHECK_OK(conf_read(conf_root(c), "sample", sample_rows, SAMPLE_ROWS, &s, &arena, &e), &e);
    return s;
}

static void test_overrides(void)
{
    struct conf *c = opened("channels = 2; sizes = [1]; npu = { tops = 1; };\n"
                            "clients = ( { fps = 30; }, { fps = 60; } );");
    struct err e;
    char buf[64];
    const char *file;
    int line;
    CHECK_OK(conf_override(c, "channels", "8", &e), &e);
    CHECK_OK(conf_override(c, "poll", "\"1.5 ms\"", &e), &e); // quotes or not
    CHECK_OK(conf_override(c, "buffer", "1 KiB", &e), &e);
    CHECK_OK(conf_override(c, "name", "\"a \\\"b\\\" \\\\\"", &e), &e);
    CHECK_OK(conf_override(c, "seed", "5000000000", &e), &e);
    CHECK_OK(conf_override(c, "sleep", "false", &e), &e);
    CHECK_OK(conf_override(c, "sizes", "[ 7, 8 ]", &e), &e);
    CHECK_OK(conf_override(c, "tiles", "[1 KiB,\"2 KiB\"]", &e), &e);
    CHECK_OK(conf_override(c, "npu.tops", "4", &e), &e);
    CHECK_OK(conf_override(c, "npu.deep.er", "5", &e), &e);
    CHECK_OK(conf_override(c, "clients[1].fps", "90", &e), &e);
    CHECK_OK(conf_override(c, "channels", "4", &e), &e); // the last one wins
    struct sample s = read_ok(c);
    CHECK_INT(s.channels, 4);
    CHECK_INT(s.poll, 1500 * PS_PER_US);
    CHECK_INT(s.buffer, 1024);
    CHECK_STR(s.name, "a \"b\" \\");
    CHECK_INT(s.seed, 5000000000);
    CHECK(!s.sleep);
    CHECK_INT(s.sizes.n, 2);
    CHECK_INT(s.sizes.v[1], 8);
    CHECK_INT(s.tiles.v[1], 2048);
    CHECK_STR(conf_text(conf_child(conf_root(c), "npu.deep"), "er", -1, buf, sizeof buf), "5");
    CHECK_STR(conf_text(conf_element(conf_root(c), "clients", 1), "fps", -1, buf, sizeof buf),
              "90");
    conf_where(conf_root(c), "poll", &file, &line);
    CHECK_STR(file, "command line");
    CHECK_INT(line, 0);
    conf_close(c);
    arena_fini(&arena);
}

static void test_override_errors(void)
{
    static const struct {
        const char *key, *value, *says;
    } t[] = {
        {"", "1", "not a dotted key"},
        {".", "1", "not a dotted key"},
        {"a.", "1", "not a dotted key"},
        {"channels.x", "1", "not a group"},
        {"npu", "1", "is a group"},
        {"clients[0]", "1", "not a group"},
        {"clients[2].x", "1", "not a group"},
        {"clients[x].x", "1", "not a group"},
        {"clients[-1].x", "1", "not a group"},
        {"clients.x", "1", "cannot be a key"},
        {"9lives", "1", "cannot be a key"},
        {"clients[1", "1", "not a dotted key"},
        {"clients[99999999999999999999].x", "1", "not a group"},
    };
    struct conf *c = opened("channels = 2; npu = { x = 1; }; clients = ( { y = 1; } );");
    for (size_t i = 0; i < sizeof t / sizeof t[0]; i++) {
        struct err e = {0};
        CHECK_INT(conf_override(c, t[i].key, t[i].value, &e), ERR_CONFIG);
        CHECK_HAS(e.msg, t[i].says);
        CHECK_STR(e.file, "command line");
    }
    struct err e;
    struct sample s;
    CHECK_OK(conf_override(c, "chanels", "3", &e), &e); // surfaces when the group is read
    CHECK_INT(conf_read(conf_root(c), "", sample_rows, SAMPLE_ROWS, &s, &arena, &e), ERR_CONFIG);
    CHECK_STR(e.file, "command line");
    CHECK_HAS(e.msg, "did you mean 'channels'?");
    conf_close(c);
    c = opened("channels = 2;");
    CHECK_OK(conf_override(c, "poll", "3", &e), &e);
    CHECK_INT(conf_read(conf_root(c), "", sample_rows, SAMPLE_ROWS, &s, &arena, &e), ERR_CONFIG);
    CHECK_STR(e.file, "command line");
    CHECK_STR(e.key, "poll");
    CHECK_HAS(e.msg, "'3' has no unit");
    conf_close(c);
}

static void test_options_text(void)
{
    struct err e;
    struct sample s = {0};
    CHECK_OK(conf_read_text("channels=3,sizes=[1,2,3],name=\"a,b\",poll=2 ms,policy=padding",
                            "policy pipe", sample_rows, SAMPLE_ROWS, &s, &arena, &e),
             &e);
    CHECK_INT(s.channels, 3);
    CHECK_INT(s.sizes.n, 3);
    CHECK_STR(s.name, "a,b");
    CHECK_INT(s.poll, 2 * PS_PER_MS);
    CHECK_INT(s.policy, 0);
    CHECK_INT(s.buffer, 8 << 20);
    CHECK_OK(conf_read_text(NULL, "g", sample_rows + 1, 4, &s, &arena, &e), &e);
    CHECK_OK(conf_read_text("", "g", sample_rows + 1, 4, &s, &arena, &e), &e);
    static const struct {
        const char *text, *says;
    } t[] = {
        {"channels", "expected key=value"},
        {"channels=1,", "a comma ends"},
        {",channels=1", "expected key=value"},
        {"channels=1,channels=2", "given twice"},
        {"channels=1,sizse=[1]", "did you mean 'sizes'?"},
        {"a.b=1", "'a.b' is not a key"},
        {"=1", "not a dotted key"},
        {"channels=9", "9 is out of range; expected 1 to 8"},
        {"channels=1.5", "expected an integer"},
        {"channels=", "expected an integer"},
        {"channels=1,sizes=5", "expected a list"},
        {"channels=1,sizes=[1", "expected a list"},
        {"channels=1,sizes=[1,]", "expected a list"},
        {"channels=1,policy=pip", "did you mean 'pipe'?"},
        {"channels=1,sleep=maybe", "true or false"},
        {"channels=1,npu=3", "expected a group"},
        {"poll=1 ms", "missing required key 'channels' in g"},
    };
    for (size_t i = 0; i < sizeof t / sizeof t[0]; i++) {
        e = (struct err){0};
        CHECK_INT(conf_read_text(t[i].text, "g", sample_rows, SAMPLE_ROWS, &s, &arena, &e),
                  ERR_CONFIG);
        CHECK_HAS(e.msg, t[i].says);
        CHECK_STR(e.file, "command line");
    }
    arena_fini(&arena);
}

static void test_option_text_round_trip(void)
{
    struct conf *c = opened("channels = 7; bandwidth = \"61.9 GB/s\"; poll = \"1234567 ps\";\n"
                            "seed = -9223372036854775807L; share = \"33.3 %\"; weight = 1e22;\n"
                            "name = \"x=1, [y] \\\"z\\\\\"; sizes = [1, 2]; tiles = [\"1 MiB\"];");
    struct sample s = read_ok(c), back = {0};
    char text[2000] = "", value[1000];
    struct err e;
    for (int i = 0; i < SAMPLE_ROWS; i++) {
        size_t at = strlen(text);
        if (sample_rows[i].type != CONF_GROUP)
            snprintf(text + at, sizeof text - at, "%s%s=%s", i ? "," : "", sample_rows[i].name,
                     conf_value_text(&sample_rows[i], &s, value, sizeof value));
    }
    CHECK_OK(conf_read_text(text, "g", sample_rows, SAMPLE_ROWS, &back, &arena, &e), &e);
    CHECK_STR(back.name, s.name);
    CHECK(conf_digest(1, sample_rows, SAMPLE_ROWS, &s) ==
          conf_digest(1, sample_rows, SAMPLE_ROWS, &back));
    conf_close(c);
    arena_fini(&arena);
}

// White space at either end of an option's value is cut, whichever it is, unless it is quoted.
static void test_white_space_round_trip(void)
{
    static const char *const names[] = {"a\f", "\va", "\ta", "a\r", "a\n", " a", "a\001"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        struct sample s = {.name = names[i]}, back = {0};
        struct err e;
        char value[80], text[120];
        const struct conf_row *row = sample_rows;
        while (strcmp(row->name, "name") != 0)
            row++;
        snprintf(text, sizeof text, "name=%s", conf_value_text(row, &s, value, sizeof value));
        CHECK_OK(conf_read_text(text, "g", row, 1, &back, &arena, &e), &e);
        CHECK_STR(back.name, names[i]);
    }
    arena_fini(&arena);
}

// --- lists of strings

struct names {
    struct conf_string_list models;
};

static const struct conf_row names_rows[] = {
    {"models", CONF_STRING_LIST, UNIT_NONE, "[]", 0, 0, NULL, "names",
     offsetof(struct names, models)},
};

static struct names names_of(const char *text)
{
    struct err e;
    struct names n = {0};
    struct conf *c = opened(text);
    CHECK_OK(conf_read(conf_root(c), "names", names_rows, 1, &n, &arena, &e), &e);
    conf_close(c);
    return n;
}

static void test_string_lists(void)
{
    char buf[64];
    struct err e;
    struct names n = names_of("");
    CHECK_INT(n.models.n, 0);
    uint64_t none = conf_digest(0, names_rows, 1, &n);
    n = names_of("models = [];");
    CHECK_INT(n.models.n, 0);
    n = names_of("models = \"one\";"); // a list of one
    CHECK_INT(n.models.n, 1);
    CHECK_STR(n.models.v[0], "one");
    uint64_t one = conf_digest(0, names_rows, 1, &n);
    CHECK(one != none);
    n = names_of("models = [\"one\"];");
    CHECK(conf_digest(0, names_rows, 1, &n) == one);
    n = names_of("models = [\"a b\", \"c\"];");
    CHECK_INT(n.models.n, 2);
    CHECK_STR(n.models.v[1], "c");
    const char *text = conf_value_text(&names_rows[0], &n, buf, sizeof buf);
    CHECK_STR(text, "[\"a b\",c]");
    char option[80];
    struct names back = {0};
    snprintf(option, sizeof option, "models=%s", text); // what is printed reads back
    CHECK_OK(conf_read_text(option, "names", names_rows, 1, &back, &arena, &e), &e);
    CHECK_INT(back.models.n, 2);
    CHECK_STR(back.models.v[0], "a b");
    struct conf *c = opened("\nmodels = [1, 2];");
    CHECK(conf_read(conf_root(c), "names", names_rows, 1, &n, &arena, &e) < 0);
    CHECK_INT(e.line, 2);
    CHECK_HAS(e.msg, "expected a list such as [\"a\", \"b\"], found 1");
    conf_close(c);
    c = opened("models = 3;");
    CHECK(conf_read(conf_root(c), "names", names_rows, 1, &n, &arena, &e) < 0);
    CHECK_HAS(e.msg, "found 3");
    conf_close(c);
    char many[400] = "models = [\"0\"";
    for (int i = 1; i < 33; i++)
        strcat(many, ", \"x\"");
    c = opened(strcat(many, "];"));
    CHECK(conf_read(conf_root(c), "names", names_rows, 1, &n, &arena, &e) < 0);
    CHECK_HAS(e.msg, "more than 32 elements");
    conf_close(c);
}

TESTS(base_conf_text, T(test_overrides), T(test_override_errors), T(test_options_text),
      T(test_option_text_round_trip), T(test_white_space_round_trip), T(test_string_lists))
