// SPDX-License-Identifier: GPL-3.0-or-later
// A campaign's points as job arrays of Slurm (partita explore --slurm).
#ifndef CLI_SLURM_H
#define CLI_SLURM_H

#include "cli/explore.h"
#include "explore/remote.h"

struct slurm_options {
    bool on;       // --slurm
    int tasks;     // --tasks: of an array
    int64_t chunk; // --chunk: points of a task; 0: as many as the tasks need
    int tries, poll_s;
    const char *partition;
    const char *args[16]; // --sbatch: handed to sbatch as they are
    int n_args;
    const char *ask;    // --ask: the file that gets the points which are not known
    const char *points; // --points: the file whose points are evaluated
    int shard, shards;  // --shard: part 0 <= shard < shards of them
    const struct cli_campaign_options *x;
};
extern const struct argp slurm_argp;
extern const struct argp_child slurm_children[];
void slurm_init(struct slurm_options *o);

// Makes the campaign run elsewhere, or only a part of it, as the options say.
int slurm_prepare(struct slurm_options *o, struct cli_campaign_options *x, struct err *e);
// Is what ran a part, with nothing to rank? Then this reports it and gives the exit code.
bool slurm_is_part(const struct slurm_options *o, const struct cli_campaign *x);
int slurm_part_report(const struct slurm_options *o, const struct cli_campaign *x);

// The scheduler. `command`: words of the command that evaluates a task's points, to which
// "--points FILE --shard I/N -o STORE" are added.
struct slurm;
int slurm_open(const struct slurm_options *o, const char *store, const char *name, int jobs,
               const char *const *command, int n_command, bool quiet, struct slurm **out,
               struct err *e);
const struct remote_scheduler *slurm_scheduler(struct slurm *s);
const char *slurm_folder(const struct slurm *s); // STORE.slurm
int slurm_first_round(const struct slurm *s);
// `done`: the folder is not needed any more (logs of lost tasks stay otherwise).
void slurm_close(struct slurm *s, bool done);

#endif
