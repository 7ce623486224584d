// SPDX-License-Identifier: GPL-3.0-or-later
// How good can a plan be? The exact optimum of the cost model, and how far others are from it.
//
// The cost model is engine/predict.h over a cost table. The space: every split of every matmul
// between the NPU and one flexible partner that the solver knows (whole, cut by rows at multiples
// of 1/parts, by tokens, both; standard sizes fitted or padded; either operand order), every other
// operator on either of the two, in one step; and each device alone. The least is found by dynamic
// programming (policies/partition/util_chain.h), not sought. Outside the space lie chunks, graphs
// prepared online, finer cuts, and fixed shares between the multiples: their gap may be negative.
//
// It is the optimum of a prediction. Prediction and simulation differ (docs/solver.md), so compare
// predictions with it.
#ifndef EXPLORE_OPTIMUM_H
#define EXPLORE_OPTIMUM_H

#include "engine/policy.h"

enum { OPTIMUM_PARTS = 8 }; // the solver's default

// A session, as a policy sees it. The table holds the overheads of the scheme in force.
struct optimum_session {
    const struct model *model;
    const struct machine_desc *machine;
    const struct cost_table *cost;
    int n_prompt, n_gen; // the decode step is the one in the middle, as in engine/session.h
};

struct optimum_times {
    double prefill_ms, step_ms; // NaN: the table does not know a matmul of the plan
};

// The exact optimum. `parts`: 2 to 64, OPTIMUM_PARTS. The partner is the GPU, or the CPU where
// there is none; `cpu_beside`: either. (How much GPU and NPU slow each other down is in the table;
// that of CPU and NPU beside a GPU is not, so their prediction is too good.) An error when no plan
// at all fits the machine.
int optimum_find(const struct optimum_session *s, int parts, bool cpu_beside,
                 struct optimum_times *out, struct err *e);
// What the cost model says of a policy's plans (policy_parse gives `policy` and `options`). The
// policy's refusal is an error.
int optimum_predict(const struct optimum_session *s, const struct policy_ops *policy,
                    const void *options, struct optimum_times *out, struct err *e);
// 0.05: 5 % slower than the optimum; NaN if either is unknown.
double optimum_gap(double ms, double optimum_ms);

#endif
