// SPDX-License-Identifier: GPL-3.0-or-later
// NPU micro-architectures. One = one file in models/npu/ that exports one
// `const struct npu_model_ops npu_NAME`; the registry is generated. A micro-architecture knows how
// long its arrays and its vector unit need for a piece of work and which bytes they move; queues,
// graphs, wake-up and the sharing of DRAM belong to the device around it (models/soc/npu.c).
//
// At flow level everything is pure: shape in, cost out. A micro-architecture may also run a matmul
// event by event (cycle level), through an environment that moves its data and knows its clock.
// Both levels move the same bytes.
#ifndef MODELS_NPU_NPU_H
#define MODELS_NPU_NPU_H

#include <stdbool.h>
#include <stddef.h>
#include "base/conf.h"
#include "engine/op.h"
#include "sim/sim.h"

// out[n, m] = in[n, k] . W[m, k], n being the size of the static graph.
struct npu_matmul {
    int m, k, n;
    enum operand_order order;
    double weight_bytes;  // of the m * k weights as they lie in memory, a whole number
    double act_bytes;     // per activation value
    double port;          // bytes/s that the device alone reads from the memory
    double drain;         // bytes/s that it alone writes
    bool quantised;       // the weights must be decoded before the arrays can use them
    bool integer;         // integer arithmetic: one token of quantised weights, or an INT8 engine
    double operand_bytes; // of a value on chip
};

struct npu_cost {
    double compute; // s: the slowest of arrays, vector unit and DMA, which overlap, and what does
                    // not: the first data's way in, the last results' way out
    double array;   // s: the arrays alone, tile loads included
    double decode;  // s: the vector unit's decoding of weights
    double dma;     // s: all bytes at the DMA's own rate
    double bytes;   // moved from and to DRAM, reloads included, a whole number
    double written; // of these, to DRAM
    double blocks;  // blocks of streamed rows; the stationary operand is loaded once for each
    double panels;  // pieces of the stationary operand that fit on chip, one after the other
};

struct npu_peak {
    double flops, ops; // FP16 flop/s, INT8 op/s: what the data sheet multiplies out to
};

enum npu_operand { NPU_WEIGHT, NPU_INPUT, NPU_OUTPUT };
enum { NPU_DMA_TAGS = 8 };

// One transfer of the DMA engine between an operand in DRAM and the on-chip memory. Transfers start
// in the order in which they are asked for.
struct npu_dma {
    int tag;                  // 0 .. NPU_DMA_TAGS - 1; one transfer at a time for each
    enum npu_operand operand; // outputs are written, the others read
    int64_t offset, bytes;    // in the operand
    double rate;              // bytes/s of the engine
};

// What a run needs of the device around it. The device fills in all but `arrived`.
struct npu_env {
    struct sim *sim;
    int64_t (*clock)(struct npu_env *v, int64_t ps); // what takes so long at full clock, from now
    void (*transfer)(struct npu_env *v, const struct npu_dma *t);
    void (*done)(struct npu_env *v);             // the operator is complete
    void (*arrived)(struct npu_env *v, int tag); // set by the run: a transfer is complete
    void *run;                                   // its state
};

struct npu_model_ops {
    const char *name;
    const char *doc;             // one sentence
    const struct conf_row *rows; // the group npu.arch
    size_t n_rows;
    size_t params_size;
    int (*check)(const void *params, struct err *e); // do the values fit together?
    int (*tile)(const void *params);                 // side of an array: granule of rows
    void (*peak)(const void *params, struct npu_peak *out);
    void (*matmul)(const void *params, const struct npu_matmul *s, struct npu_cost *out);
    double (*vector)(const void *params, enum op_kind kind, double flops); // s
    // Cycle level; NULL: none, the device then spreads the closed form over its traffic. `create`
    // allocates the state of one run at a time (NULL: no memory); `start` forgets the last one.
    void *(*create)(const void *params);
    void (*destroy)(void *run);
    void (*start)(void *run, const struct npu_matmul *s, struct npu_env *v);
};

extern const struct npu_model_ops *const npu_registry[];
extern const size_t npu_registry_count;

// NULL: e names the nearest.
const struct npu_model_ops *npu_find(const char *name, struct err *e);

#endif
