// SPDX-License-Identifier: GPL-3.0-or-later
// A first-in first-out server on the event kernel. One event does all the work: it is pending
// exactly while a job is in service.
//
// When a service ends, the next one begins before the finished job's owner is told. So the server
// never idles because of what the owner does, and a job that its owner pushes again goes to the
// end of the queue.
#include "sim/server.h"

#include <assert.h>

static void begin(struct sim_server *v)
{
    v->since = sim_now(v->sim);
    sim_schedule(v->sim, &v->finish, v->since + v->head->service);
}

static void on_finish(struct sim *s, struct sim_event *e)
{
    struct sim_server *v = SIM_OWNER(e, struct sim_server, finish);
    struct sim_job *j = v->head;
    v->busy_ps += sim_now(s) - v->since;
    v->served++;
    v->length--;
    v->head = j->next;
    if (v->head)
        begin(v);
    else
        v->tail = NULL;
    j->next = NULL;
    j->done(s, j);
}

void sim_server_init(struct sim_server *v, struct sim *s)
{
    *v = (struct sim_server){.sim = s};
    sim_event_init(&v->finish, on_finish);
}

void sim_server_push(struct sim_server *v, struct sim_job *j, int64_t service, sim_job_fn *done)
{
    assert(service >= 0 && done);
    j->next = NULL;
    j->service = service;
    j->done = done;
    v->length++;
    if (v->tail) {
        v->tail->next = j;
        v->tail = j;
    } else {
        v->head = v->tail = j;
        begin(v);
    }
}

int64_t sim_server_busy(const struct sim_server *v)
{
    return v->busy_ps + (v->head ? sim_now(v->sim) - v->since : 0);
}
