// SPDX-License-Identifier: GPL-3.0-or-later
// What the host and the skel on the compute DSP say to each other. Both compile this file: the host
// with 64-bit pointers, the DSP with 32-bit ones, char unsigned and short enums. So it holds
// nothing but stdint types and floats, every size is asserted, and memory is named by arena and
// offset, never by pointer.
//
// Memory. An arena is one allocation that host and DSP share (rpcmem on a phone, a memfd under the
// emulator), announced once by METHOD_MAP under an id that the host chooses. Arena 0 begins with
// the ring.
//
// Control. METHOD_RUN occupies one host thread: on the DSP it executes messages of the ring in
// order until it has a reason to return. Message number s (1, 2, ...) lies in slot s % slots; the
// host stores `head` = s with release order behind it, and the DSP stores `done` = s with release
// order behind the results. `done` is the device's flag word: whoever loads s from it with acquire
// order also sees the results of messages 1..s. The host never runs more than `slots` ahead.
//
// A DSP cannot wake a sleeping host by itself. A host thread that wants to sleep until message s is
// done stores `wake` = s: RUN returns as soon as done >= wake > 0, which on a phone is the driver's
// own interrupt. Whoever called RUN then stores 0 and calls it again. RUN also returns after
// `idle_turns` turns without a message (a polling DSP costs power); the host calls it again when
// there is one.
#ifndef ENGINE_HOST_NPU_PROTOCOL_H
#define ENGINE_HOST_NPU_PROTOCOL_H

#include <stdint.h>

#define NPU_ASSERT(what) _Static_assert(what, #what)

enum { NPU_MAGIC = 0x5054414e, NPU_VERSION = 1 };
// Ticks per second of the DSP's clock.
enum { NPU_CLOCK_HZ = 19200000 };
enum { NPU_MAX_ARENAS = 512, NPU_SLOTS = 256, NPU_LINE = 128, NPU_MESSAGE_BYTES = 384 };

// FastRPC methods of the skel. 0 and 1 are those that every handle has.
enum npu_method {
    METHOD_OPEN,
    METHOD_CLOSE,
    METHOD_INFO,  // out: struct npu_info
    METHOD_MAP,   // in: struct npu_map
    METHOD_UNMAP, // in: uint32_t id
    METHOD_RUN,   // in: struct npu_run; out: struct npu_ran
};

struct npu_info {
    uint32_t version;   // NPU_VERSION of the skel
    uint32_t arch;      // 68, 69, 73; 0: compiled for the host, without HVX
    uint32_t hvx_bytes; // of a vector; 0: none
    uint32_t vtcm_bytes;
};
NPU_ASSERT(sizeof(struct npu_info) == 16);

struct npu_map {
    uint32_t id; // < NPU_MAX_ARENAS
    int32_t fd;
    uint64_t size; // bytes
};
NPU_ASSERT(sizeof(struct npu_map) == 16);

struct npu_run {
    uint32_t idle_turns; // 0: never return for want of work
    uint32_t reserved;
};
NPU_ASSERT(sizeof(struct npu_run) == 8);

enum npu_reason { NPU_RAN_IDLE = 1, NPU_RAN_WAKE, NPU_RAN_STOP, NPU_RAN_FAILED };
struct npu_ran {
    uint32_t reason; // enum npu_reason
    uint32_t status; // enum npu_status of the message that failed
    uint64_t done;
};
NPU_ASSERT(sizeof(struct npu_ran) == 16);

// Why a message was refused. After a refusal nothing completes any more.
enum npu_status {
    NPU_OK,
    NPU_BAD_OP,     // unknown operator
    NPU_BAD_ARENA,  // an arena that is not mapped
    NPU_BAD_BOUNDS, // a tensor that leaves its arena
    NPU_BAD_SHAPE,  // sizes that contradict each other or are not supported
    NPU_BAD_GRAPH,  // not a graph prepared for this shape
    NPU_STATUS_COUNT
};

// Each group on lines of its own: one writer per line.
struct npu_ring {
    uint32_t magic, version, slots, message_bytes; // constant
    uint8_t pad0[NPU_LINE - 16];
    uint64_t head; // written by the host
    uint64_t wake;
    uint32_t stop; // not 0: RUN returns before the next message
    uint8_t pad1[NPU_LINE - 20];
    uint64_t done;    // written by the DSP
    uint64_t packets; // executed in messages so far (0 where nobody counts)
    uint32_t status;  // enum npu_status of message done + 1 if it failed
    uint8_t pad2[NPU_LINE - 20];
};
NPU_ASSERT(sizeof(struct npu_ring) == 3 * NPU_LINE);

enum npu_op {
    NPU_NOP,
    NPU_PREPARE, // builds the graph object `graph` for (weights' class, m0, m1, k, n_pad, order)
    NPU_EMBED,
    NPU_RMSNORM,
    NPU_MATMUL,
    NPU_ROPE,
    NPU_ATTENTION,
    NPU_SWIGLU,
    NPU_ADD,
    NPU_OPS
};

// Rows of bytes in an arena. arena = NPU_NO_TENSOR: there is none.
#define NPU_NO_TENSOR UINT32_MAX
struct npu_tensor {
    uint32_t arena;
    uint32_t offset; // bytes, of row 0
    uint32_t pitch;  // bytes per row; of packed weights: per row of tiles
    uint32_t rows;   // of packed weights: weight rows (not tiles)
};
NPU_ASSERT(sizeof(struct npu_tensor) == 16);

// How weights lie in memory: see layout.h.
enum npu_weights { NPU_W_F32, NPU_W_I8, NPU_W_I4, NPU_W_CLASSES };

// One task, as engine/op.h has it: m0..m1 output columns, n0..n1 tokens of the step.
struct npu_message {
    uint32_t op;    // enum npu_op
    int32_t layer;  // for errors
    int32_t m, k;   // of the operator
    int32_t m0, m1; // stacked rows of this slice
    int32_t n0, n1, n_pad, out_n0, n_past;
    uint32_t order; // enum operand_order
    int32_t n_parts;
    uint32_t weights[2]; // enum npu_weights of each part
    uint32_t halves[2];  // scales per row and tile of 32 columns: 1, or 2 (layout.h)
    uint32_t minima[2];  // 1: blocks have minima
    int32_t n_head, n_head_kv, d_head;
    int32_t rope_dim, rope_halves; // rope_halves: pairs (i, i + d/2), else (2i, 2i+1)
    float eps;
    float scale; // of attention scores
    struct npu_tensor in, in2, out, kcache, vcache;
    struct npu_tensor w[2], bias[2];
    struct npu_tensor angles; // ROPE: F32 [position][rope_dim / 2][cos, sin]
    struct npu_tensor graph;  // one row: the graph object and its scratch
    // Weight row, a multiple of 32, that w[i].offset is the address of: rows before it are not in
    // memory. w[i].rows are the tensor's all the same.
    int32_t first[2];
    uint8_t pad[NPU_MESSAGE_BYTES - 28 * 4 - 11 * 16 - 2 * 8];
    uint64_t began, ended; // written by the DSP before `done`: HAP_perf_get_qtimer_count()
};
NPU_ASSERT(sizeof(struct npu_message) == NPU_MESSAGE_BYTES);

#endif
