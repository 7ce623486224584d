// SPDX-License-Identifier: GPL-3.0-or-later
// What the files of `partita repro` share.
//
// repro.c               the command: predictions beside published values
// repro_sensitivity.c   --sensitivity: which parameters of the SoC the predictions depend on
#ifndef CLI_REPRO_H
#define CLI_REPRO_H

#include <stdio.h>
#include "explore/reproduction.h"

struct repro_sensitivity {
    const char *patterns; // "KEY,KEY", with * and ?; NULL: every key that is marked `guess`
    double tolerance;     // 0.05: 5 %
    int jobs;             // worker processes; 0: one per core
    const char *out;      // CSV file; NULL: none
    bool json, quiet;
};

// Varies keys of the experiments' SoC one by one and prints how far the predictions of the rows
// with wanted[] move. 1 when stopped by Ctrl-C: nothing is printed or written then.
int repro_sensitivity(const struct repro_sensitivity *o, const struct reproduction *r,
                      const bool *wanted, struct experiments *x, struct err *e);

// Writes a file that appears under its name only when it is complete.
int repro_write(const char *path, void (*write)(const void *what, FILE *f), const void *what,
                struct err *e);

#endif
