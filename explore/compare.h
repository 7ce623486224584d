// SPDX-License-Identifier: GPL-3.0-or-later
// What is different between two sets of evaluated points that answer the same question: points that
// only one of them has, metrics that moved, plans, the best of each objective, the Pareto front.
//
// Rows in, differences out; where rows come from is the caller's business (compare_sides reads them
// from a store). Points are matched by their words (policy, scheme, SoC overrides, level of detail)
// and not by their keys: a key says that nothing changed which a result could depend on, and here
// something did.
#ifndef EXPLORE_COMPARE_H
#define EXPLORE_COMPARE_H

#include "base/arena.h"
#include "explore/metrics.h"
#include "explore/search.h"
#include "explore/store.h"

// What one store knows about one question.
struct compare_side {
    const char *machine, *model, *workload; // "soc:sd8gen3", "llama3-8b", "256+32"; "": unknown
    const char *settings;                   // overrides of the machine's keys, or ""
    const char *name;                       // of the space; "": several or unknown
    const char *text;                       // the space's file
    const char *code;                       // version of the program that ran last
    const char *level;                      // the level that objectives count at; NULL: every one
    int n_objectives;
    enum metric objective[SEARCH_MAX_OBJECTIVES];
    int64_t n;
    const struct campaign_row *row; // [n], no two of the same words
};

// Machine with settings, model and requests.
bool compare_same_question(const struct compare_side *a, const struct compare_side *b);

enum compare_verdict { COMPARE_SAME, COMPARE_MOVED, COMPARE_BETTER, COMPARE_WORSE };
// MOVED: where neither direction is better (a prediction).

struct compare_move {
    enum metric metric;
    double a, b;
    double change; // (b - a) / |a|; infinite from 0; NaN: known on one side only
    enum compare_verdict verdict;
};

struct compare_point {
    int64_t a, b;                           // rows of the sides; -1: not there
    bool status;                            // it runs on one side only, or fails differently
    bool constraints;                       // the space's constraints hold on one side only
    bool plan_prefill, plan_decode, digest; // these digests differ
    int n_moves;
    const struct compare_move *move; // metrics beyond their tolerance, the largest change first
    double change;                   // |change| of the first; infinite for a change of status
    enum compare_verdict verdict;    // the worst of all
};

struct compare_metric {
    int64_t n, better, worse, moved; // points that know it on both sides; beyond tolerance
    double lowest, highest;          // change, of all that know it; NaN: none
};

struct compare_best {
    enum metric metric;
    int64_t a, b;  // rows; -1: nobody knows it
    double change; // of the value
};

struct compare {
    int64_t n; // points of either side: changed ones first, the largest change first
    struct compare_point *point;
    int64_t both, only_a, only_b;
    int64_t better, worse, moved; // points by verdict
    int64_t configs;              // points in both whose options or machine resolve differently
    int64_t plans, digests;       // points in both whose plans (sessions) differ
    struct compare_metric metric[METRIC_COUNT];
    int n_objectives; // those of b that a has too
    struct compare_best best[SEARCH_MAX_OBJECTIVES];
    int64_t front_a, front_b;       // members
    int64_t gained, lost;           // by words
    int64_t *gained_row, *lost_row; // rows of b, rows of a
    struct arena arena;
};

// tolerance[m]: a relative change of metric m that is no movement (0.005: half a percent).
void compare_make(const struct compare_side *a, const struct compare_side *b,
                  const double tolerance[METRIC_COUNT], struct compare *out);
void compare_fini(struct compare *c);
// +1: more is better; -1: less is; 0: neither.
int compare_direction(enum metric m);
const char *compare_verdict_name(enum compare_verdict v);

// The questions that a store holds answers to (machine, model, requests), oldest first; where
// several campaigns evaluated the same words, the newest counts. `campaign`: only this one, by
// number or name (the newest of that name); NULL: all. The count, or negative.
int compare_sides(struct store *s, const char *campaign, struct arena *a, struct compare_side **out,
                  struct err *e);

#endif
