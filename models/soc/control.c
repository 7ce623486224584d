// SPDX-License-Identifier: GPL-3.0-or-later
// The executor is sequential: it submits, polls, sleeps. So its core needs no process of its own; a
// cost on it is simply "let the machine run until now + cost", and waiting is stepping the events.
// What the core does in that time matters only for its energy: it is asleep or it is not.
//
// A polling loop would step the clock in thousands of turns during which nothing changes. A pause
// therefore takes as many whole turns as pass until something can have changed, the next event; a
// loop that polls a flag leaves at the same turn as if each had been simulated.
//
// Source of the granularity: arXiv 2501.14794 sec. 4.3. Invariant: asleep <= now.
#include "models/soc/control.h"

#define ROW(field, kind, u, lo, hi, text)                                                          \
    {                                                                                              \
        .name = #field, .type = kind, .unit = u, .min = lo, .max = hi, .doc = text,                \
        .offset = offsetof(struct control_params, field)                                           \
    }

const struct conf_row control_rows[] = {
    ROW(granularity, CONF_INT, UNIT_TIME, 1, 1e12, "sleeps are rounded up to a multiple of this"),
    ROW(wake, CONF_INT, UNIT_TIME, 0, 1e12, "from the end of a sleep to the first instruction"),
    ROW(pause, CONF_INT, UNIT_TIME, 1e3, 1e9, "one turn of a polling loop on a flag word"),
};
const size_t control_n_rows = sizeof control_rows / sizeof control_rows[0];

void control_init(struct control *c, const struct control_params *p, struct sim *s)
{
    *c = (struct control){.p = *p, .sim = s};
}

void control_work(struct control *c, int64_t ps)
{
    if (ps > 0)
        sim_run_until(c->sim, sim_now(c->sim) + ps);
}

void control_sleep(struct control *c, int64_t ps)
{
    if (ps <= 0)
        return;
    int64_t g = c->p.granularity, nap = (ps + g - 1) / g * g;
    control_work(c, nap);
    c->asleep += nap;
    control_work(c, c->p.wake);
}

void control_pause(struct control *c)
{
    int64_t next = sim_next(c->sim), turn = c->p.pause, turns = 1;
    if (next != SIM_NEVER && next > sim_now(c->sim))
        turns = (next - sim_now(c->sim) + turn - 1) / turn;
    control_work(c, turns * turn);
}

bool control_step(struct control *c)
{
    int64_t before = sim_now(c->sim);
    bool any = sim_step(c->sim);
    c->asleep += sim_now(c->sim) - before;
    return any;
}
