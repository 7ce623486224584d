// SPDX-License-Identifier: GPL-3.0-or-later
// null: every operator on the machine's first device that can do it with dynamic shapes. Knows
// nothing, asks nothing; exists to test the harness and as the floor of every comparison.
#include "policies/partition/util.h"

static int plan(const struct graph *g, const struct machine_desc *d, const struct cost_table *c,
                const void *options, struct plan *out, struct err *e)
{
    (void)c, (void)options;
    int device = 0;
    while (device < d->n_devices &&
           (d->device[device].static_graphs || !device_can(&d->device[device], OP_MATMUL)))
        device++;
    if (device == d->n_devices)
        return err_set(e, ERR_UNSUPPORTED, "policy null needs a device with dynamic shapes");
    plan_init(out, "null", g->n_tokens);
    struct plan_step *s = plan_add_step(out, 0, g->n_tokens);
    for (int i = 0; i < g->n_ops; i++)
        plan_whole(out, s, &g->op[i], g->n_tokens, device);
    return 0;
}

const struct policy_ops policy_null = {
    .name = "null",
    .doc = "every operator on the first device; for testing the harness",
    .plan = plan,
};
