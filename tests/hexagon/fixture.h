// SPDX-License-Identifier: GPL-3.0-or-later
// Host machines whose NPU is the skel behind the stand-in for the driver library: compiled for this
// machine (always there), or for Hexagon under the emulator (where its tools are).
#ifndef TESTS_HEXAGON_FIXTURE_H
#define TESTS_HEXAGON_FIXTURE_H

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "tests/harness.h"

enum fixture_kind { FIXTURE_NATIVE, FIXTURE_EMULATED, FIXTURES };
static const char *const fixture_name[] = {"native", "emulated"};

// Path of the stand-in beside the running test (build/X/hexagon/KIND), or NULL.
static inline const char *fixture_library(enum fixture_kind kind)
{
    static char path[FIXTURES][600];
    char self[500];
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    self[n > 0 ? n : 0] = 0;
    char *at = strstr(self, "/tests/");
    if (!at)
        return NULL;
    *at = 0;
    snprintf(path[kind], sizeof path[kind], "%s/hexagon/%s/libcdsprpc.so", self,
             fixture_name[kind]);
    return access(path[kind], R_OK) == 0 ? path[kind] : NULL;
}

// A count that the stand-in keeps. It stays loaded from the first call on, so that they do.
static inline int fixture_count(const char *library, const char *name)
{
    int (*count)(void) = NULL;
    void *h = library ? dlopen(library, RTLD_NOW | RTLD_LOCAL) : NULL;
    void *symbol = h ? dlsym(h, name) : NULL;
    memcpy(&count, &symbol, sizeof count);
    return count ? count() : -1;
}

// What was not given back: memory, mappings, processes.
static inline int fixture_left(const char *library)
{
    return fixture_count(library, "standin_left");
}

// The same; without it the running test is skipped.
static inline const char *fixture_need(enum fixture_kind kind)
{
    const char *path = fixture_library(kind);
    if (!path)
        test_skip(kind == FIXTURE_EMULATED
                      ? "no Hexagon tools (make deps-hexagon): the emulated DSP is not tested"
                      : "no stand-in for the DSP's library was built");
    fixture_left(path); // loaded from here on: sessions that come and go leave its counts alone
    return path;
}

// Faults for the next opening.
static const char *const fixture_faults[] = {
    "STANDIN_REFUSE", "STANDIN_DIE_AT", "STANDIN_DIE_AFTER", "STANDIN_MAP_LIMIT",
    "STANDIN_DELAY",  "STANDIN_LOSE",   "STANDIN_STALE"};
static inline void fixture_fault(const char *name, const char *value)
{
    for (size_t i = 0; i < sizeof fixture_faults / sizeof fixture_faults[0]; i++)
        unsetenv(fixture_faults[i]);
    if (name)
        setenv(name, value, 1);
}

#endif
