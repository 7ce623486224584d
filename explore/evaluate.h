// SPDX-License-Identifier: GPL-3.0-or-later
// From a point of a space to its metrics, on whatever machine the factory opens.
//
// Machines and their cost tables are kept per set of SoC overrides, the overheads of a scheme per
// (machine, scheme), so that a point costs little more than its session. Nothing else is carried
// from one point to the next: metrics depend on the point only, not on what was evaluated before
// (session_run resets the machine), and that is what lets a campaign deal points out to workers.
#ifndef EXPLORE_EVALUATE_H
#define EXPLORE_EVALUATE_H

#include "explore/campaign.h"
#include "explore/space.h"

struct evaluate_context {
    const struct space *space;
    const struct machine_factory *factory;
    const struct model *model;
    const int32_t *prompt; // [space->n_prompt]; NULL on a machine without values
    uint64_t seed;         // of the sampler, on a machine with values
};

struct evaluator;
struct evaluator *evaluator_create(const struct evaluate_context *c);
// Always gives metrics: a point that cannot be planned or run is infeasible, with the reason.
void evaluator_run(struct evaluator *v, const struct search_point *p, struct metrics *out);
void evaluator_destroy(struct evaluator *v);

// The same as a campaign's worker; the context is a struct evaluate_context.
extern const struct campaign_worker evaluate_worker;

#endif
