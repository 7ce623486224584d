// SPDX-License-Identifier: GPL-3.0-or-later
// Three limits make the memory. A port is a link of so many bytes per second, and has so many bytes
// in flight, each of which takes the latency, so by Little's law it moves at most window / latency
// bytes per second: no single processor reaches the full bandwidth. All together share what the
// channels achieve. Both follow from the timings of the DRAM (models/dram) and the latency of the
// fabric in front of it:
//
//     flow level   a transfer is one flow with a limit; the ceiling is the peak less what refresh,
//                  turnaround and row misses cost at the present mix of reads and writes
//     cycle level  a transfer is a row of requests; the port issues one whenever its window has
//                  room; the controller's schedule decides when it comes back
//
// Who is limited by its arithmetic wants less than its port, but asks in bursts: a block at a time,
// as fast as it can get it, and then nothing. While it asks, the others get a share like its own,
// so they lose more than the average says (44 GB/s beside a processor that wants 18 become 37, not
// 44, of 62). The flow level solves for the rates at which everybody moves while it asks and the
// share of the time in which it does (settle_rates).
//
// Writes are posted: the controller acknowledges them on arrival while it has room for them, so
// they hold their place in the window for the fabric's latency only. In return, reads wait for the
// batches in which the controller drains them. At cycle level the two cancel: one port moves 44
// GB/s of reads, 44 of half writes and 41 of a third, so at flow level the mix leaves a port's
// limit alone. A window is filled to the nearest whole number of requests.
//
// Sources: arXiv 2501.14794 sec. 3.3 (40 to 45 GB/s for one processor, 61.9 GB/s in bulk).
// Invariant: bytes that ports moved = bytes of the DRAM + bytes of the cache, at both levels, and
// the same at both; at cycle level the controller's own count is behind by the posted writes.
#include "models/soc/dram.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include "models/soc/meter.h"

#define ROW(...) CONF_ROW(struct dram_params, __VA_ARGS__)

const struct conf_row dram_rows[] = {
    ROW(size, CONF_INT, UNIT_SIZE, 1, 1e15, "memory that the engine may use"),
    ROW(fabric, CONF_INT, UNIT_TIME, 0, 1e9, "latency between initiator and controller, both ways"),
    ROW(line, CONF_INT, UNIT_SIZE, 8, 65536, "bytes of one outstanding request of an initiator"),
    {.name = "request",
     .type = CONF_INT,
     .unit = UNIT_SIZE,
     .fallback = "512 B",
     .min = 32,
     .max = 65536,
     .doc = "bytes that travel together at cycle level",
     .offset = offsetof(struct dram_params, request)},
    {.name = "posted",
     .type = CONF_INT,
     .unit = UNIT_SIZE,
     .fallback = "16 KiB",
     .min = 0,
     .max = 1e9,
     .doc = "written bytes that are acknowledged before they are in the DRAM",
     .offset = offsetof(struct dram_params, posted)},
    {.name = "slc",
     .type = CONF_INT,
     .unit = UNIT_SIZE,
     .fallback = "0 B",
     .min = 0,
     .max = 1e12,
     .doc = "system-level cache for activations (0 B: none)",
     .offset = offsetof(struct dram_params, slc)},
    {.name = "slc_ways",
     .type = CONF_INT,
     .fallback = "16",
     .min = 1,
     .max = 1024,
     .doc = "associativity of the system-level cache",
     .offset = offsetof(struct dram_params, slc_ways)},
    {.name = "timing", .type = CONF_GROUP, .doc = "channels, banks and timings of the DRAM"},
};
const size_t dram_n_rows = sizeof dram_rows / sizeof dram_rows[0];

// A part of a transfer on its way. It is done when it is back at the port and, if the controller
// acknowledged it early, also in the DRAM.
struct dram_request {
    struct lpddr_request r; // first
    struct dram_request *next;
    struct dram_transfer *transfer;
    struct dram_port *port;
    int64_t back; // ps
    bool early;   // acknowledged before the DRAM had it
    bool pending; // at the controller
    bool away;    // not back at the port
};

// --- ceiling and latency

double dram_peak(const struct dram_params *p)
{
    return lpddr_peak(&p->timing);
}

double dram_achievable(const struct dram_params *p)
{
    return dram_peak(p) * lpddr_efficiency(&p->timing, 0);
}

int64_t dram_latency(const struct dram *d)
{
    return d->p.fabric + lpddr_idle_latency(&d->p.timing, d->p.request);
}

double dram_port_rate(const struct dram_port *port)
{
    return fmin(port->link, (double)port->window / port->dram->latency);
}

double dram_drain_rate(const struct dram_port *port)
{
    const struct dram_params *p = &port->dram->p;
    double posted = (double)port->window / ((double)p->fabric / (double)PS_PER_S);
    return fmin(port->link, fmin(posted, port->dram->ceiling[DRAM_MIXES - 1]));
}

// --- flow level

// bytes/s of a transfer that has the memory to itself. Writes that all fit among the posted ones
// wait for nobody and delay nobody.
static double alone(const struct dram_transfer *t)
{
    const struct dram_params *p = &t->port->dram->p;
    double rate = dram_port_rate(t->port), quick = fmin((double)t->written, (double)p->posted);
    if (!quick)
        return rate;
    double bytes = (double)t->bytes;
    return bytes / ((bytes - quick) / rate + quick / dram_drain_rate(t->port));
}

struct user {
    struct dram_port *port;
    double rate;        // bytes/s that it gets while it asks
    double want, alone; // of its port, at the pace that its cores let it have
    double asks;        // share of the time in which it does
};

// What each of a set gets while all of it asks: shares as the windows are, for a controller that
// serves by age, and nobody more than its port takes.
static void share_out(const struct user *u, int n, unsigned set, double ceiling, double *get)
{
    for (unsigned open = set; open;) {
        double windows = 0, left = ceiling;
        unsigned full = 0;
        for (int j = 0; j < n; j++) {
            if (open >> j & 1)
                windows += (double)u[j].port->window;
            else if (set >> j & 1)
                left -= get[j];
        }
        for (int j = 0; j < n; j++) {
            if (!(open >> j & 1))
                continue;
            get[j] = left * (double)u[j].port->window / windows;
            if (get[j] >= u[j].alone)
                get[j] = u[j].alone, full |= 1u << j;
        }
        open = full ? open & ~full : 0;
    }
}

// What user i gets while it asks, the others asking now and then: the mean over who else does.
static double rate_of(const struct user *u, int n, int i, double (*get)[DRAM_USERS])
{
    double sum = 0;
    for (unsigned set = 1u << i; set < 1u << n; set++) {
        double chance = get[set][i];
        if (!(set >> i & 1))
            continue;
        for (int j = 0; j < n; j++)
            if (j != i)
                chance *= set >> j & 1 ? u[j].asks : 1 - u[j].asks;
        sum += chance;
    }
    return sum;
}

static void settle_rates(struct user *u, int n, double ceiling)
{
    double get[1 << DRAM_USERS][DRAM_USERS], change = 1;
    for (unsigned set = 1; set < 1u << n; set++)
        share_out(u, n, set, ceiling, get[set]);
    for (int round = 0; round < 50 && change > 1e-3; round++) { // falls from above to a fixed point
        change = 0;
        for (int i = 0; i < n; i++)
            u[i].asks = u[i].want < u[i].rate ? u[i].want / u[i].rate : 1;
        for (int i = 0; i < n; i++) {
            double rate = rate_of(u, n, i, get), fell = u[i].rate - rate;
            change = fell > change * rate ? fell / rate : change;
            u[i].rate = rate;
        }
    }
}

// The ceiling of what is being read and written now (every transfer counts by what it wants), and
// what each transfer may take of it.
static void mix(struct dram *d)
{
    struct user u[DRAM_USERS];
    int n = 0;
    double all = 0, written = 0, ports = 0;
    for (int i = 0; i < DRAM_USERS; i++) {
        struct dram_port *p = d->port[i];
        if (!p || !p->active)
            continue;
        double want = p->want * p->pace_share, most = p->alone * p->pace_share;
        u[n++] = (struct user){.port = p, .rate = most, .want = want, .alone = most};
        all += want;
        written += want * p->writes;
        ports += most;
    }
    if (!n)
        return;
    double ceiling = d->ceiling[(int)(written / all * (DRAM_MIXES - 1) + 0.5)];
    sim_share_set_capacity(&d->share, ceiling);
    if (n > 1 && ports > ceiling)
        settle_rates(u, n, ceiling);
    for (int i = 0; i < n; i++) {
        double want = u[i].want;
        sim_flow_set_limit(&u[i].port->active->flow, want < u[i].rate ? want : u[i].rate);
    }
}

void dram_paced(struct dram *d)
{
    mix(d);
}

static void on_flow(struct sim *s, struct sim_flow *f)
{
    (void)s;
    struct dram_transfer *t = SIM_OWNER(f, struct dram_transfer, flow);
    struct dram_port *port = t->port;
    port->active = NULL;
    t->done(t);
    if (!port->active)
        mix(port->dram);
}

static void start_flow(struct dram_port *port, struct dram_transfer *t)
{
    assert(!port->active);
    port->active = t;
    port->alone = alone(t);
    port->want = t->rate < port->alone ? t->rate : port->alone;
    port->writes = (double)t->written / (double)t->bytes;
    sim_flow_start(&port->dram->share, &t->flow, port->client, (double)t->bytes, port->want,
                   (double)port->window, port->dram->on_flow);
    mix(port->dram);
}

// While somebody traces, two functions stand in for others, so that nobody else pays for it: the
// bandwidth is read whenever the share has solved for its rates, and when a flow has ended, after
// which the share need not solve (but never before it does: that would bring its work forward).

static void on_solve(struct sim *s, struct sim_settle *t)
{
    struct dram *d = SIM_OWNER(t, struct dram, share.settle);
    d->solve(s, t);
    meter_rate(d->meter, sim_now(s), sim_share_rate(&d->share));
}

static void on_reading(struct sim *s, struct sim_settle *r)
{
    struct dram *d = SIM_OWNER(r, struct dram, reading);
    if (d->meter && !d->share.settle.due)
        meter_rate(d->meter, sim_now(s), sim_share_rate(&d->share));
}

static void on_metered_flow(struct sim *s, struct sim_flow *f)
{
    struct dram *d = SIM_OWNER(f, struct dram_transfer, flow)->port->dram;
    on_flow(s, f);
    sim_settle(s, &d->reading);
}

void dram_meter(struct dram *d, struct meter *m)
{
    if (d->meter)
        d->share.settle.run = d->solve;
    d->meter = m;
    d->on_flow = m ? on_metered_flow : on_flow;
    d->solve = d->share.settle.run;
    if (m)
        d->share.settle.run = on_solve;
}

// --- cycle level

static void pump(struct dram_port *port);

static void release(struct dram_request *q)
{
    if (q->pending || q->away)
        return;
    q->next = q->port->free;
    q->port->free = q;
}

// Books requests that are back at the port.
static void on_back(struct sim *s, struct sim_event *e)
{
    struct dram_port *port = SIM_OWNER(e, struct dram_port, back);
    while (port->back_head && port->back_head->back <= sim_now(s)) {
        struct dram_request *q = port->back_head;
        struct dram_transfer *t = q->transfer;
        port->back_head = q->next;
        q->away = false;
        port->in_flight -= q->r.bytes;
        port->moved += (double)q->r.bytes;
        t->returned += q->r.bytes;
        release(q);
        if (t->returned == t->bytes)
            t->done(t);
    }
    if (port->back_head && !sim_pending(&port->back))
        sim_schedule(s, &port->back, port->back_head->back);
    pump(port);
}

static void travel_back(struct dram_request *q)
{
    struct dram_port *port = q->port;
    struct sim *s = port->dram->sim;
    q->back = sim_now(s) + port->dram->p.fabric;
    q->next = NULL;
    if (port->back_head)
        port->back_tail->next = q; // all have the same way: they arrive in this order
    else
        port->back_head = q;
    port->back_tail = q;
    if (!sim_pending(&port->back))
        sim_schedule(s, &port->back, port->back_head->back);
}

static void on_served(struct sim *s, struct lpddr_request *r)
{
    struct dram_request *q = (struct dram_request *)r;
    q->pending = false;
    if (q->port->dram->meter)
        meter_bytes(q->port->dram->meter, sim_now(s), r->bytes);
    if (q->early) {
        q->port->dram->posted -= r->bytes;
        release(q);
    } else {
        travel_back(q);
    }
}

static void issue(struct dram_port *port, struct dram_transfer *t)
{
    struct dram *d = port->dram;
    struct dram_request *q = port->free;
    int64_t unit = d->p.request, left = t->bytes - t->issued;
    uint64_t address = t->address + (uint64_t)t->issued;
    int64_t bytes = unit - (int64_t)(address % (uint64_t)unit);
    bytes = bytes < left ? bytes : left;
    port->free = q->next;
    *q = (struct dram_request){.transfer = t, .port = port, .away = true};
    q->r = (struct lpddr_request){
        .address = address,
        .bytes = bytes,
        .write = t->written > 0,
        .client = port->client,
        .done = on_served,
    };
    t->issued += bytes;
    port->in_flight += bytes;
    double rate = fmin(t->rate, port->link);
    if (rate < INFINITY) {
        int64_t now = sim_now(d->sim), from = port->next_issue > now ? port->next_issue : now;
        port->next_issue = from + (int64_t)((double)bytes * (double)PS_PER_S / rate + 0.5);
    }
    if (t->cached && d->slc.tag && slc_touch(&d->slc, address, bytes, q->r.write)) {
        travel_back(q);
        return;
    }
    q->pending = true;
    q->early = q->r.write && d->posted + bytes <= d->p.posted;
    if (q->early) {
        d->posted += bytes;
        travel_back(q);
    }
    lpddr_push(d->controller, &q->r);
}

// Issues what the window and the transfer's own rate allow.
static void pump(struct dram_port *port)
{
    struct sim *s = port->dram->sim;
    int64_t half = port->dram->p.request / 2;
    struct dram_transfer *t;
    while ((t = port->head) && port->free && port->in_flight + half <= port->window) {
        if (port->next_issue > sim_now(s)) {
            if (!sim_pending(&port->pace))
                sim_schedule(s, &port->pace, port->next_issue);
            return;
        }
        issue(port, t);
        if (t->issued == t->bytes)
            port->head = t->next;
    }
}

static void on_pace(struct sim *s, struct sim_event *e)
{
    (void)s;
    pump(SIM_OWNER(e, struct dram_port, pace));
}

void dram_start(struct dram_port *port, struct dram_transfer *t)
{
    assert(t->bytes > 0 && t->done);
    t->port = port;
    if (port->dram->detail == DRAM_FLOW) {
        start_flow(port, t);
        return;
    }
    t->next = NULL;
    t->issued = t->returned = 0;
    if (port->head)
        port->tail->next = t;
    else
        port->head = t;
    port->tail = t;
    pump(port);
}

// --- opening

static int64_t pool_size(const struct dram_port *port)
{
    const struct dram_params *p = &port->dram->p;
    return 2 * (port->window / p->request) + 2 + p->posted / p->request;
}

static void reset_port(struct dram_port *port)
{
    port->moved = 0;
    port->pace_share = 1;
    port->active = NULL;
    port->head = port->tail = NULL;
    port->in_flight = port->next_issue = 0;
    sim_event_init(&port->pace, on_pace);
    sim_event_init(&port->back, on_back);
    port->back_head = port->back_tail = port->free = NULL;
    for (int64_t i = port->pool ? pool_size(port) : 0; i-- > 0;) {
        port->pool[i].next = port->free;
        port->free = &port->pool[i];
    }
}

void dram_reset(struct dram *d)
{
    if (d->controller)
        lpddr_reset(d->controller);
    struct meter *m = d->meter;
    d->meter = NULL;
    sim_share_init(&d->share, d->sim, d->ceiling[0]);
    sim_settle_init(&d->reading, on_reading);
    dram_meter(d, m);
    slc_reset(&d->slc);
    place_reset(&d->place);
    d->posted = 0;
    for (int i = 0; i < DRAM_USERS; i++)
        if (d->port[i])
            reset_port(d->port[i]);
}

int dram_open(struct dram *d, const struct dram_params *p, enum dram_detail detail, struct sim *s,
              struct err *e)
{
    *d = (struct dram){.p = *p, .detail = detail, .sim = s};
    place_init(&d->place);
    if (lpddr_check(&p->timing, e) < 0 ||
        slc_open(&d->slc, p->slc, p->slc_ways, p->request, e) < 0 ||
        (detail == DRAM_CYCLE && lpddr_create(&p->timing, s, &d->controller, e) < 0))
        return e->code;
    for (int i = 0; i < DRAM_MIXES; i++)
        d->ceiling[i] = dram_peak(p) * lpddr_efficiency(&p->timing, (double)i / (DRAM_MIXES - 1));
    d->latency = (double)dram_latency(d) / (double)PS_PER_S;
    dram_reset(d);
    return 0;
}

void dram_close(struct dram *d)
{
    if (d->controller)
        lpddr_destroy(d->controller);
    d->controller = NULL;
    slc_close(&d->slc);
    place_fini(&d->place);
}

int dram_port_open(struct dram *d, struct dram_port *port, int client, int64_t outstanding,
                   double link, struct err *e)
{
    assert(client >= 0 && client < DRAM_USERS && !d->port[client]);
    *port = (struct dram_port){
        .dram = d, .client = client, .window = outstanding * d->p.line, .link = link};
    if (d->detail == DRAM_CYCLE) {
        port->pool = calloc((size_t)pool_size(port), sizeof *port->pool);
        if (!port->pool)
            return err_set(e, ERR_MEMORY, "no memory for %lld outstanding requests",
                           (long long)outstanding);
    }
    d->port[client] = port;
    reset_port(port);
    return 0;
}

void dram_port_close(struct dram_port *port)
{
    if (port->dram)
        port->dram->port[port->client] = NULL;
    free(port->pool);
    port->pool = NULL;
    port->dram = NULL;
}

double dram_moved(const struct dram *d)
{
    double sum = d->detail == DRAM_FLOW ? d->slc.hits : 0;
    for (int i = 0; i < DRAM_USERS; i++)
        sum += d->detail == DRAM_FLOW ? sim_share_moved(&d->share, i)
               : d->port[i]           ? d->port[i]->moved
                                      : 0;
    return sum;
}

double dram_cached(const struct dram *d)
{
    return d->slc.hits;
}
