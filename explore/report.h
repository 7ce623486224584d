// SPDX-License-Identifier: GPL-3.0-or-later
// The report: the points of a campaign as one page that needs nothing else, neither network nor
// files: markup, style, scripts and charting library (explore/page, third_party/echarts) are built
// in, and the data stand in the page as JSON.
//
// Equal points give equal bytes: the page holds no time, no host, no path.
#ifndef EXPLORE_REPORT_H
#define EXPLORE_REPORT_H

#include <stdio.h>
#include "base/trace_memory.h"
#include "engine/session.h"
#include "explore/optimum.h"
#include "explore/ranking.h"
#include "explore/report_params.h"
#include "explore/store.h"

// A configuration that was run again, for its plan and its timeline.
struct report_run {
    int row;
    char failed[320]; // "": it ran; else why not
    bool differs;     // it gave other times than the store holds: another code or other settings
    bool plans_made, traced;
    int n_prompt, n_gen;
    int n_layer;
    struct machine_desc machine;
    struct session_plans plans;
    struct trace_memory trace; // of the prefill and a few tokens
    struct session_result result;
    // By the cost model that the policy plans with: the least that any plan in its space takes, and
    // what this plan takes. All 0: unknown.
    struct optimum_times optimum, predicted;
};
void report_run_fini(struct report_run *r);

// What a report is made of; all of it belongs to the caller.
struct report {
    const char *title; // NULL: from the campaign
    const struct store_campaign *campaign;
    int n;
    const struct campaign_row *row; // in the order of asking
    int n_validations;
    const struct store_validation *validation;
    const char *const *machine; // [n_machines] names behind by_machine; may be NULL
    int n_machines;
    int top;               // so many of the best are listed in the summary
    const double *optimum; // [objectives] the exact optimum; NaN: unknown. NULL: none is known
    int n_runs;
    const struct report_run *run;
    const char *no_runs; // why there are no plans and no timeline; NULL: there are
};

// What all parts of a report look at.
struct report_view {
    const struct report *r;
    struct ranking ranking; // of points that are feasible and keep all constraints
    struct report_params params;
    struct campaign_row *row; // [n] as r->row; one that may not be ranked is infeasible
    // n_coarse: ran, but only at a lower level of detail than others, which their values cannot be
    // compared with.
    int n_ok, n_coarse, n_violated, n_infeasible, n_crashed, n_hung;
    bool *coarse; // [n]
    struct arena arena;
};
void report_view_make(const struct report *r, struct report_view *out);
void report_view_fini(struct report_view *v);
// The feasible row of a policy that is best in an objective; -1: none.
int report_best_of_policy(const struct report_view *v, const char *policy, int objective);
// The rows whose plans are worth seeing: the best of each objective, then the best score, each
// once; returns how many of at most `max`.
int report_chosen(const struct report_view *v, int *row, int max);

void report_json(const struct report_view *v, FILE *f);
// The whole page. `f` is not checked: see ferror.
void report_page(const struct report *r, FILE *f);

#endif
