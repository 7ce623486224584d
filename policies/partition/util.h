// SPDX-License-Identifier: GPL-3.0-or-later
// What the partition policies share: the two partners of a split and the one shape that every
// strategy of the papers is an instance of.
//
// A split cuts the output of a matmul, rows [0, M) x tokens [0, N), at row `cut` and at token
// `covered`. The NPU takes rows [cut, M) of tokens [0, covered) on static graphs of the sizes in
// `size`; the flexible partner (GPU or CPU) takes the rest in dynamic shapes:
//
//              tokens 0 ...... covered ... N
//     rows 0     +------------------------+
//                |      flexible          |
//     rows cut   +----------------+-------+
//                |      NPU       | flex. |
//     rows M     +----------------+-------+
//
//     flexible only: cut = M.         NPU only: cut = 0, covered = N.
//     weight-centric: 0 < cut < M, covered = N.   activation-centric: cut = 0, covered < N.
//     hybrid: 0 < cut < M and covered < N, or a padded graph.
#ifndef POLICIES_PARTITION_UTIL_H
#define POLICIES_PARTITION_UTIL_H

#include "engine/policy.h"

enum { SPLIT_MAX_GRAPHS = 40, SPLIT_MAX_SHARDS = SPLIT_MAX_GRAPHS + 2 };

struct split {
    int cut, covered;
    int n_graphs;
    int size[SPLIT_MAX_GRAPHS]; // standard sizes, in order of tokens; the last may be padded
    enum operand_order order;
};

// Who takes part: -1 when absent.
struct partners {
    int flexible; // GPU or CPU
    int npu;
    int order; // enum order_choice for the NPU's graphs
};

// The row that every splitting policy has, and its meaning.
enum partner_choice { PARTNER_AUTO, PARTNER_GPU, PARTNER_CPU };
#define PARTNER_ROW(owner)                                                                         \
    {                                                                                              \
        .name = "partner", .type = CONF_ENUM, .fallback = "auto", .choices = "auto|gpu|cpu",       \
        .doc = "the flexible device beside the NPU; auto: the GPU, else the CPU",                  \
        .offset = offsetof(owner, partner)                                                         \
    }

// The row that every splitting policy has for the operand order of the NPU's graphs. A device that
// knows one order only has that one, whatever was asked for.
enum order_choice { ORDER_CHOICE_BEST, ORDER_CHOICE_STREAMED, ORDER_CHOICE_STATIONARY };
#define ORDER_ROW(owner)                                                                           \
    {                                                                                              \
        .name = "order", .type = CONF_ENUM, .fallback = "best",                                    \
        .choices = "best|streamed|stationary",                                                     \
        .doc = "operand order of NPU graphs: weight streamed, weight tiles stationary, or the "    \
               "better one by the cost table",                                                     \
        .offset = offsetof(owner, order)                                                           \
    }

// Finds both; the order is the best. An error names the policy and the missing device.
int partners_find(const struct machine_desc *d, int choice, const char *policy,
                  struct partners *out, struct err *e);

// Does this operator run in this step (the head only in the last one)?
bool util_runs(const struct graph *g, const struct op *op, int n1);
// Tokens that an operator processes in a step of n tokens.
int util_tokens(const struct op *op, int n);
// Places every operator that is not a matmul on `device`, or on the first device that can do it.
void util_place_rest(struct plan *p, struct plan_step *s, const struct graph *g,
                     const struct machine_desc *d, int device);
// Sum over all layers of what one device predicts for an operator; negative: unknown.
double util_whole_cost(const struct cost_table *c, int device, const struct op *op, int n,
                       int n_kv);

// Covers tokens [0, n) with graphs. Fit: the largest sizes that fit, one after another, until less
// than the smallest size is left (returned as covered < n). Pad: one graph of the smallest size
// that holds all (or the largest ones first), the last padded. `sizes` restricts the choice (n = 0:
// all of the device's).
void split_cover_fit(const struct device_caps *npu, const struct conf_int_list *sizes, int n,
                     bool several, struct split *s);
bool split_cover_pad(const struct device_caps *npu, const struct conf_int_list *sizes, int n,
                     struct split *s);
// Fit with several sizes, and the rest on the smallest one, padded.
bool split_cover_all(const struct device_caps *npu, const struct conf_int_list *sizes, int n,
                     struct split *s);

// Predicted time (ps) of each partner's part; -1 when the table does not know a shape. Sets the
// operand order that w->order asks for.
struct split_cost {
    double flexible, npu;
};
bool split_estimate(const struct cost_table *c, const struct machine_desc *d,
                    const struct partners *w, const struct op *op, int n, struct split *s,
                    struct split_cost *out);
// max of the two, slower together when memory-bound (one token), plus the hand-overs.
double split_total(const struct cost_table *c, const struct partners *w, const struct op *op, int n,
                   const struct split *s, const struct split_cost *t);
// How the policies that cut rows choose the cut; they embed it with BALANCE_ROWS.
enum { BALANCE_MAX_PARTS = 64 };
struct balance {
    double share;  // rows of the flexible partner, in whole tiles; 0: sought
    int64_t parts; // among multiples of 1/parts of the rows (0 and 1 excluded)
    double slack;  // of those within this of the best, the simplest ratio
};
// The rows of part/parts of an operator, in whole tiles.
int split_cut(const struct op *op, int part, int parts, int tile);
// Moves the cut. Returns the total, negative when unknown: then the cut is where it was, or at the
// share that was asked for.
double split_balance(const struct cost_table *c, const struct machine_desc *d,
                     const struct partners *w, const struct op *op, int n,
                     const struct balance *how, struct split *s);

// The shards of a split in order of submission, out[SPLIT_MAX_SHARDS]; returns their number.
int split_shards(const struct op *op, int n, const struct partners *w, const struct split *s,
                 struct shard *out);
void split_emit(struct plan *p, struct plan_step *st, const struct op *op, int n,
                const struct partners *w, const struct split *s);

// A one-step plan with every operator on one device with dynamic shapes. `what` names it in the
// error when device is -1.
int util_single_plan(const char *policy, const struct graph *g, const struct machine_desc *d,
                     const struct cost_table *c, int device, const char *what, struct plan *out,
                     struct err *e);

// A one-step plan in which `choose` decides the split of every matmul.
typedef int split_choose_fn(const struct op *op, int n, const struct machine_desc *d,
                            const struct cost_table *c, const struct partners *w,
                            const void *options, struct split *out, double *ps, struct err *e);
int util_split_plan(const char *policy, const struct graph *g, const struct machine_desc *d,
                    const struct cost_table *c, int partner, int order, const void *options,
                    split_choose_fn *choose, struct plan *out, struct err *e);

// What a policy that gives whole matmuls to the NPU does with a single token, where an NPU is weak.
enum decode_choice { DECODE_BEST, DECODE_NPU, DECODE_FLEXIBLE };
#define DECODE_ROW(owner)                                                                          \
    {                                                                                              \
        .name = "decode", .type = CONF_ENUM, .fallback = "best", .choices = "best|npu|flexible",   \
        .doc = "who computes the matmuls of a single token; best: by the cost table",              \
        .offset = offsetof(owner, decode)                                                          \
    }
#define SIZES_ROW(owner, value)                                                                    \
    {                                                                                              \
        .name = "sizes", .type = CONF_INT_LIST, .fallback = value, .min = 1, .max = 65536,         \
        .doc = "standard graph sizes (tokens) that may be used; []: all of the device's",          \
        .offset = offsetof(owner, sizes)                                                           \
    }

#define BALANCE_PARTS_ROWS(owner, member)                                                          \
    {.name = "parts",                                                                              \
     .type = CONF_INT,                                                                             \
     .fallback = "8",                                                                              \
     .min = 2,                                                                                     \
     .max = BALANCE_MAX_PARTS,                                                                     \
     .doc = "row cuts are sought in multiples of 1/parts of the rows",                             \
     .offset = offsetof(owner, member.parts)},                                                     \
    {                                                                                              \
        .name = "slack", .type = CONF_REAL, .unit = UNIT_PERCENT, .fallback = "3 %", .max = 1,     \
        .doc = "of cuts within this of the best, the simplest ratio: fewer distinct graphs",       \
        .offset = offsetof(owner, member.slack)                                                    \
    }
#define BALANCE_ROWS(owner, member)                                                                \
    {.name = "share",                                                                              \
     .type = CONF_REAL,                                                                            \
     .unit = UNIT_PERCENT,                                                                         \
     .fallback = "0 %",                                                                            \
     .max = 1,                                                                                     \
     .doc = "rows of the flexible partner; 0 %: balanced by the cost table",                       \
     .offset = offsetof(owner, member.share)},                                                     \
        BALANCE_PARTS_ROWS(owner, member)

// Given a split in which the NPU takes everything (cut = 0, all covered), keeps it or, for a single
// token, hands the operator to the flexible partner as `decode` says. Sets *ps.
int util_npu_or_flexible(const char *policy, const struct op *op, int n,
                         const struct machine_desc *d, const struct cost_table *c,
                         const struct partners *w, int decode, struct split *s, double *ps,
                         struct err *e);
// The split that leaves everything to the flexible partner.
struct split split_flexible(const struct op *op);

#endif
