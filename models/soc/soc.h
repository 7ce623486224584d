// SPDX-License-Identifier: GPL-3.0-or-later
// The simulated machine: a SoC assembled from a configuration (configs/soc/NAME.cfg).
//
//     struct conf *c;
//     struct machine *m;
//     conf_open("configs/soc/sd8gen3.cfg", &c, &e);
//     machine_soc_open(c, false, &m, &e);      // the configuration may be closed now
//
// Groups: dram, control, power are required; gpu, npu, cpu each add a device. gpu.game lets a game
// use the GPU beside the engine, thermal heats the SoC up; both are off unless asked for, and rest
// while machine.quiet. cores: some devices compute on common cores (flow level).
#ifndef MODELS_SOC_SOC_H
#define MODELS_SOC_SOC_H

#include <stdio.h>
#include "engine/machine.h"

// values: the devices also compute numbers (engine/ref.h) when their tasks complete.
int machine_soc_open(const struct conf *c, bool values, struct machine **out, struct err *e);

bool machine_soc_cycle(const struct machine *m); // at cycle level?
void machine_soc_help(FILE *f);                  // all option rows, group by group
// The resolved configuration as a file that conf_open reads, each line with its doc and source.
int machine_soc_dump(FILE *f, const struct conf *c, struct err *e);
// Digest of the resolved configuration, for caches of results.
int machine_soc_config_digest(const struct conf *c, uint64_t *out, struct err *e);

// The option row of a dotted key ("gpu.queue.wake") of this configuration; NULL: no such key.
const struct conf_row *machine_soc_row(const struct conf *c, const char *key);

// What the data sheet promises; 0 where there is no such device.
struct soc_peaks {
    double gpu_flops, npu_flops, npu_ops; // flop/s, flop/s, op/s
    double dram, dram_achievable;         // bytes/s
};
void machine_soc_peaks(const struct machine *m, struct soc_peaks *out);

double machine_soc_dram_bytes(const struct machine *m); // moved since the reset, for audits
double machine_soc_cached(const struct machine *m);   // bytes of these from the system-level cache
uint64_t machine_soc_events(const struct machine *m); // fired since the reset
// Layers since the reset that were not simulated because they passed as earlier ones did. Nothing
// else tells: every other result is the same with replay = false in the configuration.
uint64_t machine_soc_replayed(const struct machine *m);
// Passes since the reset that the machine had made before from the same state.
uint64_t machine_soc_recalled(const struct machine *m);

#endif
