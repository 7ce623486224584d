// SPDX-License-Identifier: GPL-3.0-or-later
// Seeded streams over GSL (mt19937). Each consumer has its own stream, derived from the run's seed
// and the consumer's name, so that a new consumer never shifts the numbers of an old one.
#ifndef BASE_RNG_H
#define BASE_RNG_H

#include <stdint.h>

struct rng;
struct rng *rng_create(uint64_t seed, const char *stream);
void rng_destroy(struct rng *r);
double rng_uniform(struct rng *r);             // [0, 1)
uint64_t rng_below(struct rng *r, uint64_t n); // [0, n), n >= 1, unbiased
double rng_normal(struct rng *r);              // mean 0, deviation 1

#endif
