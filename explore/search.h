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
#ifndef EXPLORE_SEARCH_H
#define EXPLORE_SEARCH_H

#include <stdbool.h>
#include <stdint.h>
#include "base/conf.h"

// The most parameters a space has, and objectives.
enum { SEARCH_MAX_PARAMS = 64, SEARCH_MAX_OBJECTIVES = 4, SEARCH_UNUSED = -1 };

struct search_point {
    int choice[SEARCH_MAX_PARAMS];
};

// The space as a searcher sees it: numbers of choices, and which points make sense.
struct search_space {
    int n_params;
    int n_choices[SEARCH_MAX_PARAMS]; // >= 1
    int n_objectives;                 // all are minimised
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
    struct search *(*open)(const struct search_space *s, const void *options, uint64_t seed);
    // The next point to evaluate, canonical, never one that was asked before; false: exhausted, or
    // nothing to ask before more is told.
    bool (*ask)(struct search *s, struct search_point *out);
    // Objective values of a point that was asked; ok = false: it could not be evaluated.
    void (*tell)(struct search *s, const struct search_point *p, bool ok, const double *objective);
    // Why the search is over; NULL: it is not.
    const char *(*stopped)(const struct search *s);
    void (*close)(struct search *s);
};

extern const struct search_ops *const search_registry[];
extern const size_t search_registry_count;

// Parses "NAME" or "NAME:key=value,..."; *options is filled in the arena.
int search_parse(const char *spec, struct arena *a, const struct search_ops **out,
                 const void **options, struct err *e);

// Walking all canonical points in lexicographic order: the first, then the next; false: none left.
bool search_first(const struct search_space *s, struct search_point *p);
bool search_next(const struct search_space *s, struct search_point *p);

#endif
