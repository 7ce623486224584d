// SPDX-License-Identifier: GPL-3.0-or-later
// Whose kernel a device executes next, when several clients submit to it.
#ifndef MODELS_SOC_TURN_H
#define MODELS_SOC_TURN_H

#include <stdbool.h>
#include <stdint.h>

enum { TURN_CLIENTS = 4 };

struct turn_client {
    int rank;        // 0 goes before 1, and so on
    uint64_t ticket; // of its first waiting kernel; 0: none
    // The device is the client's until it calls turn_pass. changed: it was another's before.
    void (*go)(struct turn_client *c, bool changed);
};

struct turn {
    struct turn_client *client[TURN_CLIENTS];
    int n;
    struct turn_client *holder; // executing; NULL: nobody
    struct turn_client *last;
    uint64_t tickets; // given out
};

void turn_init(struct turn *t);
void turn_join(struct turn *t, struct turn_client *c); // rank and go are set
uint64_t turn_ticket(struct turn *t);                  // of a submission now: 1, 2, ...
// The first waiting kernel of a client that had none. May call go() at once.
void turn_ask(struct turn *t, struct turn_client *c, uint64_t ticket);
// The holder's kernel is complete; `ticket` is that of its next one, 0 when there is none.
void turn_pass(struct turn *t, struct turn_client *c, uint64_t ticket);

#endif
