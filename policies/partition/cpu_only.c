// SPDX-License-Identifier: GPL-3.0-or-later
// cpu_only: every operator on the CPU.
//
// Idea: what llama.cpp does on a phone: no drivers, no copies, no graph preparation.
// Source: the llama.cpp baseline of HeteroInfer (arXiv 2501.14794) sec. 5.
// Loses: in prefill by an order of magnitude in arithmetic, and in energy always; it is the
// reference for correct tokens, and the only choice on a machine with nothing else.
#include "policies/partition/util.h"

static int plan(const struct graph *g, const struct machine_desc *d, const struct cost_table *c,
                const void *options, struct plan *out, struct err *e)
{
    (void)options;
    return util_single_plan("cpu_only", g, d, c, d->cpu, "a CPU", out, e);
}

const struct policy_ops policy_cpu_only = {
    .name = "cpu_only",
    .doc = "every operator on the CPU",
    .plan = plan,
};
