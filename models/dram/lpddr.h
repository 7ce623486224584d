// SPDX-License-Identifier: GPL-3.0-or-later
// LPDDR5X at cycle level: channels, banks, rows, refresh and bus turnaround under an FR-FCFS
// scheduler. Bandwidth is not a parameter here; it follows from the timings.
//
// A request is a span of consecutive addresses. The address mapping spreads it over channels as
// trains: the bursts of one request that lie in one row of one bank of one channel, served
// together, in one event. `done` runs when the last data of the last train has been transferred.
//
//     struct lpddr_request r = {.address = a, .bytes = 1024, .client = 0, .done = on_data};
//     lpddr_push(d, &r);
//
// Requests live in their owners and must stay put until `done`. The controller's queues hold as
// much as is pushed; windows of outstanding requests are the initiators' business.
#ifndef MODELS_DRAM_LPDDR_H
#define MODELS_DRAM_LPDDR_H

#include "base/conf.h"
#include "sim/sim.h"

// The group dram.timing. Times in ps. Powers of two: channels, banks, groups, row, interleave and
// the bytes of a burst.
struct lpddr_params {
    double transfer_rate;      // transfers/s on each data line
    int64_t channels, width;   // channels, data lines of each
    int64_t banks, groups;     // per channel; banks in all, and in how many bank groups
    int64_t row;               // bytes of a row (page) of one bank
    int64_t interleave;        // consecutive bytes before the next channel
    int64_t burst;             // transfers of a burst (BL16, BL32)
    int64_t rcd, rp, ras, rrd; // activate to column, precharge, row open, activate to activate
    int64_t faw, ccd_l;        // four activates, column to column within a bank group
    int64_t rl, wl;            // column command to first data: read, write
    int64_t wtr, wr, rtp;      // last write data to read, to precharge; read to precharge
    int64_t rtw;               // idle data bus between read data and write data
    int64_t refi, rfc;         // refresh interval and duration
    bool per_bank;     // refresh bank by bank instead of all at once (rfc is then of one bank)
    int64_t window;    // trains of a channel that the scheduler looks at
    int64_t high, low; // bytes of queued writes of a channel at which draining starts and ends
};
extern const struct conf_row lpddr_rows[];
extern const size_t lpddr_n_rows;
int lpddr_check(const struct lpddr_params *p, struct err *e); // do the values fit together?

// Where an address lies. Row, column (in bytes) and bank index count within their parent.
struct lpddr_place {
    int channel, group, bank; // bank: in the channel, group * (banks / groups) + index
    int64_t row, column;
};
struct lpddr_place lpddr_map(const struct lpddr_params *p, uint64_t address);

struct lpddr_request;
typedef void lpddr_done_fn(struct sim *s, struct lpddr_request *r);

struct lpddr_request {
    uint64_t address; // bytes; rows are numbered in 31 bits (2^48 and more bytes)
    int64_t bytes;    // > 0
    bool write;
    int client; // for statistics: 0 .. LPDDR_CLIENTS - 1
    lpddr_done_fn *done;
    int64_t pushed; // ps, set by lpddr_push
    int trains;     // not complete yet
};

enum { LPDDR_CLIENTS = 16 };

struct lpddr_stats {
    double bytes[LPDDR_CLIENTS]; // transferred
    uint64_t bursts, trains, hits, misses, conflicts, refreshes, turnarounds;
    double latency; // sum over requests of (done - pushed), ps
    uint64_t requests;
};

struct lpddr;
int lpddr_create(const struct lpddr_params *p, struct sim *s, struct lpddr **out, struct err *e);
void lpddr_reset(struct lpddr *d); // after sim_reset
void lpddr_destroy(struct lpddr *d);
void lpddr_push(struct lpddr *d, struct lpddr_request *r);
void lpddr_get_stats(const struct lpddr *d, struct lpddr_stats *out); // up to now

// What follows from the timings alone, for the flow level.
double lpddr_peak(const struct lpddr_params *p); // bytes/s
// Share of the peak that long sequential streams reach when `writes` of the bytes are written.
double lpddr_efficiency(const struct lpddr_params *p, double writes);
// ps from push to the last data of a `bytes`-long read to an idle memory (closed row).
int64_t lpddr_idle_latency(const struct lpddr_params *p, int64_t bytes);

#endif
