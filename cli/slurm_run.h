// SPDX-License-Identifier: GPL-3.0-or-later
// Running a command and reading what it says. For slurm.c.
#ifndef CLI_SLURM_RUN_H
#define CLI_SLURM_RUN_H

#include "base/err.h"

struct ran_command {
    int code;        // exit status; 128 + signal
    char *out, *err; // to be freed
};
// Runs argv[0] from PATH without a shell, standard input empty. Fails only when it cannot be
// started.
int slurm_run(const char *const *argv, struct ran_command *out, struct err *e);
void ran_command_free(struct ran_command *r);

#endif
