// SPDX-License-Identifier: GPL-3.0-or-later
// The controller, which plans whole trains, against a controller that walks through time tick by
// tick and issues single commands: for each it asks, from the history of all commands, whether it
// may be issued now. Both must end every request at the same picosecond, for random mixes of
// requests, timings and options.
//
// What the two share is the policy, as models/dram/lpddr.c describes it. One clause of it is what
// makes trains possible: a train that has started keeps its slots of the bus until its end. What
// that clause changes is measured by test_preemption.
#include "tests/harness.h"

#include <stdio.h>
#include <stdlib.h>
#include "tests/dram/lpddr_util.h"

enum { TICK = 625, REQUESTS = 160, TRAINS = 4096, LOG = 65536, BANKS = 16, GROUPS = 4, MIXES = 40 };

// ---- The reference: one channel

struct ref_train {
    int request;
    int bank, group;
    int64_t row, bursts, bytes;
    bool write;
    int64_t issued; // bursts
    int64_t first;  // ps of the first burst
    bool started;
};

struct ref_command {
    int64_t at;
    enum lpddr_command kind;
    int bank;
};

struct ref {
    const struct lpddr_params *p;
    struct ref_train train[TRAINS]; // in the order of arrival
    int n;
    struct ref_command log[LOG];
    int n_log;
    int64_t row[BANKS];
    int64_t due;
    int refresh_bank;
    uint32_t refreshing; // banks that a due refresh waits for
    bool drain, direction;
    int64_t batch, overtaken[2];
    int64_t end[REQUESTS]; // ps of the last data
    bool bursts_compete;   // no train keeps its slots
};

static int group_of(int bank)
{
    return bank / (BANKS / GROUPS);
}

static int64_t slot_of(const struct ref *r)
{
    return lpddr_slot(r->p);
}

// Time since the last command of a kind (bank -1: any; group -1: any); INT64_MAX / 2 when none.
static int64_t since(const struct ref *r, int64_t now, enum lpddr_command kind, int bank, int group)
{
    for (int i = r->n_log - 1; i >= 0 && now - r->log[i].at < 2 * PS_PER_US; i--) // longer than any
        if (r->log[i].kind == kind && (bank < 0 || r->log[i].bank == bank) &&
            (group < 0 || group_of(r->log[i].bank) == group))
            return now - r->log[i].at;
    return INT64_MAX / 2;
}

static void issue(struct ref *r, int64_t now, enum lpddr_command kind, int bank)
{
    if (r->n_log == LOG) { // the older half no longer matters
        memmove(r->log, r->log + LOG / 2, sizeof r->log / 2);
        r->n_log = LOG / 2;
    }
    r->log[r->n_log++] = (struct ref_command){now, kind, bank};
}

static bool may_activate(const struct ref *r, int64_t now, int bank)
{
    const struct lpddr_params *p = r->p;
    int acts = 0;
    for (int i = r->n_log - 1; i >= 0 && r->log[i].at > now - p->faw; i--)
        acts += r->log[i].kind == LPDDR_ACT;
    return r->row[bank] < 0 && acts < 4 && since(r, now, LPDDR_PRE, bank, -1) >= p->rp &&
           since(r, now, LPDDR_REF, bank, -1) >= p->rfc &&
           since(r, now, LPDDR_ACT, -1, -1) >= p->rrd;
}

static bool running(const struct ref_train *t)
{
    return t->started && t->issued < t->bursts;
}

static bool may_precharge(const struct ref *r, int64_t now, int bank)
{
    const struct lpddr_params *p = r->p;
    for (int i = 0; i < r->n; i++)
        if (running(&r->train[i]) && r->train[i].bank == bank)
            return false;
    return since(r, now, LPDDR_ACT, bank, -1) >= p->ras &&
           since(r, now, LPDDR_READ, bank, -1) >= p->rtp &&
           since(r, now, LPDDR_WRITE, bank, -1) >= p->wl + slot_of(r) + p->wr;
}

static bool may_column(const struct ref *r, int64_t now, int bank, bool write)
{
    const struct lpddr_params *p = r->p;
    int group = group_of(bank);
    int64_t slot = slot_of(r), read = since(r, now, LPDDR_READ, -1, -1),
            written = since(r, now, LPDDR_WRITE, -1, -1);
    int64_t data = write ? p->wl : p->rl;
    return since(r, now, LPDDR_ACT, bank, -1) >= p->rcd &&
           since(r, now, LPDDR_READ, -1, group) >= p->ccd_l &&
           since(r, now, LPDDR_WRITE, -1, group) >= p->ccd_l &&
           read + data >= p->rl + slot + (write ? p->rtw : 0) &&
           (write ? written >= slot : written >= p->wl + slot + p->wtr);
}

// Would the bursts of a train that starts now meet those that running trains still have?
static bool fits(const struct ref *r, int64_t now, const struct ref_train *t)
{
    int64_t slot = slot_of(r), period = lpddr_period(r->p);
    int busy = 0;
    for (int i = 0; i < r->n; i++) {
        const struct ref_train *u = &r->train[i];
        int64_t last = u->first + (u->bursts - 1) * period;
        if (!u->started || now >= last + slot)
            continue;
        busy++;
        if (u->write != t->write || (u->group == t->group && now < last + r->p->ccd_l))
            return false;
        for (int64_t a = now; a < now + t->bursts * period; a += period)
            for (int64_t b = u->first; b <= last; b += period)
                if (llabs(a - b) < slot)
                    return false;
    }
    return busy < 2;
}

static void column(struct ref *r, int64_t now, struct ref_train *t)
{
    CHECK(may_column(r, now, t->bank, t->write) && r->row[t->bank] == t->row);
    issue(r, now, t->write ? LPDDR_WRITE : LPDDR_READ, t->bank);
    int64_t end = now + (t->write ? r->p->wl : r->p->rl) + slot_of(r);
    if (++t->issued == t->bursts && end > r->end[t->request])
        r->end[t->request] = end;
}

static int64_t waiting_bytes(const struct ref *r, bool write)
{
    int64_t n = 0;
    for (int i = 0; i < r->n; i++)
        if (!r->train[i].started && r->train[i].write == write)
            n += r->train[i].bytes;
    return n;
}

static void choose(struct ref *r)
{
    const struct lpddr_params *p = r->p;
    int64_t reads = waiting_bytes(r, false), writes = waiting_bytes(r, true);
    bool drain;
    if (!writes)
        drain = false;
    else if (!reads)
        drain = true;
    else if (!r->drain)
        drain = (writes >= p->high && r->batch >= p->high) || r->batch >= PATIENCE * p->high;
    else
        drain = !r->batch || (writes > p->low && r->batch < p->high);
    if (!writes && !reads)
        drain = false;
    if (drain != r->drain) {
        r->drain = drain;
        r->batch = 0;
    }
}

// The k-th train that waits in a direction, if the scheduler sees it; NULL after the last.
static struct ref_train *seen(struct ref *r, bool write, int k)
{
    int64_t n = r->overtaken[write] >= BYPASS * r->p->window ? 1 : r->p->window;
    for (int i = 0; i < r->n && k < n; i++)
        if (!r->train[i].started && r->train[i].write == write && k-- == 0)
            return &r->train[i];
    return NULL;
}

static bool start_one(struct ref *r, int64_t now)
{
    struct ref_train *t;
    choose(r);
    for (int k = 0; (t = seen(r, r->drain, k)); k++)
        if (r->row[t->bank] == t->row && !(r->refreshing >> t->bank & 1) &&
            may_column(r, now, t->bank, t->write) && (r->bursts_compete || fits(r, now, t))) {
            t->started = true;
            t->first = now;
            r->overtaken[t->write] = k ? r->overtaken[t->write] + 1 : 0;
            r->batch += t->bytes;
            column(r, now, t);
            return true;
        }
    return false;
}

static void open_rows(struct ref *r, int64_t now)
{
    uint32_t taken = 0;
    struct ref_train *t;
    for (int pass = 0; pass < 2; pass++) {
        bool write = r->drain ^ (pass > 0);
        uint32_t hit = 0, miss = 0;
        for (int k = 0; (t = seen(r, write, k)); k++)
            if (r->row[t->bank] == t->row)
                hit |= 1u << t->bank;
        for (int k = 0; (t = seen(r, write, k)); k++) {
            uint32_t bit = 1u << t->bank;
            if (r->row[t->bank] == t->row || ((taken | miss) & bit))
                continue;
            miss |= bit;
            if ((hit | r->refreshing) & bit)
                continue;
            if (r->row[t->bank] >= 0 && may_precharge(r, now, t->bank)) {
                issue(r, now, LPDDR_PRE, t->bank);
                r->row[t->bank] = -1;
            } else if (may_activate(r, now, t->bank)) {
                issue(r, now, LPDDR_ACT, t->bank);
                r->row[t->bank] = t->row;
            }
        }
        taken = hit | miss;
    }
}

// A due refresh closes its banks as they become free, then refreshes them together.
static void ref_refresh(struct ref *r, int64_t now)
{
    const struct lpddr_params *p = r->p;
    if (now >= r->due && !r->refreshing) {
        if (p->per_bank) {
            r->refreshing = 1u << r->refresh_bank | 1u << (r->refresh_bank + BANKS / 2);
            r->refresh_bank = (r->refresh_bank + 1) % (BANKS / 2);
        } else {
            r->refreshing = (1u << BANKS) - 1;
        }
        r->due += p->per_bank ? p->refi / (BANKS / 2) : p->refi;
    }
    if (!r->refreshing)
        return;
    bool ready = true;
    for (int b = 0; b < BANKS; b++) {
        if (!(r->refreshing >> b & 1))
            continue;
        if (r->row[b] >= 0 && may_precharge(r, now, b)) {
            issue(r, now, LPDDR_PRE, b);
            r->row[b] = -1;
        }
        ready = ready && r->row[b] < 0 && since(r, now, LPDDR_PRE, b, -1) >= p->rp &&
                since(r, now, LPDDR_REF, b, -1) >= p->rfc;
    }
    if (ready) {
        for (int b = 0; b < BANKS; b++)
            if (r->refreshing >> b & 1)
                issue(r, now, LPDDR_REF, b);
        r->refreshing = 0;
    }
}

static void tick(struct ref *r, int64_t now)
{
    ref_refresh(r, now);
    for (int i = 0; i < r->n && !r->bursts_compete; i++) {
        struct ref_train *t = &r->train[i];
        if (running(t) && now == t->first + t->issued * lpddr_period(r->p))
            column(r, now, t);
    }
    for (int i = 0; i < r->n && r->bursts_compete; i++) {
        struct ref_train *t = &r->train[i];
        if (running(t) && may_column(r, now, t->bank, t->write))
            column(r, now, t);
    }
    while (start_one(r, now))
        ;
    open_rows(r, now);
}

// ---- Random mixes

struct mix {
    struct lpddr_params p;
    int n;
    int64_t at[REQUESTS];
    struct lpddr_request r[REQUESTS];
    int64_t end[REQUESTS];
};

static uint64_t state;
static int64_t below(int64_t n)
{
    return (int64_t)(stream_random(&state) % (uint64_t)n);
}

// A train of the reference: like lpddr_push, for one channel.
static void ref_push(struct ref *r, const struct mix *m, int i)
{
    const struct lpddr_params *p = r->p;
    int64_t burst = p->burst * p->width / 8, begin = r->n;
    uint64_t end = m->r[i].address + (uint64_t)m->r[i].bytes, next;
    for (uint64_t a = m->r[i].address; a < end; a = next) {
        next = (a / (uint64_t)burst + 1) * (uint64_t)burst; // one burst after the other
        next = next < end ? next : end;
        struct lpddr_place at = lpddr_map(p, a);
        struct ref_train *t = NULL;
        for (int k = (int)begin; k < r->n; k++)
            if (r->train[k].bank == at.bank && r->train[k].row == at.row)
                t = &r->train[k];
        if (!t && r->n < TRAINS) {
            t = &r->train[r->n++];
            *t = (struct ref_train){.request = i,
                                    .bank = at.bank,
                                    .group = at.group,
                                    .row = at.row,
                                    .write = m->r[i].write};
        }
        CHECK(t != NULL);
        if (t) {
            t->bursts++;
            t->bytes += (int64_t)(next - a);
        }
    }
}

static void run_reference(const struct mix *m, bool bursts_compete, int64_t *end)
{
    struct ref *r = calloc(1, sizeof *r);
    CHECK(r != NULL);
    if (!r)
        return;
    r->p = &m->p;
    r->due = m->p.per_bank ? m->p.refi / (BANKS / 2) : m->p.refi;
    r->bursts_compete = bursts_compete;
    for (int b = 0; b < BANKS; b++)
        r->row[b] = -1;
    int pushed = 0, left = 1;
    for (int64_t now = 0; left || pushed < m->n; now += TICK) {
        for (; pushed < m->n && m->at[pushed] == now; pushed++)
            ref_push(r, m, pushed);
        tick(r, now);
        left = 0;
        int kept = 0; // forget what is over, or the walk takes for ever
        for (int i = 0; i < r->n; i++) {
            const struct ref_train *t = &r->train[i];
            bool over = t->started && t->issued == t->bursts &&
                        now > t->first + t->bursts * lpddr_period(r->p) + 100000;
            left |= t->issued < t->bursts;
            if (!over)
                r->train[kept++] = *t;
        }
        r->n = kept;
        CHECK(now < 400 * PS_PER_US);
        if (now >= 400 * PS_PER_US)
            break;
    }
    memcpy(end, r->end, sizeof r->end);
    free(r);
}

static int64_t fast_end[REQUESTS];
static struct mix *current;
static struct lpddr *memory;
static struct sim_event arrival[REQUESTS];

// Requests of one instant must all be there before the controller decides.
static void on_arrival(struct sim *s, struct sim_event *e)
{
    (void)s;
    lpddr_push(memory, &current->r[e - arrival]);
}

static void on_done(struct sim *s, struct lpddr_request *q)
{
    fast_end[q - current->r] = sim_now(s);
}

static void run_fast(struct mix *m)
{
    struct sim *s = sim_create();
    struct err e = {0};
    current = m;
    if (CHECK_OK(lpddr_create(&m->p, s, &memory, &e), &e)) {
        for (int i = 0; i < m->n; i++) {
            m->r[i].done = on_done;
            sim_event_init(&arrival[i], on_arrival);
            sim_schedule(s, &arrival[i], m->at[i]);
        }
        while (sim_step(s))
            ;
        lpddr_destroy(memory);
    }
    sim_destroy(s);
}

static int64_t ticks(int64_t low, int64_t high)
{
    return (low + below(high - low + 1)) * TICK;
}

// Timings near those of LPDDR5X, in whole ticks: a slot is three.
static void random_timings(struct lpddr_params *p)
{
    struct err e = {0};
    CHECK(lpddr_example(0, p, &e));
    p->transfer_rate = 16.0 / (3 * TICK) * (double)PS_PER_S;
    p->channels = 1;
    p->rcd = ticks(20, 32);
    p->rp = ticks(20, 32);
    p->ras = p->rcd + ticks(10, 50);
    p->rrd = ticks(2, 12);
    p->faw = ticks(12, 50);
    p->faw = p->faw > p->rrd ? p->faw : p->rrd;
    p->ccd_l = below(4) ? 6 * TICK : below(2) ? ticks(0, 3) : ticks(6, 10);
    p->rl = ticks(20, 40);
    p->wl = ticks(8, 20);
    p->wtr = ticks(1, 25);
    p->wr = ticks(10, 60);
    p->rtp = ticks(1, 20);
    p->rtw = ticks(0, 4);
    p->refi = ticks(3000, 8000);
    p->per_bank = below(3) == 0;
    if (p->per_bank)
        p->refi = ticks(1000, 2000) * 8;
    p->rfc = ticks(150, 500);
    p->window = 1 + below(24);
    p->high = 64 << below(7);
    p->low = below(p->high);
    p->interleave = 64 << below(4);
}

static void random_mix(struct mix *m, int seed)
{
    memset(m, 0, sizeof *m);
    state = 0x9e3779b97f4a7c15u * (uint64_t)(seed + 1);
    random_timings(&m->p);
    m->n = 20 + (int)below(REQUESTS - 20);
    int64_t now = 0, pace = ticks(1, 200), writes = below(4), spread = 1 << (10 + below(14));
    uint64_t sequence = 0;
    for (int i = 0; i < m->n; i++) {
        if (below(3))
            now += ticks(0, pace / TICK);
        if (!below(40))
            now += ticks(0, 20000); // quiet for a while, refreshes pass
        m->at[i] = now;
        int64_t bytes = below(3) ? 32 << below(5) : 1 + below(6000);
        uint64_t address = below(2) ? sequence : (uint64_t)below(spread) * 32;
        sequence = address + (uint64_t)bytes;
        m->r[i] =
            (struct lpddr_request){.address = address, .bytes = bytes, .write = below(4) < writes};
    }
}

static void compare(struct mix *m, int seed)
{
    run_fast(m);
    run_reference(m, false, m->end);
    int bad = 0;
    for (int i = 0; i < m->n && bad < 3; i++)
        if (fast_end[i] != m->end[i]) {
            test_note("mix %d, request %d of %d: %lld ps, burst by burst %lld ps", seed, i, m->n,
                      (long long)fast_end[i], (long long)m->end[i]);
            bad++;
        }
    CHECK_INT(bad, 0);
}

static void test_random_mixes(void)
{
    struct mix *m = malloc(sizeof *m);
    CHECK(m != NULL);
    for (int seed = 0; m && seed < MIXES; seed++) {
        random_mix(m, seed);
        compare(m, seed);
    }
    free(m);
}

// Where any older burst that is ready goes before the next one of a running train, single requests
// end earlier or later, but a sequential stream as a whole ends at nearly the same time.
static void test_preemption(void)
{
    struct mix *m = calloc(1, sizeof *m);
    CHECK(m != NULL);
    for (int k = 0; m && k < 8; k++) {
        struct err e = {0};
        CHECK(lpddr_example(0, &m->p, &e));
        state = 77 + (uint64_t)k;
        random_timings(&m->p);
        m->p.per_bank = false;
        m->p.refi = 60000 * TICK;
        m->p.ccd_l = 6 * TICK; // two bursts, as in the standard
        m->p.window = 32;
        int64_t bytes = k < 5 ? 256 << k : 64 * (1 + below(64)), last[2] = {0, 0};
        m->n = (int)(65536 / bytes < REQUESTS ? 65536 / bytes : REQUESTS);
        uint64_t base = (uint64_t)below(1 << 20) * 4096;
        for (int i = 0; i < m->n; i++) {
            m->at[i] = 0;
            m->r[i] = (struct lpddr_request){
                .address = base + (uint64_t)(i * bytes), .bytes = bytes, .write = k % 2};
        }
        run_fast(m);
        run_reference(m, true, m->end);
        for (int i = 0; i < m->n; i++) {
            last[0] = fast_end[i] > last[0] ? fast_end[i] : last[0];
            last[1] = m->end[i] > last[1] ? m->end[i] : last[1];
        }
        test_note("%lld B each: %lld ps, %lld ps", (long long)bytes, (long long)last[0],
                  (long long)last[1]);
        // The last train may run alone: at most half a row's time more.
        int64_t row = m->p.row / (m->p.burst * m->p.width / 8) * lpddr_period(&m->p);
        CHECK(llabs(last[0] - last[1]) <= row / 2);
    }
    free(m);
}

TESTS(dram_lpddr_schedule, T(test_random_mixes), T(test_preemption))
