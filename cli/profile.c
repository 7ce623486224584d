// SPDX-License-Identifier: GPL-3.0-or-later
// partita profile: the cost table of a machine for a model, as CSV; the same profiler in both
// worlds.
#include "cli/cli.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct profile_options {
    struct workload w;
    const char *out;
};

static const struct argp_option options[] = {
    {"output", 'o', "FILE", 0, "file to write (default: standard output)", 0},
    {0},
};

static error_t option(int key, char *arg, struct argp_state *state)
{
    struct profile_options *o = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &o->w;
        break;
    case 'o':
        o->out = arg;
        break;
    case ARGP_KEY_ARG:
        argp_error(state, "unexpected \"%s\" (the model is given by --model)", arg);
        break;
    default:
        return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

static const struct argp argp = {
    options,
    option,
    "",
    "Measures every operator of a model on every device of a machine, and "
    "the hand-overs of a sync scheme; prints the cost table as CSV.",
    workload_children,
    NULL,
    NULL};

// The rows of the CSV as objects: text stays text, the rest are numbers.
static void rows_json(const char *csv, FILE *out)
{
    struct json j;
    char names[16][32], cell[64];
    int n_names = 0;
    json_begin(&j, out, true);
    json_object_begin(&j, NULL);
    json_array_begin(&j, "rows");
    for (int line = 0; *csv; line++, csv += *csv == '\n') {
        if (line)
            json_object_begin(&j, NULL);
        for (int i = 0; *csv && *csv != '\n' && i < 16; i++, csv += *csv == ',') {
            size_t len = strcspn(csv, ",\n");
            char *to = line ? cell : names[n_names++];
            snprintf(to, line ? sizeof cell : sizeof names[0], "%.*s", (int)len, csv);
            csv += len;
            if (line && i == 0)
                json_str(&j, names[i], cell);
            else if (line)
                json_f64(&j, names[i], strtod(cell, NULL));
        }
        if (line)
            json_object_end(&j);
    }
    json_array_end(&j);
    json_object_end(&j);
    json_end(&j);
}

static void write_table(const struct cost_table *t, bool json, FILE *out)
{
    char *csv = NULL;
    size_t size = 0;
    FILE *f = json ? open_memstream(&csv, &size) : out;
    if (!f)
        abort();
    cost_write(t, f);
    if (!json)
        return;
    fclose(f);
    rows_json(csv, out);
    free(csv);
}

static int profile(struct profile_options *o, struct model *m, struct err *e)
{
    struct cli_factory f;
    struct cli_session s;
    if (cli_factory_open(o->w.c.machine, &o->w.c, false, &f, e) < 0 ||
        (!f.soc && !m->has_data && cli_generate_weights(m, o->w.encoding, o->w.c.seed, e) < 0) ||
        cli_session_open(&f, &o->w.c, m, o->w.prompt, o->w.gen, &s, e) < 0)
        return e->code;
    // A file appears under its name only when it is complete.
    char part[512];
    snprintf(part, sizeof part, "%s.part", o->out ? o->out : "");
    const char *name = o->out ? o->out : "standard output";
    FILE *out = o->out ? fopen(part, "w") : NULL;
    int rc = 0;
    if (o->out && !out) {
        rc = err_at(e, ERR_IO, name, 0, NULL, "%s", strerror(errno));
    } else {
        write_table(s.cost, o->w.c.json, out ? out : stdout);
        bool bad = ferror(out ? out : stdout) || (out ? fclose(out) : fflush(stdout)) != 0;
        if (bad || (out && rename(part, o->out) != 0))
            rc = err_at(e, ERR_IO, name, 0, NULL, "%s", strerror(errno));
    }
    cli_session_close(&s);
    return rc;
}

int cmd_profile(int argc, char **argv)
{
    struct profile_options o = {.out = NULL};
    struct model *m = NULL;
    struct err e;
    workload_init(&o.w, "host", "tinyllama-1.1b", 256, 32);
    cli_parse(&argp, argc, argv, &o);
    int rc = cli_model_open(o.w.c.model, &m, &e);
    if (rc >= 0)
        rc = profile(&o, m, &e);
    if (m)
        model_close(m);
    return rc < 0 ? cli_fail(&e) : EXIT_OK;
}
