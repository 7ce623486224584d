// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/harness.h"

#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include "base/conf.h"
#include "base/digest.h"
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

static const char *write_file(const char *name, const char *text)
{
    char *path = arena_printf(&arena, "%s/%s", test_tmpdir(), name);
    FILE *f = fopen(path, "w");
    CHECK(f != NULL);
    fputs(text, f);
    fclose(f);
    return path;
}

static void test_defaults(void)
{
    struct conf *c = opened("channels = 4;");
    struct sample s = read_ok(c);
    CHECK_INT(s.channels, 4);
    CHECK_NEAR(s.bandwidth, 60e9, 0);
    CHECK_INT(s.poll, 400 * PS_PER_US);
    CHECK_INT(s.buffer, 8 << 20);
    CHECK_NEAR(s.share, 0.75, 0);
    CHECK_NEAR(s.weight, 0.5, 0);
    CHECK(s.sleep);
    CHECK_STR(s.name, "");
    CHECK_INT(s.policy, 1);
    CHECK_INT(s.sizes.n, 2);
    CHECK_INT(s.sizes.v[1], 128);
    CHECK_INT(s.tiles.n, 0);
    conf_close(c);
    arena_fini(&arena);
}

static void test_every_type(void)
{
    struct conf *c = opened("channels = 8\nbandwidth = \"61.9 GB/s\"; poll : \"1 us\", \n"
                            "buffer = \"0 B\"; seed = 5000000000L; share = \"0 %\"; weight = 3;\n"
                            "sleep = FALSE; name = \"a \\\"b\\\" \" \"c\"; policy = \"online\";\n"
                            "sizes = [1, 4096]; tiles = [\"1 KiB\"];\n");
    struct sample s = read_ok(c);
    CHECK_INT(s.channels, 8); // the limit itself
    CHECK_NEAR(s.bandwidth, 61.9e9, 0);
    CHECK_INT(s.poll, PS_PER_US);
    CHECK_INT(s.buffer, 0);
    CHECK_INT(s.seed, 5000000000);
    CHECK_NEAR(s.share, 0, 0);
    CHECK_NEAR(s.weight, 3, 0); // an integer token for a real
    CHECK(!s.sleep);
    CHECK_STR(s.name, "a \"b\" c");
    CHECK_INT(s.policy, 2);
    CHECK_INT(s.sizes.v[0], 1);
    CHECK_INT(s.tiles.v[0], 1024);
    conf_close(c);
    arena_fini(&arena);
}

static void test_integers_at_the_edges(void)
{
    static const struct {
        const char *text;
        int64_t value;
    } t[] = {
        {"2147483647", INT32_MAX},
        {"-2147483648", INT32_MIN},
        {"0x7FFFFFFF", INT32_MAX},
        {"2147483648L", INT64_C(2147483648)},
        {"0xFFFFFFFFL", INT64_C(4294967295)},
        {"9223372036854775807L", INT64_MAX},
        {"9223372036854775807LL", INT64_MAX},
        {"0x7fffffffffffffffL", INT64_MAX},
        {"0", 0},
        {"+7", 7},
    };
    for (size_t i = 0; i < sizeof t / sizeof t[0]; i++) {
        struct conf *c = opened(arena_printf(&arena, "channels = 1; seed = %s;", t[i].text));
        CHECK_INT(read_ok(c).seed, t[i].value);
        conf_close(c);
    }
    arena_fini(&arena);
}

static void test_failed_read_writes_nothing(void)
{
    struct conf *c = opened("channels = 4; poll = \"400\";");
    struct err e;
    struct sample s, before;
    memset(&s, 0x5a, sizeof s);
    memcpy(&before, &s, sizeof s);
    CHECK_INT(conf_read(conf_root(c), "sample", sample_rows, SAMPLE_ROWS, &s, &arena, &e),
              ERR_CONFIG);
    CHECK(memcmp(&s, &before, sizeof s) == 0);
    CHECK_INT(conf_read(conf_root(c), "sample", sample_rows, SAMPLE_ROWS, &s, &arena, NULL),
              ERR_CONFIG);
    conf_close(c);
    arena_fini(&arena);
}

static void test_absent_group_takes_defaults(void)
{
    static const struct conf_row rows[] = {
        {"poll", CONF_INT, UNIT_TIME, "3 ns", 0, 0, NULL, "x", 0},
        {"need", CONF_REAL, UNIT_POWER, NULL, 0, 0, NULL, "x", 8},
    };
    struct err e;
    struct {
        int64_t poll;
        double need;
    } out = {0, 0};
    CHECK_OK(conf_read(NULL, "npu", rows, 1, &out, &arena, &e), &e);
    CHECK_INT(out.poll, 3000);
    CHECK_INT(conf_read(NULL, "npu", rows, 2, &out, &arena, &e), ERR_CONFIG);
    CHECK_STR(e.key, "npu.need");
    CHECK_HAS(e.msg, "missing required key 'need' in npu");
    CHECK_HAS(e.msg, "power with its unit");
}

static void test_one_sided_limits(void)
{
    static const struct conf_row row = {"n", CONF_INT, UNIT_NONE, NULL, 1, 0, NULL, "x", 0};
    static const struct conf_row most = {"n", CONF_INT, UNIT_NONE, NULL, -INFINITY,
                                         9,   NULL,     "x",       0};
    struct err e;
    int64_t n = 0;
    CHECK_OK(conf_read_text("n=1000000", "g", &row, 1, &n, &arena, &e), &e);
    CHECK_INT(conf_read_text("n=0", "g", &row, 1, &n, &arena, &e), ERR_CONFIG);
    CHECK_HAS(e.msg, "0 is out of range; expected at least 1");
    CHECK_OK(conf_read_text("n=-99", "g", &most, 1, &n, &arena, &e), &e);
    CHECK_INT(conf_read_text("n=10", "g", &most, 1, &n, &arena, &e), ERR_CONFIG);
    CHECK_HAS(e.msg, "at most 9");
}

static void test_wrong_default_is_found(void)
{
    static const struct conf_row row = {"n", CONF_INT, UNIT_NONE, "12", 1, 9, NULL, "x", 0};
    struct err e;
    int64_t n = 0;
    CHECK_INT(conf_read(NULL, "g", &row, 1, &n, &arena, &e), ERR_CONFIG);
    CHECK_HAS(e.msg, "default of this row is wrong");
}

static void test_tree(void)
{
    struct conf *c = opened("a = { b = { x = 1; s = \"8 MiB\"; f = 0.1; }; };\n"
                            "l = ( { k = 1; },\n { k = 2; } );\n"
                            "v = [ 1, 2, 3 ]; w = ( \"u\", ( 1, 2 ) ); one = { k = 3; };\n");
    const struct conf_node *root = conf_root(c), *b = conf_child(root, "a.b");
    char buf[64], tiny[3];
    const char *names[2], *file;
    int line;
    CHECK(b && b == conf_child(conf_child(root, "a"), "b"));
    CHECK(!conf_child(root, "a.b.x") && !conf_child(root, "z") && !conf_child(NULL, "z"));
    CHECK_STR(conf_text(b, "x", -1, buf, sizeof buf), "1");
    CHECK_STR(conf_text(b, "s", -1, buf, sizeof buf), "8 MiB");
    CHECK_STR(conf_text(b, "f", -1, buf, sizeof buf), "0.1");
    CHECK(!conf_text(b, "s", -1, tiny, sizeof tiny));
    CHECK(!conf_text(b, "none", -1, buf, sizeof buf) && !conf_text(b, "x", 0, buf, sizeof buf));
    CHECK_INT(conf_length(root, "v"), 3);
    CHECK_INT(conf_length(b, "x"), 0);
    CHECK_STR(conf_text(root, "v", 2, buf, sizeof buf), "3");
    CHECK(!conf_text(root, "v", 3, buf, sizeof buf));
    CHECK_STR(conf_text(root, "v", -1, buf, sizeof buf), "[1,2,3]");
    CHECK_STR(conf_text(root, "w", 1, buf, sizeof buf), "[1,2]");
    CHECK_INT(conf_count(root, "l"), 2);
    CHECK_INT(conf_count(root, "one"), 1);
    CHECK_INT(conf_count(root, "none"), 0);
    CHECK_STR(conf_text(conf_element(root, "l", 1), "k", -1, buf, sizeof buf), "2");
    CHECK_STR(conf_text(conf_element(root, "one", 0), "k", -1, buf, sizeof buf), "3");
    CHECK(!conf_element(root, "l", 2) && !conf_element(root, "l", -1));
    CHECK(!conf_element(root, "w", 0) && !conf_element(root, "one", 1));
    CHECK_INT(conf_keys(root, names, 2), 5);
    CHECK_STR(names[0], "a");
    CHECK_STR(names[1], "l");
    conf_where(conf_element(root, "l", 1), "k", &file, &line);
    CHECK_STR(file, "good.cfg");
    CHECK_INT(line, 3);
    conf_where(root, "absent", &file, &line);
    CHECK_INT(line, 0);
    conf_where(NULL, "absent", &file, &line);
    CHECK_STR(file, "default");
    CHECK_STR(conf_path(c), "good.cfg");
    conf_close(c);
}

static void test_includes(void)
{
    mkdir(arena_printf(&arena, "%s/part", test_tmpdir()), 0700);
    write_file("part/inner.cfg", "poll = \"2 us\"; # from inner");
    write_file("part/outer.cfg", "# first\n@include \"inner.cfg\"\nseed = 9;\n");
    const char *path =
        write_file("main.cfg", "channels = 2;\n  @include \"part/outer.cfg\" # why\n"
                               "npu = {\n@include \"deep.cfg\"\n};\nweight = 2.0;\n");
    write_file("deep.cfg", "tops = 1;\n");
    struct err e;
    struct conf *c = NULL;
    const char *file;
    int line;
    CHECK_OK(conf_open(path, &c, &e), &e);
    struct sample s = read_ok(c);
    CHECK_INT(s.poll, 2 * PS_PER_US);
    CHECK_INT(s.seed, 9);
    conf_where(conf_root(c), "poll", &file, &line);
    CHECK_HAS(file, "/part/inner.cfg");
    CHECK_INT(line, 1);
    conf_where(conf_root(c), "seed", &file, &line);
    CHECK_HAS(file, "/part/outer.cfg");
    CHECK_INT(line, 3);
    conf_where(conf_root(c), "weight", &file, &line);
    CHECK_STR(file, path);
    CHECK_INT(line, 6);
    conf_where(conf_child(conf_root(c), "npu"), "tops", &file, &line);
    CHECK_HAS(file, "/deep.cfg");
    conf_close(c);
    arena_fini(&arena);
}

static void expect_open_error(const char *path, int code, const char *says, const char *file,
                              int line)
{
    struct err e = {0};
    struct conf *c = NULL;
    CHECK_INT(conf_open(path, &c, &e), code);
    CHECK(c == NULL);
    CHECK_HAS(e.msg, says);
    CHECK_HAS(e.file, file);
    CHECK_INT(e.line, line);
}

static void test_include_errors(void)
{
    expect_open_error(write_file("a1.cfg", "\n@include \"none.cfg\"\n"), ERR_IO, "none.cfg",
                      "a1.cfg", 2);
    write_file("bad.cfg", "x = 1;\ny = 5000000000;\n");
    expect_open_error(write_file("a2.cfg", "@include \"bad.cfg\"\n"), ERR_CONFIG, "5000000000L",
                      "bad.cfg", 2);
    write_file("syntax.cfg", "x = 1;\ny = ;\n");
    expect_open_error(write_file("a3.cfg", "z = 1;\n@include \"syntax.cfg\"\n"), ERR_CONFIG,
                      "y = ;", "syntax.cfg", 2);
    write_file("twice.cfg", "\n\nx = 1;\n");
    expect_open_error(write_file("a4.cfg", "x = 2;\n@include \"twice.cfg\"\n"), ERR_CONFIG,
                      "duplicate", "twice.cfg", 3);
    expect_open_error(write_file("cycle.cfg", "@include \"cycle.cfg\"\n"), ERR_CONFIG, "cycle",
                      "cycle.cfg", 1);
    expect_open_error(write_file("a5.cfg", "@include \".\"\n"), ERR_IO, "not a regular file",
                      "a5.cfg", 1);
    expect_open_error(test_tmpdir(), ERR_IO, "not a regular file", "", 0);
    expect_open_error("/nonexistent/x.cfg", ERR_IO, "cannot open", "/nonexistent/x.cfg", 0);
    char *zero = arena_printf(&arena, "%s/zero.cfg", test_tmpdir());
    FILE *f = fopen(zero, "w");
    fwrite("a = 1;\0b", 1, 8, f);
    fclose(f);
    expect_open_error(zero, ERR_CONFIG, "zero byte", "zero.cfg", 0);
    arena_fini(&arena);
}

static char *dumped(const struct conf *c, const struct sample *s)
{
    char *text = NULL;
    size_t size;
    FILE *f = open_memstream(&text, &size);
    conf_dump(f, conf_root(c), sample_rows, SAMPLE_ROWS, s, 2);
    fclose(f);
    return text;
}

static void test_dump_shows_sources_and_reads_back(void)
{
    struct conf *c = opened("channels = 7; # LPDDR5X, JESD209-5C table 3\n"
                            "name = \"# no // comment\"; // this one\n"
                            "weight = 5e9; sizes = [3];\nseed = 5000000000L\n");
    struct err e;
    CHECK_OK(conf_override(c, "poll", "1 ms", &e), &e);
    struct sample s = read_ok(c);
    char *text = dumped(c, &s);
    CHECK_HAS(text, "  channels = 7;  # DRAM channels [good.cfg:1; LPDDR5X, JESD209-5C table 3]\n");
    CHECK_HAS(text, "name = \"# no // comment\";  # a name [good.cfg:2; this one]\n");
    CHECK_HAS(text, "weight = 5000000000.0;  # weight [good.cfg:3]\n");
    CHECK_HAS(text, "seed = 5000000000L;  # random seed [good.cfg:4]\n");
    CHECK_HAS(text, "poll = \"1 ms\";  # polling interval [command line]\n");
    CHECK_HAS(text, "share = \"75 %\";  # share of the GPU [default]\n");
    CHECK_HAS(text, "sizes = [3];");
    struct conf *again = opened(text);
    struct sample back = read_ok(again);
    CHECK(conf_digest(1, sample_rows, SAMPLE_ROWS, &s) ==
          conf_digest(1, sample_rows, SAMPLE_ROWS, &back));
    CHECK_STR(back.name, s.name);
    conf_close(again);
    conf_close(c);
    free(text);
    arena_fini(&arena);
}

static uint64_t digest_of(const char *text)
{
    struct conf *c = opened(text);
    struct sample s = read_ok(c);
    conf_close(c);
    return conf_digest(DIGEST_INIT, sample_rows, SAMPLE_ROWS, &s);
}

static void test_digest_ignores_spelling_and_order(void)
{
    uint64_t a = digest_of("channels = 4; poll = \"1 ms\"; sleep = true;");
    CHECK(a == digest_of("sleep = TRUE; poll = \"1000 us\"; channels = 0x4;"));
    CHECK(a != digest_of("channels = 5; poll = \"1 ms\"; sleep = true;"));
    CHECK(a != digest_of("channels = 4; poll = \"1 ms\"; sleep = false;"));
    CHECK(digest_of("channels=1; sizes=[1,2];") != digest_of("channels=1; sizes=[2,1];"));
    arena_fini(&arena);
}

static void test_help(void)
{
    char *text = NULL;
    size_t size;
    FILE *f = open_memstream(&text, &size);
    conf_help(f, sample_rows, SAMPLE_ROWS, 2);
    fclose(f);
    CHECK_HAS(text, "  channels   integer, required, 1 to 8: DRAM channels\n");
    CHECK_HAS(text, "  poll       time (ps, ns, us, ms, s), default 400 us, 1 us to 5 ms: polling");
    CHECK_HAS(text, "  name       string, default empty: a name\n");
    CHECK_HAS(text, "padding|pipe|online, default pipe: policy\n");
    CHECK_HAS(text, "  clients    list of groups, optional: other clients\n");
    free(text);
}

static void test_thousand_openings_leak_nothing(void)
{
    for (int i = 0; i < 1000; i++) {
        struct conf *c = opened("channels = 4; npu = { a = [1, 2]; };");
        struct err e;
        CHECK_OK(conf_override(c, "npu.a", "[3]", &e), &e);
        conf_close(c); // LeakSanitizer says the rest
    }
    conf_close(NULL);
}

TESTS(base_conf, T(test_defaults), T(test_every_type), T(test_integers_at_the_edges),
      T(test_failed_read_writes_nothing), T(test_absent_group_takes_defaults),
      T(test_one_sided_limits), T(test_wrong_default_is_found), T(test_tree), T(test_includes),
      T(test_include_errors), T(test_dump_shows_sources_and_reads_back),
      T(test_digest_ignores_spelling_and_order), T(test_help),
      T(test_thousand_openings_leak_nothing))
