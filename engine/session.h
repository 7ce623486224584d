// SPDX-License-Identifier: GPL-3.0-or-later
// A session: one prompt through one configuration (model, machine, policy, sync scheme), measured.
// Prefill plan, decode plan, executor, sampler, result. Everything that `run`, `sim`, `explore` and
// `validate` report comes from here, so that it means the same in each of them.
#ifndef ENGINE_SESSION_H
#define ENGINE_SESSION_H

#include "engine/executor.h"
#include "engine/policy.h"
#include "engine/sampler.h"

// What a session does when a device fails for good in the middle of it.
enum session_on_loss {
    SESSION_STOP, // it ends with the device's error
    // It goes on without the device, with the same tokens: plans anew for what is left and repeats
    // the pass that failed. A policy that cannot do without the device is replaced by the first of
    // hetero_tensor, gpu_only, cpu_only, npu_only (with default options) that can.
    SESSION_CONTINUE,
};

struct session_request {
    struct machine *machine;
    const struct model *model;
    const struct policy_ops *policy;
    const void *policy_options;
    const struct sync_ops *sync;
    const void *sync_options;
    const struct cost_table *cost; // overheads of `sync` included; see session_profile
    const int32_t *prompt;         // NULL on a timing-only machine
    int n_prompt;                  // >= 1
    int n_gen;                     // tokens to generate, >= 1
    int n_ctx;                     // 0: n_prompt + n_gen
    struct sampler_options sampler;
    // Called for each generated token (may be NULL); a non-zero return stops the generation.
    int (*on_token)(void *user, int32_t id);
    void *user;
    bool (*is_end)(void *user, int32_t id); // may be NULL: generate n_gen tokens
    const struct trace_sink *trace;         // NULL: none
    enum session_on_loss on_loss;
};

// A device that was lost, and what going on without it took.
struct session_loss {
    const char *device;
    const char *policy; // that went on
    int token;          // generated before: 0: it was lost in the prefill, or before
    int kept;           // cached tokens that were still good; those after were computed again
    int redone;         // tokens computed again, those of the failed pass included
    double lost_ms;     // from the beginning of the failed pass until the failure was noticed
    double recovery_ms; // from then until the pass was done
    char why[320];
};

struct session_device {
    const char *name;
    struct device_stats stats;
    struct work work;   // handed over by the executor
    double utilisation; // busy time over elapsed time
    bool lost;
    double energy_j; // NaN: unknown
};

// Frames that a game beside the engine got in one phase.
struct session_frames {
    double rate; // shown per second; NaN without a game or without the phase
    uint64_t shown, late, dropped;
};

struct session_result {
    int n_prompt, n_gen; // tokens in, tokens out
    int32_t *tokens;     // [n_gen] generated ids; owned by the result; NULL without values
    double ttft_ms;      // first submission to first token
    double tpot_ms;      // mean time per further token; NaN with one token
    double prefill_tok_s, decode_tok_s;
    double total_ms;
    double prepare_ms; // static graphs: prepared ahead (not in TTFT) or online (in TTFT)
    double energy_j, energy_prefill_j, power_prefill_w; // NaN: unknown
    double bytes_moved, bytes_decode; // by all devices; all of it, and the decode phase's part
    double decode_gb_s;               // bytes_decode over decode time
    double copied_bytes;              // by map(), for devices that are not coherent
    double memory_bytes;              // weights, buffers, KV cache; what devices hold besides
    double predicted_prefill_ms, predicted_decode_ms; // by the policy's plan; NaN: none
    double temperature_c;                             // the highest; NaN: unknown
    double throttled;                                 // share of the time at lowered clocks
    double frame_rate;                                // that the game wants; 0: there is none
    struct session_frames frames_prefill, frames_decode;
    int activation_bits; // the least in which a matmul takes its activations; 0: unknown
    uint64_t submissions, joins;
    uint64_t plan_prefill, plan_decode; // digests
    uint64_t logits_digest;             // of the last logits' bytes (0 without values)
    uint64_t digest; // tokens, plans and, on a simulated machine, the event trace
    int n_devices;
    struct session_device device[MACHINE_MAX_DEVICES];
    int n_losses; // in the order of their failures; times, work and rates above include them
    struct session_loss loss[MACHINE_MAX_DEVICES];
};

// Fills the cost table for a session of this size (operators and the scheme's overheads).
int session_profile(struct machine *m, const struct model *model, int n_prompt, int n_gen,
                    struct cost_table *t, struct err *e);

// Plans both phases and runs nothing: fills what is known by then (predictions, digests of the
// plans, activation_bits); times, rates, energies and memory are NaN.
int session_plan(const struct session_request *q, struct session_result *out, struct err *e);

int session_run(const struct session_request *q, struct session_result *out, struct err *e);
void session_result_fini(struct session_result *r);

// The plans that session_run would execute, with the graphs that they are for.
struct session_plans {
    struct graph prefill_graph, decode_graph;
    struct plan prefill, decode;
};
int session_plans_make(const struct session_request *q, struct session_plans *out, struct err *e);
void session_plans_fini(struct session_plans *p);
// Writes plans of both phases as text (what `partita sim --plan` shows).
int session_print_plans(const struct session_request *q, FILE *f, struct err *e);

// The audit of a finished session: work handed out equals the model's work, bytes are conserved, no
// device was busy for more than the elapsed time.
int session_audit(const struct session_request *q, const struct session_result *r, struct err *e);

#endif
