// SPDX-License-Identifier: GPL-3.0-or-later
// Classes of cores of this machine, and moving the calling thread to one.
#ifndef ENGINE_HOST_PLACE_H
#define ENGINE_HOST_PLACE_H

#include <sched.h>
#include "engine/machine.h"

struct host_cores {
    cpu_set_t set[CORE_CLASSES]; // CORE_ANY: all cores that the process may use
    int classes;                 // different capacities; 1: nothing to choose
    enum core_class at;          // where the control thread was put
};

void host_cores_find(struct host_cores *c);
// Ignored on a machine with one class. No system call when the thread is there already.
void host_cores_place(struct host_cores *c, enum core_class core);

#endif
