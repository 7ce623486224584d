// SPDX-License-Identifier: GPL-3.0-or-later
// The simulated NPU: static graphs and a queue around a micro-architecture (models/npu/npu.h).
#ifndef MODELS_SOC_NPU_H
#define MODELS_SOC_NPU_H

#include "models/npu/npu.h"
#include "models/soc/agent.h"

struct npu_params {
    const char *name, *model;   // model: a name of npu_registry
    struct conf_int_list sizes; // standard graph sizes, ascending
    int64_t max_graphs;         // resident
    int64_t memory;             // bytes that it can address; 0: all
    int64_t prepare;            // ps to build any graph
    int64_t prepare_kib;        // ps more per KiB of its activation tensors
    int arithmetic;             // enum npu_arithmetic: of matmuls of several tokens
    int64_t integer_bits;       // of an activation on the integer path of one token
    int64_t wake_integer;       // ps to wake the integer path, on top of the queue's wake
};
enum npu_arithmetic { NPU_FP16, NPU_INT8 };
extern const struct conf_row npu_rows[];
extern const size_t npu_n_rows;

struct npu_graph {
    int rows, k, n;
    enum operand_order order;
};

// Cycle level: the device as the environment of a run of its micro-architecture.
struct npu_run {
    struct npu_env env; // first
    struct npu *npu;
    void *state;         // of the micro-architecture; NULL: it has no cycle level
    uint64_t address[3]; // of the operands
    struct npu_move {
        struct dram_transfer t; // first
        struct npu_run *run;
        int tag;
    } move[NPU_DMA_TAGS];
};

struct npu {
    struct agent agent; // first
    struct npu_run run;
    struct npu_params p;
    const struct npu_model_ops *model;
    const void *params;      // of the model
    struct npu_graph *graph; // [max_graphs]
    int n_graphs;
};

int npu_open(const struct npu_params *p, const struct npu_model_ops *model, const void *params,
             const struct queue_params *q, struct machine *m, int index, struct control *host,
             struct dram *dram, struct device **out, struct err *e);

#endif
