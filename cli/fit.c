// SPDX-License-Identifier: GPL-3.0-or-later
// partita fit: calibrates the configuration of a SoC, or the factors of an engine's profile, with
// published rows or a measured profile.
#include "cli/fit.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "base/num.h"
#include "cli/explore.h"

struct fit_options {
    struct common c; // quiet, json, seed
    struct fit_given_options given;
    struct fit_selection select;
    const char *out;
    int starts, iterations;
    double threshold;
};

enum {
    KEY_GIVEN = 2400,
    KEY_SOC,
    KEY_ENGINE,
    KEY_FREE,
    KEY_HOLD,
    KEY_ALSO_GUESS,
    KEY_ONLY_GIVEN,
    KEY_EXPERIMENTS,
    KEY_STARTS,
    KEY_ITERATIONS,
    KEY_TOLERANCE,
    KEY_THRESHOLD,
    KEY_SEED,
    KEY_JSON,
};

static const struct argp_option options[] = {
    {"given", KEY_GIVEN, "FILE.csv", 0,
     "what was observed: rows (columns id, unit, value, split; optional soc, tolerance), or a "
     "profile of partita profile",
     0},
    {"only-given", KEY_ONLY_GIVEN, 0, 0,
     "take the rows of split `given` and ignore the others, instead of refusing the table", 0},
    {"soc", KEY_SOC, "SOC", 0,
     "the SoC to calibrate, a name or a file (default: sd8gen3 for rows; for a profile, the one of "
     "partita list socs that is nearest to it as it stands)",
     0},
    {"engine", KEY_ENGINE, "ENGINE", 0,
     "calibrate the factors of this engine profile on that SoC instead", 0},
    {"output", 'o', "FILE.cfg", 0, "write the calibrated file (default: report only)", 0},
    {"free", KEY_FREE, "KEY,KEY...", 0,
     "the keys to fit; patterns such as npu.arch.* take the keys that are marked `fitted` "
     "(default: all of those)",
     0},
    {"hold", KEY_HOLD, "KEY,KEY...", 0, "keys or patterns that stay as they are", 0},
    {"also-guess", KEY_ALSO_GUESS, 0, 0, "also those that are marked `guess`", 0},
    {"experiments", KEY_EXPERIMENTS, "NAME", 0,
     "what the rows measure: a name of configs/repro or a file (default: that of the table)", 0},
    {"starts", KEY_STARTS, "N", 0,
     "start also from N - 1 random places around the file's values (default 1)", 0},
    {"iterations", KEY_ITERATIONS, "N", 0,
     "at most so many from each start (default 60; with a profile 12 in a row)", 0},
    {"tolerance", KEY_TOLERANCE, "PERCENT", 0,
     "standard deviation of rows that do not state one (default \"5 %\")", 0},
    {"threshold", KEY_THRESHOLD, "PERCENT", 0,
     "largest standard error of a parameter that counts as determined (default \"25 %\")", 0},
    {"seed", KEY_SEED, "SEED", 0, "seed of the starts (default 0)", 0},
    {"json", KEY_JSON, 0, 0, "print the report as JSON", 0},
    {"quiet", 'q', 0, 0, "no progress", 0},
    {0},
};

static double percent(struct argp_state *state, const char *option, const char *arg)
{
    double v = 0;
    if (unit_parse(UNIT_PERCENT, arg, &v, NULL) < 0 || v <= 0 || v > 10)
        argp_error(state, "%s wants a share such as \"5 %%\", found \"%s\"", option, arg);
    return v;
}

static error_t option(int key, char *arg, struct argp_state *state)
{
    struct fit_options *o = state->input;
    switch (key) {
    case KEY_GIVEN:
        o->given.given = arg;
        break;
    case KEY_ONLY_GIVEN:
        o->given.only_given = true;
        break;
    case KEY_SOC:
        o->given.soc = arg;
        break;
    case KEY_ENGINE:
        o->given.engine = arg;
        break;
    case 'o':
        o->out = arg;
        break;
    case KEY_FREE:
        o->select.free = arg;
        break;
    case KEY_HOLD:
        o->select.hold = arg;
        break;
    case KEY_ALSO_GUESS:
        o->select.also_guess = true;
        break;
    case KEY_EXPERIMENTS:
        o->given.experiments = arg;
        break;
    case KEY_STARTS:
        o->starts = cli_whole(state, "--starts", arg, 1, 10000);
        break;
    case KEY_ITERATIONS:
        o->iterations = cli_whole(state, "--iterations", arg, 1, 100000);
        break;
    case KEY_TOLERANCE:
        o->given.tolerance = percent(state, "--tolerance", arg);
        break;
    case KEY_THRESHOLD:
        o->threshold = percent(state, "--threshold", arg);
        break;
    case KEY_SEED:
        o->c.seed = (uint64_t)cli_whole(state, "--seed", arg, 0, 2147483647);
        break;
    case KEY_JSON:
        o->c.json = true;
        break;
    case 'q':
        o->c.quiet = true;
        break;
    case ARGP_KEY_ARG:
        argp_error(state, "unexpected \"%s\" (what was observed is given by --given)", arg);
        break;
    case ARGP_KEY_END:
        if (!o->given.given)
            argp_error(state, "what was observed? --given takes a table or a profile");
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
    "Calibrates a simulated SoC: nonlinear least squares of relative errors, within the limits of "
    "the option rows. Says which parameters the rows determine, with standard errors, and which "
    "they do not. Values that are not marked `fitted` stay as they are.\v"
    "Ctrl-C stops cleanly; nothing is written then. Examples:\n"
    "  partita fit --given rows.csv --soc sd8gen3 -o new.cfg\n"
    "  partita fit --given rows.csv --soc sd8gen3 --free gpu.gemm,npu.arch.*\n"
    "  partita fit --given rows.csv --soc sd8gen3 --engine mnn-opencl -o mnn.cfg",
    NULL,
    NULL,
    NULL};

// --- the problem

struct fit_run_state {
    struct fit_observations data;
    struct fit_target target;
    bool visible;
    int starts;
};

static int predict(void *user, const double *x, const bool *want, double *y, struct err *e)
{
    struct fit_run_state *s = user;
    return fit_predict(&s->data, &s->target, x, want, y, e);
}

static double round_value(void *user, int i, double x)
{
    const struct fit_run_state *s = user;
    const struct fit_key *k = &s->target.key[i];
    double start = s->target.parameter[i].start, round = fit_round_value(k, x);
    return round == fit_round_value(k, start) ? start : round; // the same, in these digits
}

static void progress(void *user, int start, int iteration, double rms)
{
    const struct fit_run_state *s = user;
    fprintf(stderr, "\r\033[K");
    if (s->starts > 1)
        fprintf(stderr, "start %d of %d, ", start + 1, s->starts);
    fprintf(stderr, "iteration %d, rms error %.3f %%", iteration, 100 * rms);
    fflush(stderr);
}

static int fit(const struct fit_options *o, struct fit_run_state *s, struct fit_result *r,
               struct err *e)
{
    const char *path = o->given.engine ? s->data.world.engine_path : s->data.world.soc_path;
    if (fit_target_open(path, o->given.engine != NULL, &o->select, &s->target, e) < 0)
        return e->code;
    struct fit_problem p = {
        .n = s->target.n,
        .m = s->data.m,
        .parameter = s->target.parameter,
        .row = s->data.row,
        .predict = predict,
        .round = round_value,
        .progress = s->visible ? progress : NULL,
        .user = s,
        .iterations = o->iterations     ? o->iterations
                      : s->data.profile ? 12
                                        : 0,
        .threshold = o->threshold,
        // Points of a profile were measured, perhaps while somebody else needed the machine.
        .knee = s->data.profile ? 2 : 0,
        .gain = s->data.profile ? 1e-3 : 0,
        .starts = o->starts,
        .seed = o->c.seed,
        .stop = &cli_stop,
    };
    int rc = fit_run(&p, r, e);
    if (s->visible)
        fprintf(stderr, "\r\033[K");
    return rc;
}

static int write_out(const struct fit_options *o, struct fit_run_state *s,
                     const struct fit_result *r, struct err *e)
{
    if (!o->out)
        return 0;
    int rc = fit_target_apply(&s->target, r, s->data.row, s->data.path, !s->data.profile, e);
    return rc < 0 ? rc : conf_edit_write(s->target.edit, o->out, e);
}

int cmd_fit(int argc, char **argv)
{
    struct fit_options o = {.given = {.tolerance = 0.05}, .threshold = 0.25, .starts = 1};
    struct fit_result r = {0};
    struct err e = {0};
    cli_parse(&argp, argc, argv, &o);
    struct fit_run_state *s = calloc(1, sizeof *s);
    if (!s)
        return cli_error(EXIT_SYSTEM, "no memory");
    s->visible = cli_show_progress(&o.c);
    s->starts = o.starts;
    cli_catch_stop();
    int rc = fit_observations_open(&o.given, &s->data, &e);
    bool opened = rc == 0;
    if (rc == 0)
        rc = fit(&o, s, &r, &e);
    if (rc == 0 && !r.interrupted)
        rc = write_out(&o, s, &r, &e);
    if (rc < 0) {
        rc = cli_fail(&e);
    } else if (r.interrupted) {
        rc = cli_error(EXIT_INTERRUPT, "interrupted; nothing was written");
    } else {
        struct fit_report report = {&s->target, &s->data,    &r,
                                    o.out,      o.threshold, o.given.tolerance};
        (o.c.json ? fit_report_json : fit_report_print)(&report, stdout);
    }
    fit_fini(&r);
    fit_target_close(&s->target);
    if (opened)
        fit_observations_close(&s->data);
    free(s);
    return rc;
}
