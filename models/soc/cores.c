// SPDX-License-Identifier: GPL-3.0-or-later
// Time slicing as a fluid: while more threads are ready than there are cores, each gets an equal
// share, so whoever computes on them proceeds at cores / threads of its speed, both in its
// arithmetic and in what it asks of the memory. The operating system's slices are finer than an
// operator only on average; what a single operator loses is more or less than that.
//
// A thread is ready while its device executes a task, and the control plane's while it is awake, if
// it is counted: a loop that polls a flag without yielding takes a core from those that compute,
// one that yields or sleeps does not (engine/host/futex.h has both). What is no computing
// (launches, waking) is not stretched: there, a thread waits rather than works.
//
// Invariant: `busy` is the sum over executing devices, plus the control plane's if it is awake;
// with no more threads than cores nothing differs from a machine without this group, bit for bit.
#include "models/soc/cores.h"

#include <assert.h>
#include <stddef.h>

#define ROW(...) CONF_ROW(struct cores_params, __VA_ARGS__)

const struct conf_row cores_rows[] = {
    ROW(count, CONF_INT, UNIT_NONE, 0, 1024, "cores that devices share; 0: none does"),
    ROW(cpu, CONF_INT, UNIT_NONE, 0, 1024, "threads of the CPU device; 0: on cores of its own"),
    ROW(gpu, CONF_INT, UNIT_NONE, 0, 1024, "the same of the GPU"),
    ROW(npu, CONF_INT, UNIT_NONE, 0, 1024, "the same of the NPU"),
    ROW(control, CONF_INT, UNIT_NONE, 0, 1024, "the same of the control plane, while it is awake"),
    {.name = "slice",
     .type = CONF_INT,
     .unit = UNIT_TIME,
     .fallback = "0 us",
     .max = 1e12,
     .doc = "between two looks of a control plane that polls, while all cores are taken",
     .offset = offsetof(struct cores_params, slice)},
};
const size_t cores_n_rows = sizeof cores_rows / sizeof cores_rows[0];

void cores_reset(struct cores *c, const struct cores_params *p, struct dram *d)
{
    *c = (struct cores){.p = *p, .dram = d, .busy = p->control, .awake = true};
}

void cores_join(struct cores *c, struct dram_port *port)
{
    assert(c->n < DRAM_USERS);
    c->port[c->n++] = port;
}

void cores_change(struct cores *c, int64_t threads)
{
    double before = c->busy > c->p.count ? (double)c->p.count / (double)c->busy : 1;
    c->busy += threads;
    assert(c->busy >= 0);
    double share = c->busy > c->p.count ? (double)c->p.count / (double)c->busy : 1;
    if (share == before)
        return;
    for (int i = 0; i < c->n; i++)
        c->port[i]->pace_share = share;
    dram_paced(c->dram);
}

void cores_control(struct cores *c, bool awake)
{
    if (awake == c->awake)
        return;
    c->awake = awake;
    cores_change(c, awake ? c->p.control : -c->p.control);
}
