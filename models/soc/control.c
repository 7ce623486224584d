// SPDX-License-Identifier: GPL-3.0-or-later
// The executor is sequential: it submits, polls, sleeps. So its core needs no process of its own; a
// cost on it is simply "let the machine run until now + cost", and waiting is stepping the events.
// What the core does in that time matters only for its energy: it is asleep or it is not.
//
// A polling loop would step the clock in thousands of turns during which nothing changes. A pause
// therefore takes as many whole turns as pass until something can have changed, the next event; a
// loop that polls a flag leaves at the same turn as if each had been simulated.
//
// The core may be a big, a middle or a little one: its own work (submissions, polling turns,
// waking) takes longer on a smaller core, at less power.
//
// Source of the granularity: arXiv 2501.14794 sec. 4.3. Invariant: the classes' times add up to
// now, and no class was asleep for longer than it was used.
#include "models/soc/control.h"

#include "models/soc/cores.h"
#include "models/soc/meter.h"

#define ROW(...) CONF_ROW(struct control_params, __VA_ARGS__)

const struct conf_row control_rows[] = {
    ROW(granularity, CONF_INT, UNIT_TIME, 1, 1e12, "sleeps are rounded up to a multiple of this"),
    ROW(wake, CONF_INT, UNIT_TIME, 0, 1e12, "from the end of a sleep to the first instruction"),
    ROW(pause, CONF_INT, UNIT_TIME, 1e3, 1e9, "one turn of a polling loop on a flag word"),
    ROW(slow_middle, CONF_REAL, UNIT_NONE, 1, 100, "times on a middle core, relative to a big one"),
    ROW(slow_little, CONF_REAL, UNIT_NONE, 1, 100, "times on a little core, relative to a big one"),
};
const size_t control_n_rows = sizeof control_rows / sizeof control_rows[0];

void control_init(struct control *c, const struct control_params *p, struct sim *s)
{
    *c = (struct control){.p = *p, .sim = s, .core = CORE_BIG, .slow = 1};
}

void control_read(const struct control *c, bool asleep)
{
    if (c->meter)
        meter_control(c->meter, c->core, sim_now(c->sim), asleep);
    if (c->cores)
        cores_control(c->cores, !asleep);
}

void control_place(struct control *c, enum core_class core)
{
    core = core == CORE_ANY ? CORE_BIG : core;
    c->spent[c->core] += sim_now(c->sim) - c->since;
    c->since = sim_now(c->sim);
    c->core = core;
    c->slow = core == CORE_LITTLE ? c->p.slow_little : core == CORE_MIDDLE ? c->p.slow_middle : 1;
    control_doze(c, false);
}

int64_t control_spent(const struct control *c, enum core_class core)
{
    return c->spent[core] + (core == c->core ? sim_now(c->sim) - c->since : 0);
}

static int64_t here(const struct control *c, int64_t ps)
{
    return c->core == CORE_BIG ? ps : (int64_t)((double)ps * c->slow);
}

static void pass(struct control *c, int64_t ps)
{
    if (ps > 0)
        sim_run_until(c->sim, sim_now(c->sim) + ps);
}

void control_work(struct control *c, int64_t ps)
{
    pass(c, here(c, ps));
}

void control_sleep(struct control *c, int64_t ps)
{
    if (ps <= 0)
        return;
    int64_t g = c->p.granularity, nap = (ps + g - 1) / g * g;
    control_doze(c, true);
    pass(c, nap);
    c->asleep[c->core] += nap;
    control_doze(c, false);
    control_work(c, c->p.wake);
}

// Until the poller's next look: every slice since the last one, or when a core is free.
static void let_run(struct control *c, int64_t last)
{
    int64_t slice = c->cores->p.slice, gone = sim_now(c->sim) - last;
    int64_t look = slice ? last + (gone + slice - 1) / slice * slice : 0;
    while (sim_now(c->sim) < look && cores_taken(c->cores)) {
        int64_t next = sim_next(c->sim);
        sim_run_until(c->sim, next < look ? next : look);
    }
}

void control_pause(struct control *c)
{
    int64_t last = sim_now(c->sim);
    int64_t next = sim_next(c->sim), turn = here(c, c->p.pause), turns = 1;
    if (next != SIM_NEVER && next > sim_now(c->sim))
        turns = (next - sim_now(c->sim) + turn - 1) / turn;
    pass(c, turns * turn);
    if (c->cores)
        let_run(c, last);
}

void control_background(struct control *c, struct sim_event *e, int64_t time)
{
    sim_schedule(c->sim, e, time);
    c->background++;
}

void control_foreground(struct control *c)
{
    c->background--;
}

static bool only_background(const struct control *c)
{
    sim_next(c->sim); // settles, which may schedule
    return sim_length(c->sim) == c->background;
}

bool control_step(struct control *c)
{
    if (c->background && only_background(c))
        return false;
    int64_t before = sim_now(c->sim);
    bool any = sim_step(c->sim);
    c->asleep[c->core] += sim_now(c->sim) - before;
    return any;
}
