// SPDX-License-Identifier: GPL-3.0-or-later
// What searchers share: the memory of what was asked and told, drawing and changing points of a
// conditional space, and orders of outcomes.
//
// util.c        memory: each point once, new points at random until none is left
// util_point.c  building points parameter by parameter, dealing evenly, neighbours
// util_rank.c   which of two outcomes is better: one value, or fronts and crowding
//
// Hearing is apart from being told. An adaptive searcher says how many points it lets run ahead of
// what it has heard, and hears the oldest told point exactly when it needs to for its next ask. So
// what it asks does not depend on how early it is told: a campaign with any window from `ahead`
// upwards, and one that evaluates each point at once, find the same.
#ifndef EXPLORE_SEARCH_UTIL_H
#define EXPLORE_SEARCH_UTIL_H

#include "base/rng.h"
#include "explore/search.h"

// --- memory

struct util_memory {
    struct search_space space;
    struct rng *rng;
    int level;                          // of new points
    int64_t asked, told, heard;         // heard <= told <= asked; told in the order of asking
    int *choice;                        // [asked * (n_params + 1)]: choices, then the level
    struct search_outcome *outcome;     // [told]
    double best[SEARCH_MAX_OBJECTIVES]; // of the feasible points that were heard; NaN: none
    int64_t room;
    int64_t *slot;  // open addressing: index of a record, -1: free
    size_t n_slots; // a power of two
    struct search_point walk;
    enum { UTIL_DRAWING, UTIL_WALKING, UTIL_EXHAUSTED } state;
};

// `stream` names the searcher's random numbers.
void util_open(struct util_memory *m, const struct search_space *s, uint64_t seed,
               const char *stream);
void util_close(struct util_memory *m);

// Record of a point, or -1.
int64_t util_find(const struct util_memory *m, const struct search_point *p);
// Remembers a canonical point as asked; false: it was asked before.
bool util_ask(struct util_memory *m, const struct search_point *p);
void util_tell(struct util_memory *m, const struct search_point *p, const struct search_outcome *o);
struct search_point util_point(const struct util_memory *m, int64_t i);

// A new point of m->level, remembered: drawn uniformly choice by choice; where luck no longer finds
// one, the rest is walked through in order. false: none is left.
bool util_new(struct util_memory *m, struct search_point *out);

// The next record to hear before another point may be asked, with at most `ahead` points asked and
// not heard; UTIL_READY: ask; UTIL_WAIT: it has not been told yet.
enum { UTIL_READY = -1, UTIL_WAIT = -2 };
int64_t util_hear(struct util_memory *m, int64_t ahead);

// --- points

// Builds a canonical point: pick says the choice of each parameter that applies, in order; what was
// picked before is in *so_far. false: the result is infeasible.
typedef int util_pick_fn(void *user, int param, const struct search_point *so_far);
bool util_build(const struct search_space *s, int level, util_pick_fn *pick, void *user,
                struct search_point *out);

// A shuffled deck per parameter from which choices are dealt: any `points` deals in a row from one
// deck are spread evenly over its choices (a Latin hypercube, of which each parameter uses as much
// as it is applied).
struct util_deck {
    int points;
    int *card[SEARCH_MAX_PARAMS], left[SEARCH_MAX_PARAMS], size[SEARCH_MAX_PARAMS];
};
void util_deck_open(struct util_deck *d, const struct search_space *s, int points);
void util_deck_close(struct util_deck *d);
// A new point dealt from the decks, remembered; falls back on util_new. false: none is left.
bool util_deal(struct util_memory *m, struct util_deck *d, struct search_point *out);

// *out: p with parameter i at choice c. Parameters that begin to apply take what `like` has (NULL,
// or a point that does not have it: anything). false: infeasible.
bool util_change(struct util_memory *m, const struct search_point *p, int i, int c,
                 const struct search_point *like, struct search_point *out);

struct util_step {
    int param, choice;
};
// The most steps that util_steps fills in.
int util_max_steps(const struct search_space *s);
// The single changes that lead to neighbours of p, shuffled: an ordered parameter one up or down,
// any other to each other choice. Returns the count.
int util_steps(struct util_memory *m, const struct search_point *p, struct util_step *out);

// --- order

// Options of searchers that minimise one value.
enum util_objective { UTIL_FIRST = 0, UTIL_SCORE = SEARCH_MAX_OBJECTIVES };
#define UTIL_OBJECTIVES "first|second|third|fourth|fifth|sixth|score"
#define UTIL_OBJECTIVE_ROW(owner)                                                                  \
    {                                                                                              \
        .name = "objective", .type = CONF_ENUM, .fallback = "first", .choices = UTIL_OBJECTIVES,   \
        .doc =                                                                                     \
            "what is minimised: an objective of the space by its place, or score: the geometric "  \
            "mean over all of the ratio to the best seen",                                         \
        .offset = offsetof(owner, objective)                                                       \
    }
// The same for searchers that can also go for the whole front.
enum util_aim { UTIL_AIM_FRONT = 0 }; // else: 1 + the objective
#define UTIL_AIM_ROW(owner)                                                                        \
    {                                                                                              \
        .name = "objective", .type = CONF_ENUM, .fallback = "front",                               \
        .choices = "front|" UTIL_OBJECTIVES,                                                       \
        .doc =                                                                                     \
            "what is sought: the front of all objectives, the least of one by its place, or the "  \
            "best score: the geometric mean over all of the ratio to the best seen",               \
        .offset = offsetof(owner, objective)                                                       \
    }
#define UTIL_AHEAD_ROW(owner, count)                                                               \
    {                                                                                              \
        .name = "ahead", .type = CONF_INT, .fallback = count, .min = 1, .max = 64,                 \
        .doc =                                                                                     \
            "points asked before the first of them is heard: more keeps more workers busy, fewer " \
            "learn faster",                                                                        \
        .offset = offsetof(owner, ahead)                                                           \
    }

// Refuses an objective that the space does not have.
int util_check_objective(const struct search_space *s, const char *name, int objective,
                         struct err *e);

// How good an outcome is for a searcher of one value, after Deb's rules: feasible before violated
// before failed; then the smaller value (the violation where there is one). score: the logarithm
// of it.
struct util_merit {
    int class; // 0 feasible, 1 constraints missed, 2 failed or unknown
    double value;
};
struct util_merit util_merit(const struct util_memory *m, int64_t i, int objective);
bool util_better(struct util_merit a, struct util_merit b);

// What a parameter was in the best point that had it: what a point takes for a parameter that it
// has not had yet. Filled as points are heard.
struct util_guide {
    struct search_point like; // SEARCH_UNUSED: never seen
    struct util_merit merit[SEARCH_MAX_PARAMS];
};
void util_guide_open(struct util_guide *g, const struct search_space *s);
void util_guide_hear(struct util_guide *g, const struct util_memory *m, int64_t i, int objective);

// Fronts of constrained domination: rank[r] of record index[r], 0 is the best. Feasible points by
// Pareto dominance (an unknown objective is the worst), then violated ones by violation, then
// failures. Returns the number of fronts.
int util_fronts(const struct util_memory *m, const int64_t *index, int n, int *rank);
// Crowding distance within each front: the sum over the objectives of the gap between the
// neighbours, as a share of the front's range; infinite at the ends.
void util_crowding(const struct util_memory *m, const int64_t *index, int n, const int *rank,
                   double *crowding);
// Sorts records from best to worst: by front, then by falling crowding, then by index.
void util_sort(const struct util_memory *m, int64_t *index, int n);
// The same for an aim: the front, or 1 + an objective: by merit, then by index.
void util_sort_aim(const struct util_memory *m, int64_t *index, int n, int aim);

#endif
