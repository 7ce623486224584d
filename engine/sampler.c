// SPDX-License-Identifier: GPL-3.0-or-later
// From logits to one token.
//
// The one idea: candidates live in a max-heap ordered by (logit descending, id ascending), and the
// cuts only ever need the front of that order. So top-k pops k times and top-p pops until it has
// its mass: O(V + m log V) for m kept candidates, and nothing is sorted that is then thrown away.
//
// The order of the operations: the temperature scales first, so that top-p and min-p see the
// distribution that is drawn from; top-k cuts; top-p is a share of what top-k left; min-p is a
// share of the most likely candidate. At least one candidate always survives.
//
// Invariant: a pick is a function of the options, the logits and the number of picks before it. A
// NaN counts as minus infinity; when nothing is above minus infinity, token 0 is picked.
#include "engine/sampler.h"

#include <assert.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include "base/rng.h"

struct candidate {
    float logit;
    int32_t id;
    double weight; // exp((logit - best) / temperature): 1 for the best
};

struct sampler {
    struct sampler_options o;
    int n_vocab;
    struct rng *rng;
    struct candidate *c; // [n_vocab]
};

static int refuse(struct err *e, const char *key, const char *expected, double got)
{
    return err_at(e, ERR_USAGE, NULL, 0, key, "expected %s, got %g", expected, got);
}

int sampler_create(const struct sampler_options *o, int n_vocab, struct sampler **out,
                   struct err *e)
{
    // Written so that a NaN fails each of them.
    if (!(o->temperature >= 0 && isfinite(o->temperature)))
        return refuse(e, "temperature", "a finite number >= 0 (0 is greedy)", o->temperature);
    if (o->top_k < 0)
        return refuse(e, "top_k", "a count >= 0 (0 keeps all)", o->top_k);
    if (!(o->top_p > 0 && o->top_p <= 1))
        return refuse(e, "top_p", "a share in (0, 1] (1 keeps all)", o->top_p);
    if (!(o->min_p >= 0 && o->min_p <= 1))
        return refuse(e, "min_p", "a share in [0, 1] (0 keeps all)", o->min_p);
    if (n_vocab < 1)
        return refuse(e, "n_vocab", "at least one token", n_vocab);
    struct sampler *s = calloc(1, sizeof *s);
    if (s)
        s->c = malloc((size_t)n_vocab * sizeof *s->c);
    if (!s || !s->c) {
        free(s);
        return err_set(e, ERR_MEMORY, "no memory to sample from %d tokens", n_vocab);
    }
    s->o = *o;
    s->n_vocab = n_vocab;
    s->rng = rng_create(o->seed, "sampler");
    *out = s;
    return 0;
}

void sampler_destroy(struct sampler *s)
{
    if (!s)
        return;
    rng_destroy(s->rng);
    free(s->c);
    free(s);
}

static bool before(const struct candidate *a, const struct candidate *b)
{
    return a->logit > b->logit || (a->logit == b->logit && a->id < b->id);
}

static void sift_down(struct candidate *c, int n, int i)
{
    struct candidate x = c[i];
    for (;;) {
        int child = 2 * i + 1;
        if (child >= n)
            break;
        if (child + 1 < n && before(&c[child + 1], &c[child]))
            child++;
        if (!before(&c[child], &x))
            break;
        c[i] = c[child];
        i = child;
    }
    c[i] = x;
}

// Orders the first `keep` candidates, or as many as have the share `top_p` of the weight; they end
// at the tail of the array (the classic heap sort, stopped early) and are moved to the front.
static int cut(struct candidate *c, int n, int keep, double top_p)
{
    for (int i = n / 2 - 1; i >= 0; i--)
        sift_down(c, n, i);
    int left = n;
    double total = 0, mass = 0;
    if (keep == n) {
        for (int i = 0; i < n; i++)
            total += c[i].weight;
    }
    while (n - left < keep && !(keep == n && mass >= top_p * total)) {
        struct candidate best = c[0];
        c[0] = c[--left];
        sift_down(c, left, 0);
        c[left] = best;
        mass += best.weight;
    }
    int kept = n - left;
    for (int i = 0, j = n - 1; i < j; i++, j--) {
        struct candidate x = c[i];
        c[i] = c[j];
        c[j] = x;
    }
    if (keep == n || top_p >= 1)
        return kept;
    total = mass; // top-p is a share of what top-k left
    mass = 0;
    for (int i = 0; i < kept; i++) {
        mass += c[i].weight;
        if (mass >= top_p * total)
            return i + 1;
    }
    return kept;
}

static int32_t draw(struct sampler *s, int n)
{
    double total = 0;
    for (int i = 0; i < n; i++)
        total += s->c[i].weight;
    double u = rng_uniform(s->rng) * total;
    int last = 0; // rounding may leave u above the last sum: then the last possible one
    for (int i = 0; i < n; i++) {
        if (s->c[i].weight <= 0)
            continue;
        last = i;
        if (u < s->c[i].weight)
            break;
        u -= s->c[i].weight;
    }
    return s->c[last].id;
}

int32_t sampler_pick(struct sampler *s, const float *logits)
{
    int32_t best = 0;
    float top = -INFINITY;
    for (int i = 0; i < s->n_vocab; i++) {
        if (logits[i] > top) { // false for NaN
            top = logits[i];
            best = i;
        }
    }
    if (s->o.temperature == 0)
        return best;
    if (top == -INFINITY) {
        rng_uniform(s->rng); // one number per pick, so that a dead row does not shift the others
        return 0;
    }
    int n = 0;
    for (int i = 0; i < s->n_vocab; i++) {
        if (!(logits[i] > -INFINITY))
            continue;
        // Infinity minus infinity is NaN, but equal logits are equally likely whatever they are.
        double w = logits[i] == top ? 1 : exp(((double)logits[i] - (double)top) / s->o.temperature);
        s->c[n++] = (struct candidate){.logit = logits[i], .id = i, .weight = w};
    }
    if ((s->o.top_k > 0 && s->o.top_k < n) || s->o.top_p < 1)
        n = cut(s->c, n, s->o.top_k > 0 && s->o.top_k < n ? s->o.top_k : n, s->o.top_p);
    if (s->o.min_p > 0) {
        int kept = 0;
        for (int i = 0; i < n; i++) {
            if (s->c[i].weight >= s->o.min_p) // the best has weight 1
                s->c[kept++] = s->c[i];
        }
        n = kept;
    }
    assert(n >= 1);
    return draw(s, n);
}
