// SPDX-License-Identifier: GPL-3.0-or-later
// One LPDDR5X channel is a set of banks, of which each holds one open row, behind one data bus. A
// command may be issued when every constraint of JESD209-5 that it is subject to has elapsed; the
// channel's controller issues each one at the first instant at which that is so.
//
// Trains on a bus with bank groups. Above 3200 MT/s the banks form groups, and two columns of one
// group must lie tCCD_L = two bursts apart, while the bus takes one burst per burst time. (A BL32
// access is therefore two BL16 bursts with a gap of one.) A train, the bursts of a request in one
// row, thus uses every second slot of the bus, and two trains of different groups fill it: they run
// side by side, one in the even, one in the odd slots. So a train is an arithmetic progression of
// column commands, known to the picosecond when it starts, and costs one event at its end (and one
// or two for decisions). The price: a train that has started keeps its slots until its end, at most
// one row (240 ns). A controller that walks through time command by command gives the same schedule
// to the picosecond (tests/dram/test_lpddr_schedule.c).
//
// Mapping, from the low bits: offset in the interleave unit | channel | bank group | column | bank
// | row. Consecutive units of a channel go round the groups, so a sequential stream has all groups
// at work and activates rows while others transfer. Channel and group are XORed with higher bits,
// the bank with bits of the row: strides of powers of two do not fall on one of them.
//
// Scheduler: FR-FCFS. Of the oldest `window` trains of the direction that has the bus, the one
// that can start first starts; of several, the oldest. A row stays open until a train of the window
// needs another row of its bank and none hits the open one; banks that the current direction does
// not need are opened for the other. Reads go first; writes wait until `high` bytes have gathered
// (or no read waits), then they are drained to `low`. Neither starves: a train at the head that
// BYPASS windows of later ones overtook is next; a batch ends after `high` bytes when the other
// direction waits, and after PATIENCE batches of reads waiting writes are drained even if they are
// few.
//
// Refresh: all banks every tREFI, never postponed but for the trains that run; or, per_bank, a pair
// of banks at a time, each pair every tREFI (a REFpb command takes two banks when there are 16). An
// idle channel needs no events: its refreshes are made up for when the next request comes.
//
// Not modelled: the command bus (commands never compete for it, and they are not aligned to the
// command clock, so the times in the configuration should be whole clocks); ranks; power-down; the
// all-bank precharge's extra 3 ns; the shorter tWTR of another bank group; ZQ calibration; WCK
// synchronisation after idleness; forwarding from queued writes to reads.
//
// Invariant: bytes completed and queued are the bytes pushed; a bank's `row` is open exactly from
// its activate to its precharge.
#include "models/dram/lpddr_channel.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum { NOTE_TRAIN = 0x4c504452 }; // digest: a train has ended

// ---- Queues and pool

static struct train *train_get(struct lpddr *d)
{
    if (!d->free) {
        enum { N = 256 };
        struct block *b = malloc(sizeof *b + N * sizeof *b->train);
        if (!b)
            abort();
        b->next = d->blocks;
        b->n = N;
        d->blocks = b;
        for (int i = 0; i < N; i++) {
            b->train[i].request = NULL;
            b->train[i].next = d->free;
            d->free = &b->train[i];
        }
    }
    struct train *t = d->free;
    d->free = t->next;
    return t;
}

static void train_put(struct lpddr *d, struct train *t)
{
    t->request = NULL;
    t->next = d->free;
    d->free = t;
}

static int64_t length(const struct queue *q)
{
    return q->end - q->begin;
}

static void enqueue(struct queue *q, struct train *t)
{
    if (q->end == q->capacity) {
        if (q->begin > q->capacity / 2) {
            memcpy(q->entry, q->entry + q->begin, (size_t)length(q) * sizeof *q->entry);
        } else {
            q->capacity = q->capacity ? 2 * q->capacity : 256;
            struct waiting *bigger = malloc((size_t)q->capacity * sizeof *bigger);
            if (!bigger)
                abort();
            if (q->entry)
                memcpy(bigger, q->entry + q->begin, (size_t)length(q) * sizeof *bigger);
            free(q->entry);
            q->entry = bigger;
        }
        q->end = length(q);
        q->begin = 0;
    }
    q->entry[q->end++] = (struct waiting){.row = (int32_t)t->row, .bank = t->bank, .train = t};
}

// Takes entry i out; those before it move up.
static struct train *dequeue(struct queue *q, int64_t i)
{
    struct waiting *first = q->entry + q->begin;
    struct train *t = first[i].train;
    memmove(first + 1, first, (size_t)i * sizeof *first);
    q->begin++;
    q->bytes -= t->bytes;
    q->overtaken = i ? q->overtaken + 1 : 0;
    return t;
}

// ---- Commands

static int64_t later(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

static void command(const struct channel *c, enum lpddr_command k, int64_t at, int bank,
                    int64_t row)
{
    if (c->owner->log)
        c->owner->log(c->owner->log_context, k, at, c->index, bank, row);
}

static void precharge(struct channel *c, int bank, int64_t at)
{
    command(c, LPDDR_PRE, at, bank, c->row[bank]);
    c->row[bank] = NO_ROW;
    c->bank[bank].act_ready = at + c->owner->p.rp;
}

static void activate(struct channel *c, int bank, int32_t row, int64_t at)
{
    const struct lpddr_params *p = &c->owner->p;
    struct bank *b = &c->bank[bank];
    command(c, LPDDR_ACT, at, bank, row);
    c->row[bank] = row;
    b->column_ready = at + p->rcd;
    b->pre_ready = at + p->ras;
    b->used = false;
    c->activate[c->n_activate++ & 3] = at;
}

// When the activate limits of the channel (tRRD, tFAW) allow the next one.
static int64_t activate_ready(const struct channel *c)
{
    const struct lpddr_params *p = &c->owner->p;
    int64_t rrd = c->activate[(c->n_activate - 1) & 3] + p->rrd;
    return later(rrd, c->activate[c->n_activate & 3] + p->faw);
}

// Closes banks first, first + step, ... and refreshes them; they may be activated after it.
static void refresh(struct channel *c, int first, int step)
{
    const struct lpddr_params *p = &c->owner->p;
    int64_t at = c->due;
    for (int i = first; i < p->banks; i += step) {
        if (c->row[i] != NO_ROW)
            precharge(c, i, later(c->due, c->bank[i].pre_ready));
        at = later(at, c->bank[i].act_ready);
    }
    for (int i = first; i < p->banks; i += step) {
        command(c, LPDDR_REF, at, i, 0);
        c->bank[i].act_ready = at + p->rfc;
        c->bank[i].conflict = false;
    }
    c->refreshes++;
}

static void refresh_due(struct channel *c, int64_t now)
{
    const struct lpddr_params *p = &c->owner->p;
    int64_t interval = c->owner->refresh_interval;
    int pairs = (int)(p->banks + 1) / 2;
    if (now - c->due > 2 * pairs * interval) { // idle for long: nothing but refreshes happened
        int64_t skip = (now - c->due) / interval - pairs;
        c->refreshes += (uint64_t)skip;
        c->refresh_bank = (int)((c->refresh_bank + skip) % pairs);
        c->due += skip * interval;
        for (int i = 0; i < p->banks; i++)
            c->row[i] = NO_ROW;
    }
    for (; c->due <= now; c->due += interval) {
        if (p->per_bank) {
            refresh(c, c->refresh_bank, pairs);
            c->refresh_bank = (c->refresh_bank + 1) % pairs;
        } else {
            refresh(c, 0, 1);
        }
    }
}

// ---- The data bus

// First instant from `at` on at which a train's columns fit between those of the trains that run.
static int64_t bus_fit(const struct channel *c, int64_t at)
{
    int64_t slot = c->owner->slot, period = c->owner->period;
    for (;;) {
        const struct flow *f = &c->flow[0], *g = &c->flow[1];
        bool busy_f = at < f->last + slot, busy_g = at < g->last + slot;
        if (!busy_f && !busy_g)
            return at;
        if (busy_f && busy_g) {
            at = (f->last < g->last ? f->last : g->last) + slot;
            continue;
        }
        if (!busy_f)
            f = g;
        int64_t end = f->last + slot, phase = (at - f->first) % period;
        if (period >= 2 * slot) {
            if (phase >= slot && phase <= period - slot)
                return at;
            int64_t next = at - phase + slot + (phase > slot ? period : 0);
            if (next < end)
                return next; // the other one ended earlier, or at was moved past its end
        }
        at = end;
    }
}

// First instant at which `t`, whose row is open, may begin its columns.
static int64_t column_ready(const struct channel *c, const struct train *t, int64_t now)
{
    const struct lpddr *d = c->owner;
    int64_t at = later(now, c->bank[t->bank].column_ready);
    at = later(at, c->column[t->group] + d->p.ccd_l);
    if (t->write != c->write)
        return later(at, later(c->flow[0].last, c->flow[1].last) +
                             (t->write ? d->read_to_write : d->write_to_read));
    return bus_fit(c, at);
}

// Starts entry i of the queue that is served.
static void start(struct channel *c, int64_t i, int64_t now)
{
    struct lpddr *d = c->owner;
    const struct lpddr_params *p = &d->p;
    struct train *t = dequeue(&c->queue[c->drain], i);
    struct bank *b = &c->bank[t->bank];
    if (t->write != c->write) {
        c->write = t->write;
        c->flow[0].last = c->flow[1].last = IDLE;
        c->turnarounds++;
    }
    c->batch += t->bytes;

    struct flow *f = &c->flow[c->flow[1].last < c->flow[0].last];
    f->first = now;
    f->last = now + (t->bursts - 1) * d->period;
    c->column[t->group] = f->last;
    int64_t data = f->last + (t->write ? p->wl : p->rl) + d->slot;
    b->pre_ready = later(b->pre_ready, t->write ? data + p->wr : f->last + p->rtp);
    *(b->used ? &c->hits : b->conflict ? &c->conflicts : &c->misses) += 1;
    b->used = true;
    b->conflict = false;
    c->bursts += (uint64_t)t->bursts;
    c->trains++;
    for (int64_t k = 0; d->log && k < t->bursts; k++)
        command(c, t->write ? LPDDR_WRITE : LPDDR_READ, now + k * d->period, t->bank, t->row);
    sim_schedule(d->sim, &t->end, data);
}

// ---- Decisions

// Which direction the bus should serve.
static void choose_direction(struct channel *c)
{
    const struct lpddr_params *p = &c->owner->p;
    const struct queue *reads = &c->queue[0], *w = &c->queue[1];
    bool drain = c->drain, read = length(reads), write = length(w);
    if (!drain) {
        bool full = w->bytes >= p->high && c->batch >= p->high;
        drain = write && (!read || full || c->batch >= PATIENCE * p->high);
    } else if (read) {
        drain = write && (!c->batch || (w->bytes > p->low && c->batch < p->high));
    } else {
        drain = write;
    }
    if (drain != c->drain) {
        c->drain = drain;
        c->batch = 0;
    }
}

// How many trains of a queue are looked at: only the head when it was overtaken too often.
static int64_t window(const struct channel *c, const struct queue *q)
{
    int64_t n = c->owner->p.window;
    n = q->overtaken >= BYPASS * n ? 1 : n;
    return n < length(q) ? n : length(q);
}

// What a window looks like: which entries hit an open row, and which banks they want.
struct view {
    uint64_t entry;                // bit i: entry i hits
    uint64_t hit, miss;            // banks
    uint8_t oldest[MAX_BANKS + 1]; // entry that misses in a bank; the last takes the hits
};

static void look(const struct channel *c, const struct queue *q, struct view *v)
{
    const struct waiting *w = q->entry + q->begin;
    uint64_t entry = 0, hit = 0, miss = 0; // collected without branches, which nobody can predict
    for (int64_t i = window(c, q) - 1; i >= 0; i--) {
        uint64_t same = c->row[w[i].bank] == w[i].row;
        entry |= same << i;
        hit |= same << w[i].bank;
        miss |= (same ^ 1) << w[i].bank;
        v->oldest[same ? MAX_BANKS : w[i].bank] = (uint8_t)i;
    }
    v->entry = entry;
    v->hit = hit;
    v->miss = miss;
}

// The entry to start next and when it can (SIM_NEVER: none of the window has its row open).
static int64_t pick(const struct channel *c, const struct view *v, int64_t now, int64_t *when)
{
    const struct queue *q = &c->queue[c->drain];
    const struct waiting *w = q->entry + q->begin;
    int64_t best = 0;
    *when = SIM_NEVER;
    for (uint64_t hit = v->entry; hit && *when > now; hit &= hit - 1) {
        int i = __builtin_ctzll(hit);
        int64_t at = column_ready(c, w[i].train, now);
        if (at < *when) {
            best = i;
            *when = at;
        }
    }
    return best;
}

// Opens rows for the trains of both windows, the current direction's first, of which `v` is the
// view. Returns when there is something to do again.
static int64_t prepare(struct channel *c, struct view *v, int64_t now)
{
    uint64_t taken = 0; // banks that have their next row
    int64_t wake = SIM_NEVER;
    for (int pass = 0; pass < 2; pass++) {
        const struct queue *q = &c->queue[c->drain ^ pass];
        const struct waiting *w = q->entry + q->begin;
        if (pass && !length(q))
            break;
        if (pass)
            look(c, q, v);
        const uint64_t hit = v->hit, miss = v->miss;
        const uint8_t *oldest = v->oldest;
        uint64_t ready = 0; // may be activated but for the limits of the channel
        for (uint64_t todo = miss & ~hit & ~taken; todo; todo &= todo - 1) {
            int bank = __builtin_ctzll(todo);
            struct bank *b = &c->bank[bank];
            if (c->row[bank] != NO_ROW && b->pre_ready <= now) {
                precharge(c, bank, now);
                b->conflict = true;
            }
            int64_t at = b->act_ready;
            if (c->row[bank] != NO_ROW) {
                c->planned |= UINT64_C(1) << bank;
                at = b->pre_ready + c->owner->p.rp;
            }
            if (at > now)
                wake = at < wake ? at : wake;
            else
                ready |= UINT64_C(1) << bank;
        }
        while (ready) {
            int64_t at = activate_ready(c);
            if (at > now) {
                wake = at < wake ? at : wake;
                break;
            }
            int first = __builtin_ctzll(ready);
            for (uint64_t k = ready & (ready - 1); k; k &= k - 1)
                if (oldest[__builtin_ctzll(k)] < oldest[first])
                    first = __builtin_ctzll(k);
            activate(c, first, w[oldest[first]].row, now);
            wake = c->bank[first].column_ready < wake ? c->bank[first].column_ready : wake;
            ready &= ~(UINT64_C(1) << first);
        }
        taken = hit | miss;
    }
    return wake;
}

// Precharges that the last decision foresaw and nothing has changed since: they were issued when
// their time came, without an event of their own.
static void issue_planned(struct channel *c, int64_t now)
{
    for (; c->planned; c->planned &= c->planned - 1) {
        int bank = __builtin_ctzll(c->planned);
        if (c->bank[bank].pre_ready < now) {
            precharge(c, bank, c->bank[bank].pre_ready);
            c->bank[bank].conflict = true;
        }
    }
}

static void decide(struct sim *s, struct sim_settle *settle)
{
    struct channel *c = SIM_OWNER(settle, struct channel, settle);
    int64_t now = sim_now(s), when;
    struct view v;
    issue_planned(c, now);
    refresh_due(c, now);
    for (;;) {
        choose_direction(c);
        look(c, &c->queue[c->drain], &v);
        int64_t i = pick(c, &v, now, &when);
        if (when > now)
            break;
        start(c, i, now);
    }
    if (!length(&c->queue[0]) && !length(&c->queue[1])) {
        sim_cancel(s, &c->wake);
        return;
    }
    int64_t wake = prepare(c, &v, now);
    wake = when < wake ? when : wake;
    wake = c->due < wake ? c->due : wake;
    if (!sim_pending(&c->wake) || c->wake.time != wake)
        sim_schedule(s, &c->wake, wake);
}

static void on_wake(struct sim *s, struct sim_event *e)
{
    sim_settle(s, &SIM_OWNER(e, struct channel, wake)->settle);
}

static void on_end(struct sim *s, struct sim_event *e)
{
    struct train *t = SIM_OWNER(e, struct train, end);
    struct channel *c = t->channel;
    struct lpddr *d = c->owner;
    struct lpddr_request *r = t->request;
    sim_note(s, NOTE_TRAIN, (uint64_t)c->index << 48 ^ (uint64_t)t->bank << 40 ^ (uint64_t)t->row);
    d->bytes[r->client] += t->bytes;
    train_put(d, t);
    if (--r->trains)
        return;
    d->requests++;
    d->latency += (double)(sim_now(s) - r->pushed);
    if (r->done)
        r->done(s, r);
}

// ---- Public

void lpddr_push(struct lpddr *d, struct lpddr_request *r)
{
    assert(r->bytes > 0 && r->client >= 0 && r->client < LPDDR_CLIENTS);
    assert(!((r->address + (uint64_t)r->bytes) >> d->address_bits));
    const struct lpddr_params *p = &d->p;
    r->pushed = sim_now(d->sim);
    r->trains = 0;
    uint64_t unit = (uint64_t)p->interleave, burst = (uint64_t)d->burst_bytes;
    uint64_t a = r->address, end = a + (uint64_t)r->bytes;
    while (a < end) {
        uint64_t next = (a / unit + 1) * unit;
        next = next < end ? next : end;
        struct lpddr_place at = lpddr_map(p, a);
        struct channel *c = &d->channel[at.channel];
        struct train **current = &d->current[at.channel * p->groups + at.group], *t = *current;
        // A train of this request in the same row: it grows, nothing was decided yet.
        if (!t || t->request != r || t->channel != c || t->bank != at.bank || t->row != at.row) {
            t = *current = train_get(d);
            *t = (struct train){.request = r,
                                .channel = c,
                                .row = at.row,
                                .bank = at.bank,
                                .group = at.group,
                                .write = r->write};
            sim_event_init(&t->end, on_end);
            enqueue(&c->queue[r->write], t);
            sim_settle(d->sim, &c->settle);
            r->trains++;
        }
        t->bursts += (int64_t)((next + burst - 1) / burst - a / burst);
        t->bytes += (int64_t)(next - a);
        c->queue[r->write].bytes += (int64_t)(next - a);
        a = next;
    }
}

void lpddr_reset(struct lpddr *d)
{
    for (struct block *b = d->blocks; b; b = b->next)
        for (int i = 0; i < b->n; i++) {
            if (b->train[i].request)
                train_put(d, &b->train[i]);
        }
    memset(d->current, 0, (size_t)(d->p.channels * d->p.groups) * sizeof *d->current);
    memset(d->bytes, 0, sizeof d->bytes);
    d->latency = 0;
    d->requests = 0;
    for (int i = 0; i < d->p.channels; i++) {
        struct channel *c = &d->channel[i];
        struct queue q[2];
        for (int k = 0; k < 2; k++)
            q[k] = (struct queue){.entry = c->queue[k].entry, .capacity = c->queue[k].capacity};
        *c = (struct channel){.owner = d, .index = i, .due = d->refresh_interval};
        memcpy(c->queue, q, sizeof q);
        sim_event_init(&c->wake, on_wake);
        sim_settle_init(&c->settle, decide);
        for (int k = 0; k < MAX_BANKS; k++) {
            c->row[k] = NO_ROW;
            c->column[k] = IDLE;
        }
        for (int k = 0; k < 4; k++)
            c->activate[k] = IDLE;
        c->flow[0].last = c->flow[1].last = IDLE;
    }
}

int lpddr_create(const struct lpddr_params *p, struct sim *s, struct lpddr **out, struct err *e)
{
    int rc = lpddr_check(p, e);
    if (rc < 0)
        return rc;
    struct lpddr *d = calloc(1, sizeof *d);
    if (d) {
        d->p = *p;
        d->channel = calloc((size_t)p->channels, sizeof *d->channel);
        d->current = calloc((size_t)(p->channels * p->groups), sizeof(struct train *));
    }
    if (!d || !d->channel || !d->current) {
        lpddr_destroy(d);
        return err_set(e, ERR_MEMORY, "out of memory for the memory model");
    }
    d->sim = s;
    d->slot = lpddr_slot(p);
    d->period = lpddr_period(p);
    d->burst_bytes = p->burst * p->width / 8;
    d->read_to_write = p->rl + d->slot + p->rtw - p->wl;
    d->write_to_read = p->wl + d->slot + p->wtr;
    d->refresh_interval = p->per_bank ? p->refi / ((p->banks + 1) / 2) : p->refi;
    d->address_bits = lpddr_address_bits(p);
    lpddr_reset(d);
    *out = d;
    return 0;
}

void lpddr_destroy(struct lpddr *d)
{
    if (!d)
        return;
    for (struct block *b = d->blocks, *next; b; b = next) {
        next = b->next;
        free(b);
    }
    for (int i = 0; d->channel && i < d->p.channels; i++)
        for (int k = 0; k < 2; k++)
            free(d->channel[i].queue[k].entry);
    free(d->channel);
    free(d->current);
    free(d);
}

void lpddr_set_log(struct lpddr *d, lpddr_log_fn *log, void *context)
{
    d->log = log;
    d->log_context = context;
}

void lpddr_get_stats(const struct lpddr *d, struct lpddr_stats *out)
{
    *out = (struct lpddr_stats){.latency = d->latency, .requests = d->requests};
    for (int i = 0; i < LPDDR_CLIENTS; i++)
        out->bytes[i] = (double)d->bytes[i];
    for (int i = 0; i < d->p.channels; i++) {
        const struct channel *c = &d->channel[i];
        out->bursts += c->bursts;
        out->trains += c->trains;
        out->hits += c->hits;
        out->misses += c->misses;
        out->conflicts += c->conflicts;
        out->refreshes += c->refreshes;
        out->turnarounds += c->turnarounds;
    }
}
