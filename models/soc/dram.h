// SPDX-License-Identifier: GPL-3.0-or-later
// Main memory at flow level: one share of bandwidth for all initiators.
#ifndef MODELS_SOC_DRAM_H
#define MODELS_SOC_DRAM_H

#include "base/conf.h"
#include "sim/share.h"

struct dram_params {
    int64_t size;         // bytes
    double transfer_rate; // transfers/s on each data line
    int64_t width;        // data lines (bits) over all channels
    double efficiency;    // of the peak, reached by bulk transfers of several initiators
    int64_t latency;      // ps, loaded, from request to data
    int64_t line;         // bytes of one request
};
extern const struct conf_row dram_rows[];
extern const size_t dram_n_rows;

struct dram {
    struct dram_params p;
    struct sim_share share;
};

void dram_init(struct dram *d, const struct dram_params *p, struct sim *s); // also after sim_reset
double dram_peak(const struct dram_params *p);                              // bytes/s
double dram_achievable(const struct dram_params *p);                        // bytes/s
// Bandwidth that one initiator reaches with so many requests outstanding (bytes/s).
double dram_port(const struct dram_params *p, int64_t outstanding);
double dram_moved(const struct dram *d); // bytes by all initiators up to now

#endif
