// SPDX-License-Identifier: GPL-3.0-or-later
// Chooses the next token from logits. temperature 0 is greedy (the lowest id wins a tie); otherwise
// top-k, then top-p, then min-p cut the candidates, and a seeded stream draws.
#ifndef ENGINE_SAMPLER_H
#define ENGINE_SAMPLER_H

#include <stdint.h>
#include "base/err.h"

struct sampler_options {
    double temperature; // 0: greedy
    int top_k;          // 0: all
    double top_p;       // 1: all
    double min_p;       // 0: all
    uint64_t seed;
};

struct sampler;
int sampler_create(const struct sampler_options *o, int n_vocab, struct sampler **out,
                   struct err *e); // refuses negative temperature, top_p outside (0, 1], ...
void sampler_destroy(struct sampler *s);
int32_t sampler_pick(struct sampler *s, const float *logits); // allocates nothing

#endif
