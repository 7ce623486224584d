// SPDX-License-Identifier: GPL-3.0-or-later
#include "base/rng.h"

#include <assert.h>
#include <gsl/gsl_errno.h>
#include <gsl/gsl_randist.h>
#include <gsl/gsl_rng.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include "base/digest.h"

struct rng {
    gsl_rng *gsl;
};

static pthread_once_t once = PTHREAD_ONCE_INIT;

// GSL's own handler aborts the process; its return codes are checked instead.
static void silence_gsl(void)
{
    gsl_set_error_handler_off();
}

struct rng *rng_create(uint64_t seed, const char *stream)
{
    pthread_once(&once, silence_gsl);
    struct rng *r = malloc(sizeof *r);
    if (r)
        r->gsl = gsl_rng_alloc(gsl_rng_mt19937);
    if (!r || !r->gsl) {
        fprintf(stderr, "partita: out of memory (random numbers)\n"); // as in arena.c
        abort();
    }
    uint64_t d = digest_str(digest_u64(DIGEST_INIT, seed), stream);
    d ^= d >> 32; // mt19937 takes a seed of 32 bits: fold, so that all 64 count
    gsl_rng_set(r->gsl, (unsigned long)(d & 0xffffffffu));
    return r;
}

void rng_destroy(struct rng *r)
{
    if (!r)
        return;
    gsl_rng_free(r->gsl);
    free(r);
}

double rng_uniform(struct rng *r)
{
    return gsl_rng_uniform(r->gsl);
}

static uint64_t bits64(struct rng *r)
{
    uint64_t high = gsl_rng_get(r->gsl); // 32 bits each
    return high << 32 | gsl_rng_get(r->gsl);
}

uint64_t rng_below(struct rng *r, uint64_t n)
{
    assert(n > 0);
    // 2^64 mod n values at the bottom would make small results likelier: draw again.
    uint64_t excess = (0 - n) % n, v;
    do
        v = bits64(r);
    while (v < excess);
    return v % n;
}

double rng_normal(struct rng *r)
{
    return gsl_ran_gaussian_ziggurat(r->gsl, 1);
}
