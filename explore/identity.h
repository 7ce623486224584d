// SPDX-License-Identifier: GPL-3.0-or-later
// What an evaluation depends on, as one number: the same key, the same metrics.
//
// The key covers the resolved options of policy and scheme, the machine's whole resolved
// configuration (not the text of the overrides, nor the file's name), the model's shape, the
// requests, the level of detail, and the version of the code. Not what the space makes of the
// metrics: constraints and objectives. So a store may answer for a point that another campaign
// evaluated, and may not once a model or the program has changed.
#ifndef EXPLORE_IDENTITY_H
#define EXPLORE_IDENTITY_H

#include "explore/evaluate.h"

struct identity;
struct identity *identity_create(const struct evaluate_context *c); // *c must outlive it
// *config: of the resolved options and machines alone, comparable between programs and workloads.
// Where the machine cannot resolve its configuration (such a point is infeasible) both cover the
// texts of the overrides instead.
uint64_t identity_key(struct identity *d, const struct search_point *p,
                      const struct space_config *g, uint64_t *config);
// What all points share: machines without overrides, model, requests. Not the version of the code.
uint64_t identity_base(struct identity *d);
void identity_destroy(struct identity *d);

#endif
