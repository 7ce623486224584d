// SPDX-License-Identifier: GPL-3.0-or-later
// The control plane: the CPU core on which the executor runs. Its time is the machine's clock.
#ifndef MODELS_SOC_CONTROL_H
#define MODELS_SOC_CONTROL_H

#include "base/conf.h"
#include "engine/machine.h"
#include "sim/sim.h"

struct control_params {
    int64_t granularity; // ps: sleeps are rounded up to a multiple
    int64_t wake;        // ps: from the timer to the first instruction
    int64_t pause;       // ps: one turn of a polling loop on a flag word
    double slow_middle;  // times on a middle core over those on a big one
    double slow_little;  // the same for a little core
};
extern const struct conf_row control_rows[];
extern const size_t control_n_rows;

struct meter;
struct cores;

struct control {
    struct control_params p;
    struct sim *sim;
    struct meter *meter;          // NULL: nobody traces
    struct cores *cores;          // that it runs on, beside devices; NULL: one of its own
    enum core_class core;         // where it runs now; CORE_ANY counts as a big core
    double slow;                  // of this core
    int64_t since;                // ps: start on this core
    int64_t spent[CORE_CLASSES];  // ps on each class, up to `since`
    int64_t asleep[CORE_CLASSES]; // ps of these asleep
    uint32_t background;          // pending events that recur for ever, whatever the engine does
};

void control_init(struct control *c, const struct control_params *p, struct sim *s);
void control_work(struct control *c, int64_t ps);  // executes for so long
void control_sleep(struct control *c, int64_t ps); // at least so long
void control_pause(struct control *c);
// Sleeps through the next event; false when nothing is going to happen.
bool control_step(struct control *c);
// The core falls asleep, for a row of steps, or is awake again: tells whoever traces or shares it.
void control_read(const struct control *c, bool asleep);
static inline void control_doze(const struct control *c, bool asleep)
{
    if (c->meter || c->cores)
        control_read(c, asleep);
}
// Schedules an event that nobody can wait for: a game's frame clock, a governor. Its handler calls
// control_foreground first. Without them control_step would never see that nothing happens any
// more.
void control_background(struct control *c, struct sim_event *e, int64_t time);
void control_foreground(struct control *c);
void control_place(struct control *c, enum core_class core);
int64_t control_spent(const struct control *c, enum core_class core); // ps up to now

#endif
