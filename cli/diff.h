// SPDX-License-Identifier: GPL-3.0-or-later
// A comparison of result sets in the forms that people and CI systems read: what diff and gate
// share.
#ifndef CLI_DIFF_H
#define CLI_DIFF_H

#include <stdio.h>
#include "base/json.h"
#include "cli/cli.h"
#include "explore/compare.h"

// One question that both sides answer.
struct diff_pair {
    struct compare_side a, b;
    bool same; // question; else the user asked for this pair
    struct compare c;
};

struct diff {
    const char *name_a, *name_b; // "baseline.db", "this program"
    double tolerance[METRIC_COUNT];
    bool gate;   // only what is worse fails; else every movement does
    bool strict; // other plans and sessions, front and better values fail too
    int top;     // points shown; 0: all
    int n;
    struct diff_pair *pair; // [n]
    int n_only_a, n_only_b; // questions that only one side answers
    const struct compare_side **only_a, **only_b;
    struct arena arena;
};

// --tolerance "0.5%" or "METRIC=1%"; a usage error names what is wrong.
void diff_tolerance(struct diff *d, struct argp_state *state, const char *arg);
void diff_init(struct diff *d); // tolerance 0.5 %, top 20
void diff_fini(struct diff *d);
// Adds a pair and compares it.
void diff_add(struct diff *d, const struct compare_side *a, const struct compare_side *b);

// Does this point fail (and so the comparison)? Does anything?
bool diff_point_fails(const struct diff *d, const struct compare_point *p);
bool diff_fails(const struct diff *d);
// Points to show: the first so many of c->point that are news, at most d->top.
int64_t diff_shown(const struct diff *d, const struct diff_pair *p);

// "12.31 ms", "4913.2 MB"; "-" when unknown. "+12.34 %", "from 0", "known on one side".
const char *diff_value(enum metric m, double v, char buf[48]);
const char *diff_change(double change, char buf[32]);
// "qwen2-1.5b, 64+4 on soc:sd8gen3"
const char *diff_question(const struct compare_side *s, char *buf, size_t size);
const struct campaign_row *diff_row(const struct diff_pair *p, const struct compare_point *q);
// What happened to a point beside its metrics: "ok, now crashed: .."; "" for nothing.
const char *diff_event(const struct diff_pair *p, const struct compare_point *q, char *buf,
                       size_t size);
// "ttft_ms +12.34 % (10.2 ms to 11.5 ms)"
const char *diff_move(const struct compare_move *m, char *buf, size_t size);

void diff_print(FILE *f, const struct diff *d);
void diff_json(FILE *f, const struct diff *d);
void diff_markdown(FILE *f, const struct diff *d);
// One test case per point, failed where diff_point_fails.
void diff_junit(FILE *f, const struct diff *d);

// What the operators do differently, where this program still makes both recorded plans of a point
// (one line per difference); else why that cannot be told.
void diff_plans(FILE *f, const struct diff_pair *p, const struct compare_point *q);

// Writes a report into a file; `path` NULL: nothing to do.
int diff_write(const char *path, void (*write)(FILE *f, const struct diff *d), const struct diff *d,
               struct err *e);
// Standard output (print or JSON), Markdown and JUnit files; the exit code.
int diff_report(const struct diff *d, bool json, const char *markdown, const char *junit);

#endif
