// SPDX-License-Identifier: GPL-3.0-or-later
// Two limits make the flow-level memory. An initiator can have so many requests outstanding, and
// each takes the loaded latency, so by Little's law it moves at most outstanding * line / latency
// bytes per second: no single processor reaches the full bandwidth. All together share what the
// channels achieve: the peak less refresh, turnaround and row misses (`efficiency`). In between the
// share is max-min fair (sim/share.h).
//
// Sources: arXiv 2501.14794 sec. 3.3 (40 to 45 GB/s for one processor, 61.9 GB/s in bulk).
// Invariant: the bytes that the share moved are the bytes that the devices counted.
#include "models/soc/dram.h"

#define ROW(...) CONF_ROW(struct dram_params, __VA_ARGS__)

const struct conf_row dram_rows[] = {
    ROW(size, CONF_INT, UNIT_SIZE, 1, 1e15, "memory that the engine may use"),
    ROW(transfer_rate, CONF_REAL, UNIT_FREQUENCY, 1e6, 1e12, "transfers per second and data line"),
    ROW(width, CONF_INT, UNIT_NONE, 8, 65536, "data lines over all channels, in bits"),
    ROW(efficiency, CONF_REAL, UNIT_PERCENT, 0.01, 1, "share of the peak that bulk traffic gets"),
    ROW(latency, CONF_INT, UNIT_TIME, 1e3, 1e9, "loaded latency of one request"),
    ROW(line, CONF_INT, UNIT_SIZE, 8, 65536, "bytes of one request"),
};
const size_t dram_n_rows = sizeof dram_rows / sizeof dram_rows[0];

void dram_init(struct dram *d, const struct dram_params *p, struct sim *s)
{
    d->p = *p;
    sim_share_init(&d->share, s, dram_achievable(p));
}

double dram_peak(const struct dram_params *p)
{
    return p->transfer_rate * (double)p->width / 8;
}

double dram_achievable(const struct dram_params *p)
{
    return dram_peak(p) * p->efficiency;
}

double dram_port(const struct dram_params *p, int64_t outstanding)
{
    return (double)(outstanding * p->line) / ((double)p->latency / (double)PS_PER_S);
}

double dram_moved(const struct dram *d)
{
    double sum = 0;
    for (int i = 0; i < SIM_SHARE_CLIENTS; i++)
        sum += sim_share_moved(&d->share, i);
    return sum;
}
