// SPDX-License-Identifier: GPL-3.0-or-later
// What the files of `partita fit` share.
//
// (The keys serve `partita repro --sensitivity` too.)
//
// fit.c          the command: options, order, progress
// fit_target.c   the parameters: keys of a configuration file, from its text and back into it
// fit_given.c    the observations, and what a candidate machine predicts for them
// fit_report.c   tables and JSON
#ifndef CLI_FIT_H
#define CLI_FIT_H

#include "base/conf_edit.h"
#include "cli/cli.h"
#include "cli/world.h"
#include "explore/characterise.h"
#include "explore/experiment.h"
#include "explore/fit.h"
#include "explore/fit_rows.h"

enum { FIT_TEXT = 96 };

// --- parameters

struct fit_key {
    char name[FIT_TEXT];        // as reports call it: the dotted key
    char key[FIT_TEXT];         // in the file: the same, or "scale[0].factor"
    const struct conf_row *row; // unit, limits, type
    char written[FIT_TEXT];     // the value as the file has it, without quotes
    char comment[400];          // behind it
};

// The file that is calibrated: a SoC, or an engine's profile.
struct fit_target {
    struct conf_edit *edit;
    bool engine;
    char path[512];
    int n;
    struct fit_key key[FIT_MAX_PARAMETERS];
    struct fit_parameter parameter[FIT_MAX_PARAMETERS];
    int n_skipped; // chosen, but no numbers; with `vary` only
    char skipped[FIT_MAX_PARAMETERS][FIT_TEXT];
};

struct fit_selection {
    const char *free; // "KEY,KEY", with * and ?; NULL: every key that is marked `fitted`
    const char *hold; // "KEY,KEY" that stay as they are; NULL: none
    bool also_guess;  // also those marked `guess`
    bool vary;        // not for a fit: keys marked `guess`, or every key that `free` names
};

int fit_target_open(const char *path, bool engine, const struct fit_selection *s,
                    struct fit_target *out, struct err *e);
void fit_target_close(struct fit_target *t);
// A value as it is written: its unit, few digits. Without quotes.
const char *fit_value_text(const struct fit_key *k, double x, char buf[FIT_TEXT]);
// A value in all its digits, as an override takes it.
const char *fit_exact_text(const struct fit_key *k, double x, char buf[FIT_TEXT]);
// What the unit that the file writes is in base units; *unit: its name, "" for none.
double fit_key_unit(const struct fit_key *k, const char **unit);
double fit_round_value(const struct fit_key *k, double x); // what fit_value_text says
// The new values and what is known about them, in the text of the target.
int fit_target_apply(struct fit_target *t, const struct fit_result *r, const struct fit_row *row,
                     const char *source, bool name_rows, struct err *e);

// --- observations

// A world whose machines are candidates. `w` first.
struct fit_world {
    struct experiment_world w;
    struct cli_world cli;
    char soc[64], soc_path[512];       // the name that rows have for the file
    char engine[64], engine_path[512]; // the same of an engine profile; "": none
    struct engine profile;             // with the candidate's factors
    char asked[96]; // engine with kernels of its own that was asked for last, "": none
    char seen[96];  // engine that was asked for last, and whether it has such kernels
    bool changes;
    char text[FIT_MAX_PARAMETERS][2 * FIT_TEXT + 2];
    const char *set[FIT_MAX_PARAMETERS];
};

// `x` is zeroed. soc and engine (NULL: none) as on the command line.
int fit_world_open(struct fit_world *x, const char *soc, const char *engine, struct err *e);
void fit_world_close(struct fit_world *x);
// From now on key `k` of the SoC is `value` and all others are as its file says; NULL: all are.
// Forget what was predicted before.
void fit_world_set(struct fit_world *x, const struct fit_key *k, double value);

struct fit_observations {
    struct arena arena;
    bool profile;
    const char *path;
    int m; // rows that are used
    struct fit_row *row;
    const char **unit;   // [m]
    struct point *point; // [m], of a profile
    int *experiment;     // [m], of a table
    struct experiments *experiments;
    struct fit_world world;
    int n_unused;
    const char **unused, **why; // rows that are not: names and reasons
    int passed_over;            // rows of other splits
    char nearest[64]; // of the SoCs that could be the base, when none was named; "": one was
    double apart;     // mean |ln| between it, as it is, and the points
};

struct fit_given_options {
    const char *given, *experiments; // experiments: NULL: by the table's name
    const char *soc, *engine;        // as on the command line; NULL: the default; none
    bool only_given;
    double tolerance; // of rows that do not state one
};

int fit_observations_open(const struct fit_given_options *o, struct fit_observations *out,
                          struct err *e);
void fit_observations_close(struct fit_observations *x);
// Predictions of the rows with want[] by a machine with the target's keys at x.
int fit_predict(struct fit_observations *x, const struct fit_target *t, const double *values,
                const bool *want, double *y, struct err *e);

// --- report

struct fit_report {
    const struct fit_target *target;
    const struct fit_observations *data;
    const struct fit_result *result;
    const char *out; // file that was written, or NULL
    double threshold, tolerance;
};
void fit_report_print(const struct fit_report *r, FILE *f);
void fit_report_json(const struct fit_report *r, FILE *f);

#endif
