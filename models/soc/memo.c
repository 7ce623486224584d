// SPDX-License-Identifier: GPL-3.0-or-later
// Passes that the machine has made before. Who explores configurations runs the same decode plan
// behind many prefill plans, and between two passes the machine is at rest: queues empty, no flow,
// no event. Its state is then a few words (how long each device has rested, its clock's ramp, the
// core in use), and if these, the caller's own and the description of the pass are those of an
// earlier one, bit for bit, the pass takes its course.
//
// Recorded are the final state, what the pass added to the counters, and its completions, which the
// digest is fed again; layers that were replayed within the pass (replay.c) stay loops. The memo
// belongs to the machine and outlives resets. When it has grown to its limit it is emptied: nothing
// but time depends on what it holds.
//
// Invariant: as in replay.c; a table entry is found by a hash and taken only if all words match.
#include <stdlib.h>
#include <string.h>
#include "base/digest.h"
#include "models/soc/replay_internal.h"

enum { FIRST = 256 };
static const size_t MOST_BYTES = (size_t)256 << 20;

// What both tables hold: a key, behind it in memory what belongs to it.
struct memo_entry {
    uint64_t hash;
    size_t size;
    void *key;
    void (*destroy)(struct memo_entry *e);
};

struct memo_text {
    struct memo_entry entry; // first; the key is the text
    uint32_t number;
};

// How a device is left.
struct rest {
    bool worked;
    int64_t ago;  // ps since its last task ended
    int64_t warm; // ps until its clock is up; <= 0: it is
};

struct memo_pass {
    struct memo_entry entry; // first; the key is the state at the start
    struct totals from, to;
    struct rest rest[DEVICES];
    enum core_class core;
    double capacity; // of the shared memory
    bool saturated;
    uint64_t sections; // replayed
    size_t notes, loops, size;
    replay_note *note;
    struct replay_loop *loop;
    void *result;
};

static void *copy(const void *from, size_t size)
{
    void *p = malloc(size ? size : 1);
    if (!p)
        abort();
    if (size)
        memcpy(p, from, size);
    return p;
}

static void *create(size_t size)
{
    void *p = calloc(1, size);
    if (!p)
        abort();
    return p;
}

// --- tables

static struct memo_entry **slot_of(const struct memo_table *t, uint64_t hash, const void *key,
                                   size_t size)
{
    size_t i = (size_t)hash & (t->capacity - 1);
    for (; t->slot[i]; i = (i + 1) & (t->capacity - 1)) {
        const struct memo_entry *e = t->slot[i];
        if (e->hash == hash && e->size == size && !memcmp(e->key, key, size))
            break;
    }
    return &t->slot[i];
}

static struct memo_entry *find(const struct memo_table *t, uint64_t hash, const void *key,
                               size_t size)
{
    return t->capacity ? *slot_of(t, hash, key, size) : NULL;
}

static void grow(struct memo_table *t)
{
    struct memo_entry **old = t->slot;
    size_t n = t->capacity;
    t->capacity = n ? 2 * n : FIRST;
    t->slot = create(t->capacity * sizeof(struct memo_entry *));
    for (size_t i = 0; i < n; i++)
        if (old[i])
            *slot_of(t, old[i]->hash, old[i]->key, old[i]->size) = old[i];
    free(old);
}

static void clear(struct memo_table *t)
{
    for (size_t i = 0; i < t->capacity; i++)
        if (t->slot[i])
            t->slot[i]->destroy(t->slot[i]);
    free(t->slot);
    *t = (struct memo_table){0};
}

// A new entry, of so many bytes with all that belongs to it.
static void insert(struct memo *m, struct memo_table *t, struct memo_entry *e, size_t bytes)
{
    if (m->bytes + bytes > MOST_BYTES) { // numbers are not given out again
        clear(&m->passes);
        clear(&m->texts);
        m->bytes = 0;
    }
    m->bytes += bytes;
    if (4 * (t->n + 1) > 3 * t->capacity)
        grow(t);
    struct memo_entry **slot = slot_of(t, e->hash, e->key, e->size);
    if (*slot)
        (*slot)->destroy(*slot);
    else
        t->n++;
    *slot = e;
}

static void destroy_text(struct memo_entry *e)
{
    free(e->key);
    free(e);
}

static void destroy_pass(struct memo_entry *e)
{
    struct memo_pass *p = (struct memo_pass *)e;
    free(p->note);
    free(p->loop);
    free(p->result);
    free(e->key);
    free(p);
}

static void drop_open(struct memo *m)
{
    if (m->open)
        destroy_pass(&m->open->entry);
    m->open = NULL;
}

void memo_fini(struct memo *m)
{
    drop_open(m);
    clear(&m->passes);
    clear(&m->texts);
}

uint32_t replay_number(struct replay *r, const void *bytes, size_t size)
{
    struct memo *m = &r->memo;
    if (!r->enabled)
        return 0;
    uint64_t hash = digest_bytes(DIGEST_INIT, bytes, size);
    const struct memo_entry *known = find(&m->texts, hash, bytes, size);
    if (known)
        return ((const struct memo_text *)known)->number;
    struct memo_text *t = create(sizeof *t);
    t->entry = (struct memo_entry){hash, size, copy(bytes, size), destroy_text};
    t->number = ++m->numbers;
    insert(m, &m->texts, &t->entry, sizeof *t + size);
    return t->number;
}

// --- recall

static bool at_rest(const struct replay *r)
{
    for (int i = 0; i < r->m->n_devices; i++)
        if (replay_agent(r, i)->submitted != replay_agent(r, i)->completed)
            return false;
    return !sim_length(r->dram->sim) && !r->dram->sim->settle;
}

// The completions of a pass, from now on.
static void repeat(const struct replay *r, const struct memo_pass *p)
{
    uint64_t completed[DEVICES] = {0};
    int64_t later = sim_now(r->dram->sim) - p->from.now;
    size_t at = 0;
    for (int i = 0; i < r->m->n_devices; i++)
        completed[i] = replay_agent(r, i)->completed;
    for (size_t i = 0; i < p->loops; i++) {
        const struct replay_loop *l = &p->loop[i];
        replay_notes(r, p->note + at, l->end - at, 1, 0, later, completed);
        replay_notes(r, p->note + l->begin, l->end - l->begin, l->n, l->period, later + l->period,
                     completed);
        at = l->end;
    }
    replay_notes(r, p->note + at, p->notes - at, 1, 0, later, completed);
}

static bool take(struct replay *r, const struct memo_pass *p)
{
    struct totals now, sum;
    replay_totals(r, &now);
    if (!replay_sums(r, &p->from, &p->to, 1, &now, &sum))
        return false;
    repeat(r, p);
    control_place(r->control, p->core);
    replay_add(r, &sum);
    for (int i = 0; i < r->m->n_devices; i++) {
        struct agent *a = replay_agent(r, i);
        const struct rest *rest = &p->rest[i];
        a->submitted = a->completed = sum.completed[i];
        a->stats = sum.stats[i];
        r->dram->share.moved[a->port.client] = sum.moved[i];
        if (!rest->worked)
            continue;
        a->ended = sum.now - rest->ago;
        a->warm = sum.now + rest->warm;
    }
    r->dram->share.capacity = p->capacity;
    r->dram->share.saturated = p->saturated;
    r->sections += p->sections;
    r->recalled++;
    return true;
}

bool replay_recall(struct replay *r, const void *state, size_t size, void *result, size_t n)
{
    struct memo *m = &r->memo;
    r->following = r->recording = false;
    r->words = 0;
    if (!replay_able(r) || !at_rest(r) || !replay_put_state(r, state, size))
        return false;
    uint64_t hash = DIGEST_INIT;
    for (size_t i = 0; i < r->words; i++)
        hash = digest_u64(hash, r->word[i]);
    size_t bytes = r->words * sizeof *r->word;
    const struct memo_pass *known = (struct memo_pass *)find(&m->passes, hash, r->word, bytes);
    if (known && known->size == n && take(r, known)) {
        memcpy(result, known->result, n);
        return true;
    }
    drop_open(m);
    struct memo_pass *p = m->open = create(sizeof *p);
    p->entry = (struct memo_entry){hash, bytes, copy(r->word, bytes), destroy_pass};
    p->sections = r->sections;
    replay_totals(r, &p->from);
    r->notes = r->loops = 0;
    r->recording = true;
    return false;
}

void replay_learn(struct replay *r, const void *result, size_t n)
{
    struct memo_pass *p = r->memo.open;
    if (!r->recording)
        return;
    r->recording = false;
    if (!at_rest(r) || !replay_able(r))
        return;
    replay_totals(r, &p->to);
    for (int i = 0; i < r->m->n_devices; i++) {
        const struct agent *a = replay_agent(r, i);
        p->rest[i] = (struct rest){
            .worked = p->to.completed[i] > p->from.completed[i],
            .ago = p->to.now - a->ended,
            .warm = a->warm - p->to.now,
        };
    }
    p->core = r->control->core;
    p->capacity = r->dram->share.capacity;
    p->saturated = r->dram->share.saturated;
    p->sections = r->sections - p->sections;
    p->notes = r->notes;
    p->note = copy(r->note, r->notes * sizeof *r->note);
    p->loops = r->loops;
    p->loop = copy(r->loop, r->loops * sizeof *r->loop);
    p->size = n;
    p->result = copy(result, n);
    r->memo.open = NULL;
    insert(&r->memo, &r->memo.passes, &p->entry,
           sizeof *p + p->entry.size + p->notes * sizeof *p->note + p->loops * sizeof *p->loop +
               p->size);
}
