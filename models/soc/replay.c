// SPDX-License-Identifier: GPL-3.0-or-later
// The layers of a step are equal, so after one or two of them the machine is at the start of a
// layer in a state in which it has been at the start of an earlier one. From equal states equal
// courses follow: all that remains of the step's layers passes as it did since then, and the
// machine goes there at once.
//
// What is compared is everything that the future depends on, bit for bit, with times relative to
// now: queues and the costs of the tasks in them, the executing task, flows with what is left of
// them, pending events and their order, sleep, wake-up and clock of each device, the control core,
// and what the caller goes by. Not in it: what only grows (clock, tickets, statistics, digest); for
// that the difference between the two states is added for each period that is left out, and the
// digest is fed the completions of the period again, at their new times.
//
// All arithmetic of the flow level is on differences of times, so moving the origin changes no bit
// of it. Sums of flops and bytes are kept in doubles but are whole numbers; as long as they stay
// below 2^53 the order of adding does not matter, and beyond nothing is replayed.
//
// Not replayed: whatever has a state of its own that goes on changing or is not looked at here:
// values, the cycle level, the system-level cache, a game, the thermal governor, traces.
//
// Invariant: a run with replay and one without differ in nothing but the time that they take.
#include "models/soc/replay_internal.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "sim/trace.h"

struct replay_mark {
    size_t word, words, note;
    struct totals totals;
};

void replay_init(struct replay *r, struct machine *m, struct control *c, struct dram *d,
                 bool enabled)
{
    *r = (struct replay){.enabled = enabled, .m = m, .control = c, .dram = d};
}

void replay_fini(struct replay *r)
{
    free(r->note);
    free(r->word);
    free(r->mark);
    free(r->loop);
    memo_fini(&r->memo);
    *r = (struct replay){0};
}

void replay_reset(struct replay *r)
{
    r->following = r->recording = false;
    r->sections = r->recalled = 0;
}

void *replay_reserve(void *array, size_t n, size_t *room, size_t size)
{
    if (n < *room)
        return array;
    *room = *room ? 2 * *room : 64;
    void *p = realloc(array, *room * size);
    if (!p)
        abort();
    return p;
}

void replay_complete(struct replay *r, int device)
{
    if (!r->following && !r->recording)
        return;
    r->note = replay_reserve(r->note, r->notes, &r->note_room, sizeof *r->note);
    r->note[r->notes++] = sim_now(r->dram->sim) * DEVICES + device;
}

// --- the state

static void put(struct replay *r, uint64_t word)
{
    r->word[r->words++] = word; // make_room has been there
}

static void put_int(struct replay *r, int64_t v)
{
    put(r, (uint64_t)v);
}

static void put_real(struct replay *r, double v)
{
    uint64_t bits;
    memcpy(&bits, &v, sizeof bits);
    put(r, bits);
}

// Events that may be pending: timer and flow of each device.
struct pending {
    const struct sim_event *event[2 * DEVICES];
    uint32_t n;
};

static void put_event(struct replay *r, const struct sim_event *e, struct pending *p)
{
    bool pending = sim_pending(e);
    put_int(r, pending ? e->time - sim_now(r->dram->sim) : -1);
    if (pending)
        p->event[p->n++] = e;
}

static void put_cost(struct replay *r, const struct agent_cost *c)
{
    put_real(r, c->compute);
    put_int(r, c->weight);
    put_int(r, c->read);
    put_int(r, c->written);
    put_int(r, c->chunks);
    put_real(r, c->flops);
    put_int(r, c->wake);
}

static void put_transfer(struct replay *r, const struct agent *a, struct pending *p)
{
    const struct dram_transfer *t = &a->transfer;
    const struct sim_flow *f = &t->flow;
    put_int(r, t->bytes);
    put_int(r, t->written);
    put_real(r, t->rate);
    put_real(r, a->port.want);
    put_real(r, a->port.alone);
    put_real(r, a->port.writes);
    put_real(r, f->remaining);
    put_real(r, f->limit);
    put_real(r, f->weight);
    put_real(r, f->rate);
    put_real(r, f->amount);
    put_int(r, sim_now(r->dram->sim) - f->since);
    put_event(r, &f->end, p);
}

// Since when the device sleeps or would, if it has nothing to do; later than `idle` makes no
// difference.
static int64_t rest(const struct agent *a, int64_t now)
{
    int64_t ps = now - a->ended;
    return a->ended < 0 || ps > a->q.idle ? a->q.idle : ps;
}

static void put_agent(struct replay *r, const struct agent *a, struct pending *p)
{
    int64_t now = sim_now(r->dram->sim);
    uint64_t depth = (uint64_t)a->q.depth;
    put(r, a->submitted - a->completed);
    for (uint64_t i = a->completed; i < a->submitted; i++)
        put_cost(r, &a->slot[i % depth].cost);
    put_int(r, a->executing ? now - a->begin : -1);
    put_int(r, a->completed == a->submitted ? rest(a, now) : -1);
    put_int(r, a->warm > now ? a->warm - now : 0);
    put_int(r, a->clock.level);
    put_event(r, &a->timer, p);
    put(r, sim_pending(&a->timer) ? (uint64_t)(uintptr_t)a->timer.fire : 0);
    put(r, a->port.active != NULL);
    if (a->port.active)
        put_transfer(r, a, p);
}

// Events of one instant fire in the order of their numbers.
static void put_order(struct replay *r, const struct pending *p)
{
    for (uint32_t i = 0; i < p->n; i++) {
        uint64_t rank = 0;
        for (uint32_t j = 0; j < p->n; j++)
            rank += p->event[j]->seq < p->event[i]->seq;
        put(r, rank);
    }
}

static void put_share(struct replay *r)
{
    const struct sim_share *s = &r->dram->share;
    put_real(r, s->capacity);
    put(r, s->saturated);
    put(r, s->settle.due);
    put_int(r, s->n_flows);
    for (const struct sim_flow *f = s->flows; f; f = f->next)
        put_int(r, f->client);
}

// For a state with so many bytes of the caller.
static void make_room(struct replay *r, size_t size)
{
    enum { FIXED = 64 + 32 * DEVICES, TASK = 7 };
    size_t need = r->words + FIXED + size / sizeof *r->word;
    for (int i = 0; i < r->m->n_devices; i++)
        need += TASK * (size_t)(replay_agent(r, i)->submitted - replay_agent(r, i)->completed);
    if (need <= r->word_room)
        return;
    r->word_room = 2 * need;
    r->word = realloc(r->word, r->word_room * sizeof *r->word);
    if (!r->word)
        abort();
}

bool replay_put_state(struct replay *r, const void *state, size_t size)
{
    struct pending p = {.n = 0};
    make_room(r, size);
    const struct sim *s = r->dram->sim;
    for (int i = 0; i < r->m->n_devices; i++)
        put_agent(r, replay_agent(r, i), &p);
    put_order(r, &p);
    put_share(r);
    put(r, (uint64_t)r->control->core);
    put(r, size);
    for (size_t i = 0; i < size; i += sizeof(uint64_t)) {
        uint64_t word = 0;
        memcpy(&word, (const char *)state + i, size - i < sizeof word ? size - i : sizeof word);
        put(r, word);
    }
    assert(r->words <= r->word_room);
    const struct sim_settle *due = s->settle;
    return p.n == sim_length(s) && (!due || (due == &r->dram->share.settle && !due->next));
}

bool replay_able(const struct replay *r)
{
    if (!r->enabled || r->m->values || r->dram->detail != DRAM_FLOW || r->dram->p.slc ||
        sim_tracing(r->dram->sim) || r->control->background)
        return false;
    for (int i = 0; i < r->m->n_devices; i++)
        if (replay_agent(r, i)->turn)
            return false;
    return true;
}

// --- what only grows

void replay_totals(const struct replay *r, struct totals *t)
{
    const struct sim_share *share = &r->dram->share;
    *t = (struct totals){
        .now = sim_now(r->dram->sim),
        .fired = sim_fired(r->dram->sim),
        .solves = share->solves,
        .shared = sim_share_busy(share),
    };
    for (int i = 0; i < CORE_CLASSES; i++) {
        t->spent[i] = control_spent(r->control, (enum core_class)i);
        t->asleep[i] = r->control->asleep[i];
    }
    for (int i = 0; i < r->m->n_devices; i++) {
        const struct agent *a = replay_agent(r, i);
        t->completed[i] = a->completed;
        t->stats[i] = a->stats;
        t->moved[i] = share->moved[a->port.client];
    }
}

// a + n * b for whole numbers; false: a double cannot hold the sum exactly.
static bool add(double *a, double b, double n)
{
    double sum = *a + n * b;
    if (*a != floor(*a) || b != floor(b) || sum >= 0x1p53)
        return false;
    *a = sum;
    return true;
}

bool replay_sums(const struct replay *r, const struct totals *from, const struct totals *to, int n,
                 const struct totals *base, struct totals *out)
{
    uint64_t times = (uint64_t)n;
    *out = *base;
    out->now += n * (to->now - from->now);
    out->fired += times * (to->fired - from->fired);
    out->solves += times * (to->solves - from->solves);
    out->shared += n * (to->shared - from->shared);
    for (int i = 0; i < CORE_CLASSES; i++) {
        out->spent[i] += n * (to->spent[i] - from->spent[i]);
        out->asleep[i] += n * (to->asleep[i] - from->asleep[i]);
    }
    for (int i = 0; i < r->m->n_devices; i++) {
        const struct device_stats *a = &from->stats[i], *b = &to->stats[i];
        struct device_stats *o = &out->stats[i];
        out->completed[i] += times * (to->completed[i] - from->completed[i]);
        o->tasks += times * (b->tasks - a->tasks);
        o->busy_ps += n * (b->busy_ps - a->busy_ps);
        if (!add(&o->flops, b->flops - a->flops, n) || !add(&o->bytes, b->bytes - a->bytes, n) ||
            !add(&out->moved[i], to->moved[i] - from->moved[i], n))
            return false;
    }
    return true;
}

// --- the leap

void replay_notes(const struct replay *r, const replay_note *note, size_t n, int times,
                  int64_t period, int64_t later, uint64_t *completed)
{
    struct sim *s = r->dram->sim;
    for (; times--; later += period)
        for (size_t i = 0; i < n; i++) {
            uint32_t device = (uint32_t)(note[i] % DEVICES);
            sim_note_at(s, note[i] / DEVICES + later, device, ++completed[device]);
        }
}

// The tasks in the queue get new places in its ring.
static void move_queue(struct agent *a, uint64_t by)
{
    uint64_t depth = (uint64_t)a->q.depth, n = a->submitted - a->completed;
    struct agent_slot *old = n ? malloc(n * sizeof *old) : NULL;
    if (n && !old)
        abort();
    for (uint64_t i = 0; i < n; i++)
        old[i] = a->slot[(a->completed + i) % depth];
    a->completed += by;
    a->submitted += by;
    for (uint64_t i = 0; i < n; i++)
        a->slot[(a->completed + i) % depth] = old[i];
    free(old);
}

static void leap_agent(const struct replay *r, int i, const struct totals *from,
                       const struct totals *to, const struct totals *sum, int64_t ps)
{
    struct agent *a = replay_agent(r, i);
    int64_t now = to->now;
    uint64_t tasks = to->completed[i] - from->completed[i];
    move_queue(a, sum->completed[i] - to->completed[i]);
    a->stats = sum->stats[i];
    r->dram->share.moved[a->port.client] = sum->moved[i];
    a->begin += a->executing ? ps : 0;
    a->ended += tasks ? ps : 0; // without tasks it is asleep, and stays so
    a->warm += a->warm > now ? ps : 0;
    if (a->port.active)
        a->transfer.flow.since += ps;
}

void replay_add(struct replay *r, const struct totals *sum)
{
    struct sim_share *share = &r->dram->share;
    struct control *c = r->control;
    sim_leap(r->dram->sim, sum->now - sim_now(r->dram->sim), sum->fired - sim_fired(r->dram->sim));
    share->busy_ps += sum->shared - sim_share_busy(share);
    share->solves = sum->solves;
    for (int i = 0; i < CORE_CLASSES; i++) {
        c->spent[i] = sum->spent[i];
        c->asleep[i] = sum->asleep[i];
    }
    c->since = sum->now;
}

// Passes n times as from `from` to now.
static bool leap(struct replay *r, const struct replay_mark *from, int n)
{
    struct totals now, sum;
    struct sim_share *share = &r->dram->share;
    uint64_t completed[DEVICES];
    replay_totals(r, &now);
    if (!replay_sums(r, &from->totals, &now, n, &now, &sum))
        return false;
    int64_t period = now.now - from->totals.now;
    memcpy(completed, now.completed, sizeof completed);
    replay_notes(r, r->note + from->note, r->notes - from->note, n, period, period, completed);
    r->loop = replay_reserve(r->loop, r->loops, &r->loop_room, sizeof *r->loop);
    r->loop[r->loops++] = (struct replay_loop){from->note, r->notes, n, period};
    for (int i = 0; i < r->m->n_devices; i++)
        leap_agent(r, i, &from->totals, &now, &sum, n * period);
    share->since += share->n_flows ? n * period : 0;
    replay_add(r, &sum);
    return true;
}

// The latest section so far that began in the state of the last one, or -1.
static int find(const struct replay *r)
{
    const struct replay_mark *last = &r->mark[r->marks - 1];
    for (int i = r->marks - 2; i >= 0; i--) {
        const struct replay_mark *k = &r->mark[i];
        if (k->words == last->words &&
            !memcmp(r->word + k->word, r->word + last->word, k->words * sizeof *r->word))
            return i;
    }
    return -1;
}

// Nobody joins, and the host runs ahead of a device: as long as its queue grows no state comes
// again.
static bool runs_ahead(const struct replay *r)
{
    enum { ENOUGH = 4 };
    for (int i = 1; i < r->marks && i < ENOUGH; i++)
        if (r->mark[i].words <= r->mark[i - 1].words)
            return false;
    return r->marks >= ENOUGH;
}

int replay_section(struct replay *r, int index, int left, const void *state, size_t size,
                   int *period)
{
    if (index == 0) {
        r->following = replay_able(r);
        r->marks = 0;
        r->words = 0;
        if (!r->recording)
            r->notes = r->loops = 0;
    }
    if (!r->following)
        return 0;
    size_t room = (size_t)r->mark_room;
    r->mark = replay_reserve(r->mark, (size_t)r->marks, &room, sizeof *r->mark);
    r->mark_room = (int)room;
    struct replay_mark *k = &r->mark[r->marks++];
    *k = (struct replay_mark){.word = r->words, .note = r->notes};
    if (!replay_put_state(r, state, size)) {
        r->following = false;
        return 0;
    }
    k->words = r->words - k->word;
    replay_totals(r, &k->totals);
    int before = find(r);
    if (before < 0) {
        r->following = !runs_ahead(r);
        return 0;
    }
    *period = r->marks - 1 - before;
    r->following = false; // what is left is less than a period
    int n = left / *period;
    if (!n || !leap(r, &r->mark[before], n))
        return 0;
    r->sections += (uint64_t)(n * *period);
    return n * *period;
}
