// SPDX-License-Identifier: GPL-3.0-or-later
// A first-in first-out server: one job at a time, each with a service time known when it starts.
// Jobs are embedded in their owners; the queue is an intrusive list. (Command processors, DMA
// queues, RPC channels.)
#ifndef SIM_SERVER_H
#define SIM_SERVER_H

#include "sim/sim.h"

struct sim_job;
struct sim_server;
typedef void sim_job_fn(struct sim *s, struct sim_job *j);

struct sim_job {
    struct sim_job *next;
    int64_t service; // ps
    sim_job_fn *done;
};

struct sim_server {
    struct sim_event finish;
    struct sim *sim;
    struct sim_job *head, *tail; // head is in service
    int length;                  // jobs waiting or in service
    int64_t busy_ps;             // time with a job in service, up to the last change
    int64_t since;               // start of the current service
    uint64_t served;
};

void sim_server_init(struct sim_server *v, struct sim *s);
void sim_server_push(struct sim_server *v, struct sim_job *j, int64_t service, sim_job_fn *done);
int64_t sim_server_busy(const struct sim_server *v); // busy_ps up to now

#endif
