// SPDX-License-Identifier: GPL-3.0-or-later
// System-level cache in front of the memory, at two levels of detail.
//
// It holds activations only: weights are read once per step and would do nothing but evict. It is
// written through, so every write reaches the DRAM and only reads are saved. At cycle level it is
// a set-associative cache by address with least recently used replacement; at flow level the same
// thing by stack distance: a buffer that was touched less than the cache's size ago, counted in
// bytes that entered since, is still there.
#ifndef MODELS_SOC_SLC_H
#define MODELS_SOC_SLC_H

#include <stdbool.h>
#include <stdint.h>
#include "base/err.h"

struct slc {
    int64_t size, line;
    int64_t sets, ways;
    uint64_t *tag;  // [sets * ways], most recent first; 0: empty. NULL: none
    double entered; // bytes brought in so far
    double hits;    // bytes served
};

int slc_open(struct slc *c, int64_t size, int64_t ways, int64_t line, struct err *e);
void slc_close(struct slc *c);
void slc_reset(struct slc *c);
// One piece of at most a line at `address`: was it there? It is afterwards. (Cycle level.)
bool slc_touch(struct slc *c, uint64_t address, int64_t bytes, bool write);
// A buffer of `bytes`, last touched when `entered` was *stamp (negative: never): bytes of a read
// that hit. (Flow level.)
int64_t slc_reuse(struct slc *c, double *stamp, int64_t bytes, bool write);

#endif
