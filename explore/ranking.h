// SPDX-License-Identifier: GPL-3.0-or-later
// Rows of a campaign, ranked: who is on the Pareto front, what each one's score is, who is best in
// what. Only feasible rows are compared: those that ran and keep the constraints of the space.
// Behind them come rows that miss constraints, by how much, then those that could not run.
#ifndef EXPLORE_RANKING_H
#define EXPLORE_RANKING_H

#include "explore/campaign.h"

struct ranking {
    int n, n_ok;     // rows; feasible ones
    int n_violating; // that ran and miss a constraint
    int *order;      // [n] rows by rank
    double *score;   // [n] see pareto_score; NaN for infeasible rows
    bool *front;     // [n] on the Pareto front
    // [n] on several machines: the row's score among all rows on the machine where that is worst,
    // which is what one configuration for all costs its unluckiest machine; 1 is best on each. NaN
    // on one machine, and where score is.
    double *regret;
    int n_front;
    int n_objectives;
    enum metric objective[SEARCH_MAX_OBJECTIVES];
    int best[SEARCH_MAX_OBJECTIVES]; // row that is best in objective j, -1: nobody knows it
};

void ranking_make(const struct campaign_row *row, int n, const enum metric *objective,
                  int n_objectives, struct ranking *out);
void ranking_fini(struct ranking *r);

#endif
