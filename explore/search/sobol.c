// SPDX-License-Identifier: GPL-3.0-or-later
// sobol: a quasi-random sequence that fills the space more evenly than chance (Sobol', "On the
// distribution of points in a cube and the approximate evaluation of integrals", 1967; GSL's
// generator). The seed shifts the whole sequence by exclusive or on the binary digits (digital
// shift; Matousek, "On the L2-discrepancy for anchored boxes", 1998), which keeps its structure:
// in the first two coordinates, each aligned run of 2^2k points still has one point in every cell
// of a grid of 2^k by 2^k.
//
// The k-th parameter that applies to a point and leaves a choice takes the k-th coordinate. So
// options that exclude each other share coordinates, which keeps conditional spaces within GSL's
// 40 dimensions (Bratley and Fox, Algorithm 659); beyond, GSL returns zeros without an error, so a
// space that needs more is refused.
#include <gsl/gsl_qrng.h>
#include <math.h>
#include <stdlib.h>
#include "explore/search/util.h"

enum { DIMENSIONS = 40, BITS = 30, TRIES = 200, PROBES = 1000 };

struct search {
    struct util_memory m;
    gsl_qrng *sequence;
    uint32_t shift[DIMENSIONS]; // BITS wide
    bool begun;                 // GSL leaves out the first point, the origin
};

struct picking {
    struct search *s;
    int used; // coordinates
    double x[DIMENSIONS];
};

static int pick(void *user, int i, const struct search_point *so_far)
{
    struct picking *g = user;
    int n = g->s->m.space.n_choices[i];
    (void)so_far;
    if (n == 1)
        return 0;
    if (g->used >= DIMENSIONS) // of a point that the probes at the opening did not meet
        return (int)rng_below(g->s->m.rng, (uint64_t)n);
    int c = (int)(g->x[g->used++] * n);
    return c < n ? c : n - 1;
}

// How many coordinates a random point needs.
static int count(void *user, int i, const struct search_point *so_far)
{
    struct picking *g = user;
    int n = g->s->m.space.n_choices[i];
    (void)so_far;
    g->used += n > 1;
    return (int)rng_below(g->s->m.rng, (uint64_t)n);
}

static int coordinates(struct search *s)
{
    const struct search_space *space = &s->m.space;
    struct search_point p;
    int most = 0, real = 0; // real: parameters with a choice
    for (int i = 0; i < space->n_params; i++)
        real += space->n_choices[i] > 1;
    for (int i = 0; i < PROBES && real > DIMENSIONS; i++) {
        struct picking g = {.s = s};
        util_build(space, s->m.level, count, &g, &p);
        most = g.used > most ? g.used : most;
    }
    return real > DIMENSIONS ? most : real;
}

static void close_sobol(struct search *s)
{
    gsl_qrng_free(s->sequence);
    util_close(&s->m);
    free(s);
}

static struct search *open_sobol(const struct search_space *space, const void *options,
                                 uint64_t seed, struct err *e)
{
    struct search *s = calloc(1, sizeof *s);
    (void)options;
    if (!s)
        abort();
    util_open(&s->m, space, seed, "search.sobol");
    s->sequence = gsl_qrng_alloc(gsl_qrng_sobol, DIMENSIONS);
    if (!s->sequence)
        abort();
    int n = coordinates(s);
    if (n > DIMENSIONS) {
        err_set(e, ERR_UNSUPPORTED,
                "sobol: points of this space have up to %d parameters, the sequence has %d "
                "dimensions; lhs has no such limit",
                n, DIMENSIONS);
        close_sobol(s);
        return NULL;
    }
    for (int j = 0; j < DIMENSIONS; j++)
        s->shift[j] = (uint32_t)rng_below(s->m.rng, UINT64_C(1) << BITS);
    return s;
}

static bool ask(struct search *s, struct search_point *out)
{
    for (int i = 0; i < TRIES && s->m.state == UTIL_DRAWING; i++) {
        struct picking g = {.s = s};
        if (s->begun)
            gsl_qrng_get(s->sequence, g.x);
        s->begun = true;
        for (int j = 0; j < DIMENSIONS; j++)
            g.x[j] = ldexp((double)((uint32_t)ldexp(g.x[j], BITS) ^ s->shift[j]), -BITS);
        if (util_build(&s->m.space, s->m.level, pick, &g, out) && util_ask(&s->m, out))
            return true;
    }
    return util_new(&s->m, out);
}

static void tell(struct search *s, const struct search_point *p, const struct search_outcome *o)
{
    (void)s, (void)p, (void)o;
}

static bool done(const struct search *s)
{
    return s->m.state == UTIL_EXHAUSTED;
}

const struct search_ops search_sobol = {
    .name = "sobol",
    .doc = "a quasi-random sequence: more even than random, up to 40 parameters per point",
    .open = open_sobol,
    .ask = ask,
    .tell = tell,
    .done = done,
    .close = close_sobol,
};
