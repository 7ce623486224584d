// SPDX-License-Identifier: GPL-3.0-or-later
// gpu_only: every operator on the GPU, dynamic shapes.
//
// Idea: the baseline of mobile engines (MNN-OpenCL, MLC): one in-order queue, nothing to
// synchronise, any length of prompt.
// Source: the GPU-only baseline of HeteroInfer (arXiv 2501.14794) sec. 5.
// Loses: in prefill, where an NPU has ten times the arithmetic; in decode, where one processor does
// not reach the full memory bandwidth; and it starves every other client of the GPU.
#include "policies/partition/util.h"

static int plan(const struct graph *g, const struct machine_desc *d, const struct cost_table *c,
                const void *options, struct plan *out, struct err *e)
{
    (void)options;
    return util_single_plan("gpu_only", g, d, c, d->gpu, "a GPU", out, e);
}

const struct policy_ops policy_gpu_only = {
    .name = "gpu_only",
    .doc = "every operator on the GPU",
    .plan = plan,
};
