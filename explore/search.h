// SPDX-License-Identifier: GPL-3.0-or-later
// The searcher seam: ask/tell. The campaign owns the loop, so evaluations can be parallel, cached
// by digest and resumed; a searcher only proposes points and hears what they gave. One searcher =
// one file in explore/search/ exporting one `const struct search_ops search_NAME`.
//
// What a searcher may count on: points are told in the order in which they were asked, and ask i is
// made after exactly the same tells whatever the number of workers, so a seeded searcher finds the
// same points on any machine. Up to CAMPAIGN_WINDOW points may be asked before the first is told; a
// searcher that wants to hear more before it goes on returns false from ask and is asked again.
//
// A point is a vector of choice indices, one per parameter of the space. A parameter that does not
// apply to a point (an option of another policy) has index SEARCH_UNUSED; the space decides that,
// see space_canonical.
//
// A space may have levels of detail, from a cheap estimate to the one that counts, which is the
// last. A point at another level is another point. Only a searcher for several fidelities (halving)
// asks below the last level.
#ifndef EXPLORE_SEARCH_H
#define EXPLORE_SEARCH_H

#include <stdbool.h>
#include <stdint.h>
#include "base/conf.h"

// The most parameters a space has, objectives, levels of detail.
enum {
    SEARCH_MAX_PARAMS = 64,
    SEARCH_MAX_OBJECTIVES = 6,
    SEARCH_MAX_LEVELS = 4,
    SEARCH_UNUSED = -1
};

struct search_point {
    int choice[SEARCH_MAX_PARAMS];
    int level; // of detail: 0 (cheapest) to n_levels - 1 (the one that counts)
};

// What became of a point that was asked.
struct search_outcome {
    bool ok;          // it could be evaluated
    double violation; // 0: all constraints hold; else by how much they are missed, larger is worse
    double objective[SEARCH_MAX_OBJECTIVES]; // minimised; NaN: unknown. Known also when violated
};

// The space as a searcher sees it: numbers of choices, and which points make sense.
struct search_space {
    int n_params;
    int n_choices[SEARCH_MAX_PARAMS]; // >= 1
    bool ordered[SEARCH_MAX_PARAMS]; // choices are numbers in rising order: near index, near effect
    int n_objectives;                // all are minimised
    int n_levels;                    // >= 1
    // Sets parameters that do not apply to SEARCH_UNUSED; false: the point is infeasible. Whether a
    // parameter applies depends only on parameters before it.
    bool (*canonical)(const void *user, struct search_point *p);
    const void *user;
};

struct search;
struct search_ops {
    const char *name;
    const char *doc;
    const struct conf_row *rows;
    size_t n_rows;
    size_t options_size;
    // What is asked depends on what was told. Else (exhaustive, random, ..) a campaign may ask as
    // far ahead as it likes.
    bool adaptive;
    // NULL: this searcher cannot search this space (too many parameters for its sequence, ..).
    struct search *(*open)(const struct search_space *s, const void *options, uint64_t seed,
                           struct err *e);
    // The next point to evaluate, canonical, never one that was asked before (at this level);
    // false: exhausted, or nothing to ask before more is told.
    bool (*ask)(struct search *s, struct search_point *out);
    void (*tell)(struct search *s, const struct search_point *p, const struct search_outcome *o);
    // Nothing will ever be asked again: the space is exhausted, or the searcher's own rule ended
    // it.
    bool (*done)(const struct search *s);
    void (*close)(struct search *s);
};

extern const struct search_ops *const search_registry[];
extern const size_t search_registry_count;

// Parses "NAME" or "NAME:key=value,..."; *options is filled in the arena.
int search_parse(const char *spec, struct arena *a, const struct search_ops **out,
                 const void **options, struct err *e);

// Walking all canonical points (of the last level) in lexicographic order: the first, then the
// next; false: none left.
bool search_first(const struct search_space *s, struct search_point *p);
bool search_next(const struct search_space *s, struct search_point *p);

#endif
