// SPDX-License-Identifier: GPL-3.0-or-later
// A search space: configs/space/NAME.cfg.
//
//     machine = "soc:sd8gen3";
//     model = "llama3-8b";
//     prompt = 256;
//     gen = 32;
//     objectives = ["ttft_ms", "tpot_ms", "energy_j"];
//     constraints = ["memory_bytes <= 6 GB", "quality unchanged"];
//     policies = ( {name = "gpu_only";},
//                  {name = "hetero_tensor"; parts = {from = 4; to = 16; step = 4;}; margin = "5
//                  %";} );
//     syncs = ( {name = "poll";}, {name = "sleep_poll"; margin = ["50 us", "100 us"];} );
//     soc = ( {key = "dram.timing.channels"; values = [2, 4];} );
//
// An option written as an array or a range is a parameter with those choices, as a scalar it is
// fixed; an option that is a list itself takes `[..]` when fixed and `( [..], [..] )` as a
// parameter. An option is a parameter only of points that use its policy (or scheme): elsewhere it
// is SEARCH_UNUSED. All keys: docs/spaces.md.
//
// Everything is validated when the space is loaded, so that a campaign cannot fail on a typo after
// an hour: options by the rows of their owners, what needs machines and the model by evaluate_check
// (explore/evaluate.h).
//
// Invariant: two different canonical points resolve to two different configurations.
#ifndef EXPLORE_SPACE_H
#define EXPLORE_SPACE_H

#include "engine/machine.h"
#include "explore/metrics.h"
#include "explore/requests.h"
#include "explore/search.h"

enum { SPACE_MAX_PLUGS = 48, SPACE_MAX_SOC = 16 };

// In this order in every point: SoC keys, policy, its options, scheme, its options.
enum space_kind {
    SPACE_SOC,
    SPACE_POLICY,
    SPACE_POLICY_OPTION,
    SPACE_SYNC,
    SPACE_SYNC_OPTION,
};

struct space_param {
    enum space_kind kind;
    const char *name; // "dram.timing.channels", "policy", "hetero_tensor.parts", "sync", ..
    const char *key;  // the option's own name: "parts"
    int owner;        // options: which choice of the policy (or sync) parameter has it
    int n;            // >= 1
    const char **choice;
    bool ordered; // the choices are quantities in rising order
    const char *file;
    int line;
};

// A bound on a metric that feasible points keep, on every machine: value <= limit, or (at_least)
// value >= limit, in the metric's unit.
struct space_constraint {
    enum metric metric;
    bool at_least;
    double limit;
    const char *text; // as written
    int line;
};

// How a point is evaluated. OWN: as the machine's configuration says, where the space names no
// level. From ESTIMATE (plans and their own predictions; nothing runs) each is dearer and nearer to
// the truth.
enum space_level {
    LEVEL_OWN,
    LEVEL_ESTIMATE,
    LEVEL_FLOW,
    LEVEL_CYCLE,
    LEVEL_HARDWARE,
    LEVEL_COUNT
};

enum { SPACE_MAX_REQUESTS = 64, SPACE_MAX_CONSTRAINTS = 8 };

// A policy or scheme of the space.
struct space_plug {
    const char *name;
    const char *fixed; // "key=value,key=value" of its scalar options, or ""
};

struct space {
    const char *path, *name; // the file; its name without folder and suffix
    const char *machine, *model;
    int n_prompt, n_gen;
    int n_machines; // >= 1; machines[0] is `machine`
    const char *machines[METRICS_MAX_MACHINES];
    enum metrics_aggregate aggregate;
    int n_requests; // >= 1; n_prompt is the longest prompt of them, n_gen the longest generation
    struct space_request request[SPACE_MAX_REQUESTS];
    const char *trace;           // the file that the requests stand for, as found; NULL: none
    struct trace_summary traced; // what they leave out
    int n_constraints;
    struct space_constraint constraint[SPACE_MAX_CONSTRAINTS];
    int n_levels; // >= 1
    enum space_level kind[SEARCH_MAX_LEVELS];
    const char *level[SEARCH_MAX_LEVELS]; // its name; "": the machine's own
    int n_objectives;
    enum metric objective[SEARCH_MAX_OBJECTIVES];
    int n_params;
    struct space_param param[SEARCH_MAX_PARAMS];
    int policy_param, sync_param; // their indices in param
    int n_policies, n_syncs;
    struct space_plug policy[SPACE_MAX_PLUGS], sync[SPACE_MAX_PLUGS];
    uint64_t digest; // of machines, model, requests, levels, rules, objectives and all choices
    struct conf *conf;
    struct arena arena;
};

int space_open(const char *path, struct space **out, struct err *e);
int space_open_text(const char *name, const char *text, struct space **out, struct err *e);
void space_close(struct space *s);
// Opens a machine once with each value of each SoC key; an error points into the space.
int space_check_machine(const struct space *s, const struct machine_factory *f, struct err *e);
// What the model alone rules out: requests beyond its context, a limit of memory below its weights.
struct model;
int space_check_model(const struct space *s, const struct model *m, struct err *e);
// By how much a point misses the constraints: the sum over them of the relative excess on the worst
// machine (over a limit of 0: the value itself). 0: all hold. What is unknown is not counted.
double space_violation(const struct space *s, const struct metrics *m);
// Gives an error without a place that of a key of the space ("machine", "model").
void space_locate(const struct space *s, const char *key, struct err *e);

// Number of distinct canonical points.
int64_t space_count(const struct space *s);
// Sets options of other policies and schemes to SEARCH_UNUSED; false: an index is out of range.
bool space_canonical(const struct space *s, struct search_point *p);
// The space as searchers see it.
void space_search(const struct space *s, struct search_space *out);

// A point in the words of the rest of the program.
struct space_config {
    const char *policy, *sync; // specs: "hetero_tensor:parts=8,margin=5 %"
    const char *soc;           // overrides joined by "; ", or ""
    int n_overrides;
    const char *override[SPACE_MAX_SOC]; // "dotted.key=value"
    const char *level;                   // as in struct space
    const char *label;                   // "hetero_tensor:parts=8 + poll, dram.efficiency=80 %"
};
// `p` must be canonical. Strings live in the arena.
void space_resolve(const struct space *s, const struct search_point *p, struct arena *a,
                   struct space_config *out);
// Of machines, model, requests, level, overrides and every resolved option.
uint64_t space_config_digest(const struct space *s, const struct space_config *g);

#endif
