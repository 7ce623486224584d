// SPDX-License-Identifier: GPL-3.0-or-later
// From a point of a space to its metrics: on every machine of the space, for every request, at the
// point's level of detail.
//
// Machines and their cost tables are kept per (machine, SoC overrides, request), the overheads of a
// scheme besides, so that a point costs little more than its sessions. Nothing else is carried from
// one point to the next: metrics depend on the point only, not on what was evaluated before
// (session_run resets the machine), and that is what lets a campaign deal points out to workers.
//
// What a policy knows of a simulated machine is always a profile at flow level, whatever the level
// of the point: so plans are the same at all of them (docs/adr/0005).
#ifndef EXPLORE_EVALUATE_H
#define EXPLORE_EVALUATE_H

#include "explore/campaign.h"
#include "explore/space.h"

struct evaluate_context {
    const struct space *space;
    // Of the space's machines, in their order; NULL where there is one: `factory`.
    const struct machine_factory *const *factories;
    const struct machine_factory *factory;  // of machines[0], where factories is NULL
    const struct machine_factory *hardware; // the host, for level "hardware"; else NULL
    const struct model *model;
    const struct model *hardware_model; // with weights, for level "hardware"; NULL: `model`
    const int32_t *prompt; // [space->n_prompt], for machines with values; else NULL. Shorter
                           // requests take its beginning
    uint64_t seed;         // of the sampler, on a machine with values
};

// Refuses what cannot be explored, before anything runs, with an error that points into the space:
// SoC values that a machine does not take, requests beyond the model's context, a limit of memory
// below the weights, a host that cannot hold the model, and a space none of whose points can be
// planned and keeps the constraints that plans decide (activation_bits). Cheap unless the last is
// the case: the first point that passes ends the search. Real machines are not measured here.
int evaluate_check(const struct evaluate_context *c, struct err *e);

// The part of it that is to be asked before weights are generated for the host: whether its memory
// holds model and cache. Weights and tokens may be missing.
int evaluate_check_memory(const struct evaluate_context *c, struct err *e);

struct evaluator;
struct evaluator *evaluator_create(const struct evaluate_context *c);
// Always gives metrics: a point that cannot be planned or run is infeasible, with the reason.
void evaluator_run(struct evaluator *v, const struct search_point *p, struct metrics *out);
void evaluator_destroy(struct evaluator *v);

// The same as a campaign's worker; the context is a struct evaluate_context.
extern const struct campaign_worker evaluate_worker;

#endif
