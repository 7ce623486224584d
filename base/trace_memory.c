// SPDX-License-Identifier: GPL-3.0-or-later
// Arrays that grow by doubling, and names that are stored once: a trace of a million slices has a
// few thousand names, because the operators of all tokens are called the same.
//
// A counter is a step function, so of several values at one instant the last one counts, and a
// value that is no change is none. Whoever reports need not care: a device that is handed its next
// task at the very moment at which it completes the last one reports idle and busy, and nothing is
// seen.
//
// Invariant: for every counter times rise strictly, and neighbouring values differ.
#include "base/trace_memory.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include "base/digest.h"

// What was reported of a counter before: the newest value may still be replaced at its instant.
struct trace_last {
    size_t at;           // index of the newest in `counter`, NONE when it is not there any more
    int64_t time;        // of the newest
    double value, older; // the newest, and the one before
    bool any, before;    // are there these?
};
#define NONE SIZE_MAX

static void *grow(void *p, size_t n, size_t *room, size_t size)
{
    if (n < *room)
        return p;
    *room = *room ? *room * 2 : 64;
    p = realloc(p, *room * size);
    if (!p)
        abort();
    return p;
}

#define GROW(array, n, room) ((array) = grow((array), (n), &(room), sizeof *(array)))

static const char *keep(struct trace_memory *t, const char *s)
{
    return s ? arena_strdup(&t->arena, s) : NULL;
}

static int on_track(void *user, const char *group, const char *name, const char *unit)
{
    struct trace_memory *t = user;
    size_t room = t->room_tracks;
    for (size_t i = 0; i < t->n_tracks; i++)
        if (!strcmp(t->track[i].name, name) && !strcmp(t->track[i].group, group))
            return (int)i;
    GROW(t->track, t->n_tracks, room);
    GROW(t->last, t->n_tracks, t->room_tracks);
    t->track[t->n_tracks] = (struct trace_track){keep(t, group), keep(t, name), keep(t, unit)};
    t->last[t->n_tracks] = (struct trace_last){.at = NONE};
    return (int)t->n_tracks++;
}

static uint32_t *place(const struct trace_memory *t, const char *name)
{
    size_t at = digest_str(DIGEST_INIT, name) & (t->table_size - 1);
    while (t->table[at] && strcmp(t->name[t->table[at] - 1], name) != 0)
        at = (at + 1) & (t->table_size - 1);
    return &t->table[at];
}

static void enlarge_table(struct trace_memory *t)
{
    free(t->table);
    t->table_size = t->table_size ? t->table_size * 2 : 256;
    t->table = calloc(t->table_size, sizeof *t->table);
    if (!t->table)
        abort();
    for (size_t i = 0; i < t->n_names; i++)
        *place(t, t->name[i]) = (uint32_t)i + 1;
}

static int intern(struct trace_memory *t, const char *name)
{
    if (t->n_names * 2 >= t->table_size)
        enlarge_table(t);
    uint32_t *slot = place(t, name);
    if (!*slot) {
        GROW(t->name, t->n_names, t->room_names);
        t->name[t->n_names++] = keep(t, name);
        *slot = (uint32_t)t->n_names;
    }
    return (int)*slot - 1;
}

static void on_slice(void *user, int track, const char *name, int64_t begin, int64_t end,
                     uint64_t id)
{
    struct trace_memory *t = user;
    GROW(t->slice, t->n_slices, t->room_slices);
    t->slice[t->n_slices++] = (struct trace_slice){.begin = begin,
                                                   .end = end > begin ? end : begin,
                                                   .id = id,
                                                   .reported = t->reported++,
                                                   .track = track,
                                                   .name = intern(t, name)};
}

static void on_counter(void *user, int track, int64_t time, double value)
{
    struct trace_memory *t = user;
    struct trace_last *l = &t->last[track];
    if (l->any && time <= l->time && l->at != NONE) { // the same instant: the last word counts
        if (l->before && value == l->older && l->at == t->n_counters - 1) {
            t->n_counters--; // back to what it was: nothing happened
            *l = (struct trace_last){
                .at = NONE, .time = l->time, .value = l->older, .any = true, .before = false};
            return;
        }
        t->counter[l->at].value = l->value = value;
        return;
    }
    if (l->any && value == l->value)
        return;
    GROW(t->counter, t->n_counters, t->room_counters);
    *l = (struct trace_last){.at = t->n_counters,
                             .time = time,
                             .value = value,
                             .older = l->value,
                             .any = true,
                             .before = l->any};
    t->counter[t->n_counters++] = (struct trace_count){time, value, track};
}

static void on_flow(void *user, uint64_t from, uint64_t to)
{
    struct trace_memory *t = user;
    GROW(t->flow, t->n_flows, t->room_flows);
    t->flow[t->n_flows++] = (struct trace_flow){from, to};
}

void trace_memory_init(struct trace_memory *t)
{
    *t = (struct trace_memory){.sink = {t, on_track, on_slice, on_counter, on_flow}};
    arena_init(&t->arena);
}

void trace_memory_fini(struct trace_memory *t)
{
    free(t->track);
    free(t->last);
    free(t->name);
    free(t->table);
    free(t->slice);
    free(t->counter);
    free(t->flow);
    arena_fini(&t->arena);
    *t = (struct trace_memory){.n_tracks = 0};
}

// --- order

typedef int compare_fn(const void *a, const void *b);

static void insertion_sort(char *a, size_t n, size_t size, compare_fn *compare, char *hold)
{
    for (size_t i = 1; i < n; i++) {
        size_t j = i;
        while (j > 0 && compare(a + (j - 1) * size, a + i * size) > 0)
            j--;
        if (j == i)
            continue;
        memcpy(hold, a + i * size, size);
        memmove(a + (j + 1) * size, a + j * size, (i - j) * size);
        memcpy(a + j * size, hold, size);
    }
}

static void merge(char *a, size_t left, size_t n, size_t size, compare_fn *compare, char *hold)
{
    char *l = hold, *l_end = hold + left * size, *r = a + left * size, *r_end = a + n * size;
    memcpy(hold, a, left * size);
    for (; l < l_end && r < r_end; a += size) {
        char **from = compare(l, r) <= 0 ? &l : &r;
        memcpy(a, *from, size);
        *from += size;
    }
    memcpy(a, l, (size_t)(l_end - l)); // what is left of r is in place
}

// A merge sort: equals stay in the order of their reports. What is reported is nearly sorted, so
// most neighbouring runs already are in order and are left alone.
static void sort(void *array, size_t n, size_t size, compare_fn *compare)
{
    enum { RUN = 32 };
    char *a = array, *hold = malloc((n + 1) * size);
    if (!hold)
        abort();
    for (size_t i = 0; i < n; i += RUN)
        insertion_sort(a + i * size, n - i < RUN ? n - i : RUN, size, compare, hold);
    for (size_t run = RUN; run < n; run *= 2)
        for (size_t i = 0; i + run < n; i += 2 * run) {
            char *begin = a + i * size, *middle = begin + run * size;
            if (compare(middle - size, middle) > 0)
                merge(begin, run, n - i < 2 * run ? n - i : 2 * run, size, compare, hold);
        }
    free(hold);
}

static int by_begin(const void *a, const void *b)
{
    const struct trace_slice *x = a, *y = b;
    return x->begin != y->begin ? (x->begin > y->begin) - (x->begin < y->begin)
           : x->end != y->end   ? (x->end < y->end) - (x->end > y->end)
                                : (x->reported < y->reported) - (x->reported > y->reported);
}

static int by_time(const void *a, const void *b)
{
    const struct trace_count *x = a, *y = b;
    return (x->time > y->time) - (x->time < y->time);
}

void trace_memory_sort(struct trace_memory *t)
{
    sort(t->slice, t->n_slices, sizeof *t->slice, by_begin);
    sort(t->counter, t->n_counters, sizeof *t->counter, by_time);
    for (size_t i = 0; i < t->n_tracks; i++) // the indices have changed
        t->last[i].at = NONE;
}
