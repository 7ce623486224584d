// SPDX-License-Identifier: GPL-3.0-or-later
// Linux tells the relative capacity of each core (cpu_capacity, on ARM) or at least its highest
// clock. The largest value is the big class, the smallest the little one, what lies between the
// middle one; with two values there is no middle class and it means the little one.
#include "engine/host/place.h"

#include <sched.h>
#include <stdio.h>

static long capacity(int cpu)
{
    static const char *const file[] = {"cpu_capacity", "cpufreq/cpuinfo_max_freq"};
    for (size_t i = 0; i < sizeof file / sizeof file[0]; i++) {
        char path[96];
        long v;
        snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu%d/%s", cpu, file[i]);
        FILE *f = fopen(path, "r");
        int ok = f && fscanf(f, "%ld", &v) == 1;
        if (f)
            fclose(f);
        if (ok)
            return v;
    }
    return 0; // unknown: all equal
}

void host_cores_find(struct host_cores *c)
{
    long value[CPU_SETSIZE], most = -1, least = -1;
    *c = (struct host_cores){.classes = 1, .at = CORE_ANY};
    if (sched_getaffinity(0, sizeof c->set[CORE_ANY], &c->set[CORE_ANY]) != 0)
        return;
    for (int i = 0; i < CPU_SETSIZE; i++) {
        if (!CPU_ISSET(i, &c->set[CORE_ANY]))
            continue;
        value[i] = capacity(i);
        most = value[i] > most ? value[i] : most;
        least = least < 0 || value[i] < least ? value[i] : least;
    }
    if (most == least)
        return;
    c->classes = 2;
    for (int i = 0; i < CPU_SETSIZE; i++) {
        if (!CPU_ISSET(i, &c->set[CORE_ANY]))
            continue;
        bool middle = value[i] != most && value[i] != least;
        CPU_SET(i, &c->set[value[i] == most ? CORE_BIG : middle ? CORE_MIDDLE : CORE_LITTLE]);
        c->classes = middle ? 3 : c->classes;
    }
    if (c->classes == 2)
        c->set[CORE_MIDDLE] = c->set[CORE_LITTLE];
}

void host_cores_place(struct host_cores *c, enum core_class core)
{
    if (c->classes == 1 || core == c->at)
        return;
    // A refusal (a container's limits) leaves the thread where it is: a hint, not a promise.
    sched_setaffinity(0, sizeof c->set[core], &c->set[core]);
    c->at = core;
}
