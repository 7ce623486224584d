// SPDX-License-Identifier: GPL-3.0-or-later
// Any bytes as a configuration and as command-line options. Beyond not crashing: a refusal points
// (code, file, message), and what was accepted is dumped to a text that reads back to the same
// digest.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/conf.h"
#include "tests/base/conf_rows.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool ok, const char *what, const struct err *e)
{
    char buf[600];
    if (ok)
        return;
    fprintf(stderr, "%s: %s\n", what, err_text(e, buf, sizeof buf));
    abort();
}

static int load(const char *text, struct sample *s, struct arena *a, char **dump, struct err *e)
{
    struct conf *c = NULL;
    int rc = conf_open_text("fuzz.cfg", text, &c, e);
    if (rc)
        return rc;
    rc = conf_read(conf_root(c), "fuzz", sample_rows, SAMPLE_ROWS, s, a, e);
    if (!rc) {
        size_t size;
        FILE *f = open_memstream(dump, &size);
        conf_dump(f, conf_root(c), sample_rows, SAMPLE_ROWS, s, 0);
        fclose(f);
    }
    conf_close(c);
    return rc;
}

static uint64_t digest(const struct sample *s)
{
    return conf_digest(0, sample_rows, SAMPLE_ROWS, s);
}

static void fuzz_file(const char *text, struct arena *a)
{
    struct sample s, back;
    struct err e = {0};
    char *dump = NULL, *again = NULL;
    int rc = load(text, &s, a, &dump, &e);
    if (rc) {
        require(rc < 0 && e.code == rc && e.file[0] && e.msg[0], "a refusal that does not point",
                &e);
        return;
    }
    // The dump cuts very long strings; those are not held against it.
    bool cut = strlen(s.name) > 500;
    rc = load(dump, &back, a, &again, &e);
    require(cut || (rc == 0 && digest(&s) == digest(&back)), "the dump does not read back", &e);
    free(again);
    free(dump);
}

static void fuzz_options(const char *text, struct arena *a)
{
    struct sample s, back;
    struct err e = {0};
    if (conf_read_text(text, "fuzz", sample_rows, SAMPLE_ROWS, &s, a, &e)) {
        require(e.code && e.file[0] && e.msg[0], "a refused option that does not point", &e);
        return;
    }
    for (int i = 0; i < SAMPLE_ROWS; i++) {
        char value[8192], option[9000];
        struct sample one = s;
        if (sample_rows[i].type == CONF_GROUP || strlen(s.name) > 3000)
            continue;
        conf_value_text(&sample_rows[i], &s, value, sizeof value);
        snprintf(option, sizeof option, "%s=%s", sample_rows[i].name, value);
        require(!conf_read_text(option, "fuzz", &sample_rows[i], 1, &one, a, &e), option, &e);
        back = one;
        require(digest(&back) == digest(&s), "an option's text does not read back", &e);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena a;
    char *text = malloc(size + 1);
    if (!text)
        return 0;
    memcpy(text, data, size);
    text[size] = 0;
    arena_init(&a);
    fuzz_file(text, &a);
    fuzz_options(text, &a);
    arena_fini(&a);
    free(text);
    return 0;
}
