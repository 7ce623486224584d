// SPDX-License-Identifier: GPL-3.0-or-later
// Main memory behind one notion of a transfer, at two levels of detail.
//
// A transfer is a run of addresses that one initiator reads or writes through its port. At flow
// level all transfers share a ceiling (sim/share.h). At cycle level a transfer is
// cut into requests, of which the port keeps a window in flight at the controller
// (models/dram/lpddr.h). Whoever starts a transfer need not know which it is.
//
//     t->address = a, t->bytes = n, t->rate = INFINITY, t->done = on_data;
//     dram_start(port, t);
#ifndef MODELS_SOC_DRAM_H
#define MODELS_SOC_DRAM_H

#include "base/conf.h"
#include "models/dram/lpddr.h"
#include "models/soc/place.h"
#include "models/soc/slc.h"
#include "sim/share.h"

enum dram_detail { DRAM_FLOW, DRAM_CYCLE };

struct dram_params {
    int64_t size;     // bytes
    int64_t fabric;   // ps between initiator and controller, there and back
    int64_t line;     // bytes; outstanding requests of the initiators are counted in lines
    int64_t request;  // bytes that travel together at cycle level
    int64_t posted;   // bytes of writes that are acknowledged before they are in the DRAM
    int64_t slc;      // bytes of the system-level cache; 0: none
    int64_t slc_ways; // its associativity
    struct lpddr_params timing; // the group dram.timing
};
extern const struct conf_row dram_rows[];
extern const size_t dram_n_rows;

enum { DRAM_USERS = 6, DRAM_MIXES = 33 };

struct dram_port;
struct dram_transfer;
typedef void dram_done_fn(struct dram_transfer *t);

// Zero it before its first start.
struct dram_transfer {
    uint64_t address;
    int64_t bytes;   // > 0
    int64_t written; // of these: 0 for a read, `bytes` for a write; in between only at flow level
    double rate;     // bytes/s at most (INFINITY allowed)
    bool cached;     // activations: may be in the system-level cache
    dram_done_fn *done;
    // Private.
    struct dram_port *port;
    struct dram_transfer *next;
    int64_t issued, returned;
    struct sim_flow flow;
};

struct dram_request;
struct meter;

// The way of one initiator to the memory.
struct dram_port {
    struct dram *dram;
    int client;
    int64_t window; // bytes in flight
    double link;    // bytes/s
    double moved;   // bytes, complete; at cycle level
    // Flow level.
    struct dram_transfer *active;
    double want, alone; // bytes/s: on average, and with the memory to itself
    double writes;      // share of the bytes
    double pace_share;  // of its pace that whoever asks keeps up; 1 unless cores are short
    // Cycle level: transfers not issued completely, requests that are on their way back.
    struct dram_transfer *head, *tail;
    int64_t in_flight, next_issue;
    struct sim_event pace, back;
    struct dram_request *pool, *free, *back_head, *back_tail;
};

struct dram {
    struct dram_params p;
    enum dram_detail detail;
    struct sim *sim;
    struct meter *meter; // NULL: nobody traces
    struct dram_port *port[DRAM_USERS];
    struct slc slc;
    struct place place; // where operands lie; kept here because it is one for all initiators
    // Flow level.
    struct sim_share share;
    double ceiling[DRAM_MIXES]; // bytes/s by share of writes, in equal steps from 0 to 1
    double latency;             // s, of a read by a port that is not kept waiting
    sim_flow_fn *on_flow;       // end of a flow
    sim_settle_fn *solve;       // the share's own, while somebody traces
    struct sim_settle reading;  // of the bandwidth
    // Cycle level.
    struct lpddr *controller;
    int64_t posted; // bytes acknowledged and not yet in the DRAM
};

int dram_open(struct dram *d, const struct dram_params *p, enum dram_detail detail, struct sim *s,
              struct err *e);
void dram_close(struct dram *d);
void dram_reset(struct dram *d); // after sim_reset; ports too

// A port's pace_share has changed (flow level).
void dram_paced(struct dram *d);

// Tells the bandwidth to a meter from now on; NULL: to none. No transfer is under way.
void dram_meter(struct dram *d, struct meter *m);

// `outstanding` lines in flight over a link of so many bytes/s. The port stays where it is until
// dram_close.
int dram_port_open(struct dram *d, struct dram_port *port, int client, int64_t outstanding,
                   double link, struct err *e);
void dram_port_close(struct dram_port *port);
// Idle until the start, idle again when `done` runs. At flow level one at a time per port; at cycle
// level transfers of a port are issued one behind the other in the order of their starts.
void dram_start(struct dram_port *port, struct dram_transfer *t);
// What the port reaches alone: its link, or less by Little's law (bytes/s).
double dram_port_rate(const struct dram_port *port);
double dram_drain_rate(const struct dram_port *port); // the same while it only writes

double dram_peak(const struct dram_params *p);       // bytes/s
double dram_achievable(const struct dram_params *p); // bytes/s, long reads of several initiators
int64_t dram_latency(const struct dram *d);          // ps, of a read to an idle memory
double dram_moved(const struct dram *d);             // bytes by all initiators up to now
double dram_cached(const struct dram *d);            // bytes of these that the cache served

#endif
