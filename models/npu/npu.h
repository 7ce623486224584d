// SPDX-License-Identifier: GPL-3.0-or-later
// NPU micro-architectures. One = one file in models/npu/ that exports one
// `const struct npu_model_ops npu_NAME`; the registry is generated. A micro-architecture knows how
// long its arrays and its vector unit need for a piece of work and which bytes they move; queues,
// graphs, wake-up and the sharing of DRAM belong to the device around it (models/soc/npu.c).
//
// Everything here is pure: shape in, cost out. Same shape, same cost.
#ifndef MODELS_NPU_NPU_H
#define MODELS_NPU_NPU_H

#include <stdbool.h>
#include <stddef.h>
#include "base/conf.h"
#include "engine/op.h"

// out[n, m] = in[n, k] . W[m, k], n being the size of the static graph.
struct npu_matmul {
    int m, k, n;
    enum operand_order order;
    double weight_bytes; // of the m * k weights as they lie in memory
    double act_bytes;    // per activation value
    bool quantised;      // the weights must be decoded before the arrays can use them
    bool integer;        // the integer path: one token, quantised weights
};

struct npu_cost {
    double compute; // s: the slowest of arrays, vector unit and DMA, which overlap
    double array;   // s: the arrays alone, tile loads included
    double decode;  // s: the vector unit's decoding of weights
    double dma;     // s: all bytes at the DMA's own rate
    double bytes;   // moved from and to DRAM, reloads included
    double blocks;  // blocks of streamed rows; the stationary operand is loaded once for each
    double panels;  // pieces of the stationary operand that fit on chip, one after the other
};

struct npu_peak {
    double flops, ops; // FP16 flop/s, INT8 op/s: what the data sheet multiplies out to
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
};

extern const struct npu_model_ops *const npu_registry[];
extern const size_t npu_registry_count;

// NULL: e names the nearest.
const struct npu_model_ops *npu_find(const char *name, struct err *e);

#endif
