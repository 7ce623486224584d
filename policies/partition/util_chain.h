// SPDX-License-Identifier: GPL-3.0-or-later
// The exact solver: of all combinations of the candidates of every operator, the one with the least
// time by engine/predict.h.
//
// A combination is a path through the operators, and its time is not a sum over them: a queue may
// still hold work, a result may lie elsewhere. But behind an operator that one device computed
// alone, that needs all before it and is needed by all after it (predict.cut), nothing of the past
// matters but when that device will be done, and time is relative. So the least time to each
// (operator, device) of this kind can be worked out once; between two of them all combinations are
// gone through, which are few, because only q and kv stand side by side. Layers repeat: what is
// minimised is embedding + first layer + (n - 1) layers from their own end state + head, over every
// device at which a layer may end.
#ifndef POLICIES_PARTITION_UTIL_CHAIN_H
#define POLICIES_PARTITION_UTIL_CHAIN_H

#include "engine/predict.h"

struct chain_candidate {
    int n;                             // shards
    const struct predict_shard *shard; // in order of submission, with their times
};
struct chain_op {
    int n; // candidates; 0: the operator is not run
    struct chain_candidate *candidate;
};

// op[graph.n_ops]. The first and the last operator of the block must be cuts that every candidate
// gives to one device. Sets pick[graph.n_ops] and returns the predicted time (ps) of the step, all
// layers.
double chain_solve(const struct predict *p, const struct chain_op *op, int *pick);

#endif
