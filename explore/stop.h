// SPDX-License-Identifier: GPL-3.0-or-later
// When a search ends: all rules in one place, and the reason as a value.
//
// Rules look only at what was told, in the order of telling, so that a resumed campaign ends where
// an uninterrupted one does; `seconds` alone looks at the clock and says so in its doc.
#ifndef EXPLORE_STOP_H
#define EXPLORE_STOP_H

#include "explore/search.h"

enum stop_reason {
    STOP_NOT,
    STOP_EXHAUSTED,   // every point of the space was asked
    STOP_DONE,        // the searcher has nothing more to ask, ever
    STOP_BUDGET,      // so many points were asked as were allowed
    STOP_SECONDS,     // the time is up
    STOP_PATIENCE,    // the hypervolume has not grown for so many points
    STOP_TARGET,      // an objective has reached its target
    STOP_INTERRUPTED, // Ctrl-C
    STOP_REASONS,
};
const char *stop_text(enum stop_reason r); // "the budget is spent"

// The rules of a campaign; 0 (target: n_targets = 0) switches a rule off.
struct stop_rules {
    int64_t budget;
    double seconds;
    int64_t patience;
    int n_targets; // all must be reached by one point
    struct {
        int objective; // index
        double value;  // in what is minimised
    } target[SEARCH_MAX_OBJECTIVES];
};

struct stop;
struct stop *stop_open(const struct stop_rules *r, const struct search_space *s);
// Hears every told point of the last level, in order.
void stop_told(struct stop *t, const struct search_outcome *o);
// May another point be asked after `asked`? STOP_NOT: yes.
enum stop_reason stop_check(const struct stop *t, int64_t asked, double seconds);
// Hypervolume of the feasible points told so far, as the share of the box between the best and the
// worst values seen (0 to 1); NaN before two points differ. For the progress line.
double stop_hypervolume(const struct stop *t);
void stop_close(struct stop *t);

#endif
