// SPDX-License-Identifier: GPL-3.0-or-later
// Kernels of different clients follow one another whole: a phone's GPU does not interrupt a compute
// kernel for another process within the times that matter here. At each end of a kernel the waiting
// client with the best rank goes next, and among equals the one that submitted first. So whoever
// enqueues a second of work makes every equal wait for a second, and even the best rank waits for
// the kernel that is executing.
//
// Invariant: at most one client holds the device; a client that waits has a ticket, and the device
// is never free while somebody waits.
#include "models/soc/turn.h"

#include <assert.h>
#include <stddef.h>

void turn_init(struct turn *t)
{
    *t = (struct turn){.n = 0};
}

void turn_join(struct turn *t, struct turn_client *c)
{
    assert(t->n < TURN_CLIENTS && c->go);
    c->ticket = 0;
    t->client[t->n++] = c;
}

uint64_t turn_ticket(struct turn *t)
{
    return ++t->tickets;
}

static bool before(const struct turn_client *a, const struct turn_client *b)
{
    return a->rank != b->rank ? a->rank < b->rank : a->ticket < b->ticket;
}

static void grant(struct turn *t)
{
    struct turn_client *first = NULL;
    for (int i = 0; i < t->n; i++) {
        struct turn_client *c = t->client[i];
        if (c->ticket && (!first || before(c, first)))
            first = c;
    }
    if (!first)
        return;
    bool changed = t->last && t->last != first;
    first->ticket = 0;
    t->holder = t->last = first;
    first->go(first, changed);
}

void turn_ask(struct turn *t, struct turn_client *c, uint64_t ticket)
{
    assert(ticket && !c->ticket && t->holder != c);
    c->ticket = ticket;
    if (!t->holder)
        grant(t);
}

void turn_pass(struct turn *t, struct turn_client *c, uint64_t ticket)
{
    assert(t->holder == c);
    t->holder = NULL;
    c->ticket = ticket;
    grant(t);
}
