// SPDX-License-Identifier: GPL-3.0-or-later
// What the closed form of the systolic NPU (systolic.c) and its events (util_systolic_run.c) share.
#ifndef MODELS_NPU_SYSTOLIC_H
#define MODELS_NPU_SYSTOLIC_H

#include "models/npu/npu.h"

struct systolic_params {
    int64_t arrays, side;
    double clock, efficiency, integer_rate;
    int64_t tcm, buffer;
    int64_t stall, stall_integer, stall_decode; // ps
    double decode, dma;
    double vector, attention;
};

// The loop nest of one matmul.
struct systolic_nest {
    int64_t tiles;      // of the stationary operand
    int64_t panels;     // that it is cut into, one after the other on chip
    int64_t blocks;     // of streamed rows, for each panel
    int64_t streamed;   // rows
    int64_t stationary; // bytes in DRAM
    int64_t stream;     // bytes in DRAM of the streamed operand, moved once for each panel
    int64_t output;     // bytes
    bool bulk;          // the vector unit decodes blocks
    int64_t load;       // ps to load a tile into an array
    double rate;        // rows/s through an array
};
void systolic_nest(const struct systolic_params *p, const struct npu_matmul *s,
                   struct systolic_nest *out);

enum { SYSTOLIC_BURST = 64 << 10 }; // bytes that the DMA engine is given at a time

void *systolic_create(const void *params);
void systolic_destroy(void *run);
void systolic_start(void *run, const struct npu_matmul *s, struct npu_env *v);

#endif
