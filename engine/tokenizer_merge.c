// SPDX-License-Identifier: GPL-3.0-or-later
// Merging the neighbours of one segment: the pair with the smallest rank first, the leftmost of
// equals, until no two neighbours are in the table.
//
// Two ways with one result (tests compare them). Almost all segments are words: for those, a row of
// ranks is scanned for its minimum after every merge, which is quadratic in a handful and touches
// one cache line. Long segments (a line of dashes, a page of Chinese) use a heap whose entries are
// never updated: an entry names the two symbols it saw, and is stale when they are not there any
// more. Each merge removes one entry and adds at most two, so 2n entries always suffice and the
// heap is reserved once per segment: O(n log n), no allocation per merge.
#include "engine/tokenizer_internal.h"

#include <stdlib.h>
#include <string.h>

struct merge_entry {
    uint32_t rank;
    int32_t left; // index of the left symbol
    int32_t left_id, right_id;
};

bool merge_reserve(struct merge_scratch *m, size_t symbols)
{
    if (symbols <= m->cap)
        return true;
    size_t cap = m->cap ? m->cap : 256;
    while (cap < symbols)
        cap *= 2;
    struct symbol *sym = realloc(m->sym, (cap + 1) * sizeof *sym);
    if (!sym) {
        m->failed = true;
        return false;
    }
    m->sym = sym;
    m->cap = cap;
    return true;
}

void merge_free(struct merge_scratch *m)
{
    free(m->sym);
    free(m->heap);
}

int merge_short(const struct tokenizer *t, struct symbol *sym, int n)
{
    const uint32_t none = UINT32_MAX;
    uint32_t rank[MERGE_SHORT]; // of the pair (i, i + 1)
    int32_t merged[MERGE_SHORT] = {0};
    for (int i = 0; i + 1 < n; i++) {
        const struct pair *p = pair_find(t, sym[i].id, sym[i + 1].id);
        rank[i] = p ? p->rank : none;
        merged[i] = p ? p->merged : -1;
    }
    for (;;) {
        int at = -1;
        uint32_t best = none;
        for (int i = 0; i + 1 < n; i++) {
            if (rank[i] < best) {
                best = rank[i];
                at = i;
            }
        }
        if (at < 0)
            return n;
        sym[at].id = merged[at];
        n--;
        // Symbol at + 1 and pair at + 1 go; pair `at` is new.
        size_t after = (size_t)(n - at - 1);
        memmove(&sym[at + 1], &sym[at + 2], after * sizeof *sym);
        if (after) {
            memmove(&rank[at + 1], &rank[at + 2], (after - 1) * sizeof *rank);
            memmove(&merged[at + 1], &merged[at + 2], (after - 1) * sizeof *merged);
        }
        for (int i = at > 0 ? at - 1 : 0; i <= at && i + 1 < n; i++) {
            const struct pair *p = pair_find(t, sym[i].id, sym[i + 1].id);
            rank[i] = p ? p->rank : none;
            merged[i] = p ? p->merged : -1;
        }
    }
}

static bool before(const struct merge_entry *a, const struct merge_entry *b)
{
    return a->rank < b->rank || (a->rank == b->rank && a->left < b->left);
}

static void push(const struct tokenizer *t, struct merge_scratch *m, size_t *count, int32_t left)
{
    const struct symbol *sym = m->sym;
    int32_t right = left >= 0 ? sym[left].next : -1;
    if (right < 0)
        return;
    const struct pair *p = pair_find(t, sym[left].id, sym[right].id);
    if (!p)
        return;
    struct merge_entry x = {p->rank, left, sym[left].id, sym[right].id};
    size_t i = (*count)++;
    while (i > 0 && before(&x, &m->heap[(i - 1) / 2])) {
        m->heap[i] = m->heap[(i - 1) / 2];
        i = (i - 1) / 2;
    }
    m->heap[i] = x;
}

static struct merge_entry pop(struct merge_entry *heap, size_t *count)
{
    struct merge_entry top = heap[0], x = heap[--*count];
    size_t n = *count, i = 0;
    for (;;) {
        size_t child = 2 * i + 1;
        if (child >= n)
            break;
        if (child + 1 < n && before(&heap[child + 1], &heap[child]))
            child++;
        if (!before(&heap[child], &x))
            break;
        heap[i] = heap[child];
        i = child;
    }
    heap[i] = x;
    return top;
}

int merge_long(const struct tokenizer *t, struct merge_scratch *m, int n)
{
    struct symbol *sym = m->sym;
    if ((size_t)n * 2 > m->heap_cap) {
        free(m->heap);
        m->heap_cap = (size_t)n * 2;
        m->heap = malloc(m->heap_cap * sizeof *m->heap);
        if (!m->heap) {
            m->heap_cap = 0;
            m->failed = true;
            return n;
        }
    }
    for (int i = 0; i < n; i++) {
        sym[i].prev = i - 1;
        sym[i].next = i + 1 < n ? i + 1 : -1;
    }
    size_t count = 0;
    for (int i = 0; i + 1 < n; i++)
        push(t, m, &count, i);
    while (count > 0) {
        struct merge_entry x = pop(m->heap, &count);
        struct symbol *left = &sym[x.left];
        if (left->id != x.left_id || left->next < 0 || sym[left->next].id != x.right_id)
            continue; // stale: one of the two was merged in the meantime
        struct symbol *right = &sym[left->next];
        left->id = pair_find(t, x.left_id, x.right_id)->merged;
        left->next = right->next;
        right->id = -1;
        right->next = -1;
        if (left->next >= 0)
            sym[left->next].prev = x.left;
        push(t, m, &count, left->prev);
        push(t, m, &count, x.left);
    }
    int kept = 0;
    for (int i = 0; i >= 0;) {
        int next = sym[i].next; // read before sym[kept] overwrites it: kept <= i
        sym[kept++] = sym[i];
        i = next;
    }
    return kept;
}

int merge_run(const struct tokenizer *t, struct merge_scratch *m, int n)
{
    if (n < 2)
        return n;
    return n <= MERGE_SHORT ? merge_short(t, m->sym, n) : merge_long(t, m, n);
}
