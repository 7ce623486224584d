// SPDX-License-Identifier: GPL-3.0-or-later
// Inside of the memory model: its state, and a log of its commands for tests.
#ifndef MODELS_DRAM_LPDDR_CHANNEL_H
#define MODELS_DRAM_LPDDR_CHANNEL_H

#include "models/dram/lpddr.h"

enum {
    MAX_BANKS = 64,
    BYPASS = 4,   // windows of trains that may overtake the head of a queue
    PATIENCE = 8, // batches of `high` bytes of reads before waiting writes are drained anyway
};
#define NO_ROW (-1)
#define IDLE   (INT64_MIN / 4) // a command that was never issued

// Commands in the order of decisions, not of time. For LPDDR_REF `bank` is each bank refreshed.
enum lpddr_command { LPDDR_ACT, LPDDR_PRE, LPDDR_READ, LPDDR_WRITE, LPDDR_REF };
typedef void lpddr_log_fn(void *context, enum lpddr_command k, int64_t at, int channel, int bank,
                          int64_t row);
void lpddr_set_log(struct lpddr *d, lpddr_log_fn *log, void *context);

// ps of the data of one burst, and between two columns of a train.
int64_t lpddr_slot(const struct lpddr_params *p);
int64_t lpddr_period(const struct lpddr_params *p);
int lpddr_address_bits(const struct lpddr_params *p); // a row is numbered in 31 bits

struct train {
    struct sim_event end;
    struct train *next;            // of the pool
    struct lpddr_request *request; // NULL: in the pool
    struct channel *channel;
    int64_t row, bursts, bytes;
    int bank, group;
    bool write;
};

struct waiting { // what the scheduler looks at again and again, side by side in memory
    int32_t row;
    int bank;
    struct train *train;
};

struct queue {             // oldest first
    struct waiting *entry; // [begin, end) of `capacity`
    int64_t begin, end, capacity;
    int64_t bytes;
    int64_t overtaken; // trains that started before the head did
};

struct bank {
    int64_t act_ready, column_ready, pre_ready; // ps
    bool used;                                  // a train used the open row
    bool conflict;                              // another row was closed for this one
};

struct flow { // a train on the bus: its first and last column command
    int64_t first, last;
};

struct channel {
    struct lpddr *owner;
    struct sim_event wake;
    struct sim_settle settle;
    struct queue queue[2];  // reads, writes
    int32_t row[MAX_BANKS]; // that is open, or NO_ROW
    struct bank bank[MAX_BANKS];
    int64_t column[MAX_BANKS]; // last column command of each group
    int64_t activate[4];       // the last four activates
    uint32_t n_activate;
    struct flow flow[2];
    uint64_t planned; // banks to precharge when they can be, unless something changes before
    int64_t due;      // the next refresh
    int refresh_bank; // of per-bank refresh: the next pair
    int index;
    bool write;    // direction of the last train
    bool drain;    // direction that is chosen
    int64_t batch; // bytes started since the choice
    uint64_t bursts, trains, hits, misses, conflicts, refreshes, turnarounds;
};

struct block { // of the pool
    struct block *next;
    int n;
    struct train train[];
};

struct lpddr {
    struct lpddr_params p;
    struct sim *sim;
    struct channel *channel;
    struct train **current; // of each channel and group: the train made last
    struct train *free;
    struct block *blocks;
    int64_t slot, period, burst_bytes, read_to_write, write_to_read, refresh_interval;
    int address_bits;
    int64_t bytes[LPDDR_CLIENTS];
    double latency;
    uint64_t requests;
    lpddr_log_fn *log;
    void *log_context;
};

#endif
