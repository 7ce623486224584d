// SPDX-License-Identifier: GPL-3.0-or-later
// What the files behind explore/experiment.h share.
//
//     experiment.c          opening, finding, predicting: the table of kinds
//     experiment_load.c     the file
//     experiment_device.c   kinds that measure devices
//     experiment_session.c  kinds that plan or run whole sessions, and their cache
#ifndef EXPLORE_EXPERIMENT_INTERNAL_H
#define EXPLORE_EXPERIMENT_INTERNAL_H

#include "base/conf.h"
#include "engine/session.h"
#include "explore/experiment.h"

// What a prediction is before its unit: inside, values are in base units (ps, bytes/s, flop/s, W,
// J, tokens/s, frames/s, fractions).
enum dimension {
    DIM_TEXT,
    DIM_COUNT,
    DIM_RATIO,
    DIM_COMPUTE,
    DIM_BANDWIDTH,
    DIM_TIME,
    DIM_POWER,
    DIM_ENERGY,
    DIM_TOKENS,
    DIM_FRAMES,
};

// A number that a session yields.
struct session_metric {
    const char *name;
    enum dimension dimension;
    double base;    // in base units, one of session_result's
    bool rate;      // more is faster
    size_t offset;  // of a double in struct session_result
    size_t divisor; // of another that it is divided by; 0: none
};
extern const struct session_metric session_metrics[];
extern const int session_n_metrics;
const struct session_metric *session_metric_find(const char *name, struct err *e);

enum { EXPERIMENT_MAX_OVER = 4 };
enum operator_profile { PROFILE_STREAMED, PROFILE_ISOLATED };
enum form { FORM_SPEEDUP, FORM_SLOWDOWN, FORM_SAVING };
enum reduce { REDUCE_MEAN, REDUCE_LARGEST };

// Which machine and which run. Keys that are not written are inherited: by `over` from its
// experiment, by an experiment from `defaults`.
struct setup {
    const char *soc, *engine; // engine "": ours
    struct conf_string_list set;
    const char *policy, *sync;
    const char *plan_sync; // whose costs the policy plans with; "": those of sync
    struct conf_string_list model;
    struct conf_int_list prompt;
    int64_t gen;
};

struct experiment {
    struct setup at; // first: rows of a setup are rows of an experiment
    const char *id, *unit;
    const char *kind_name;
    int kind; // index into the kinds
    double scale;
    double factor; // base units per `unit`
    const char *file;
    int line;
    // kinds that measure devices
    const char *device, *what;
    struct conf_int_list m, k, n;
    // strategy
    const char *operator;
    int profile; // enum operator_profile
    int64_t ratio_parts;
    // session
    struct conf_string_list metric;
    int form, reduce;
    int n_over;
    struct setup over[EXPERIMENT_MAX_OVER];
};

// A machine in use, and the sessions that were run.
struct used_machine;
struct used_session;

struct experiments {
    struct arena arena; // of the file
    struct experiment *experiment;
    int n;
    const char *soc; // see experiments_soc
    // Until experiments_forget:
    const struct experiment_world *world;
    struct used_machine *machines;
    struct used_session *sessions;
};

struct experiment_kind {
    const char *name, *doc;
    const struct conf_row *rows; // beyond those of every kind; of struct experiment
    size_t n_rows;
    bool runs; // has the rows of a run too: policy, sync
    // What the experiment yields; also where what was read is checked. Negative: an error.
    int (*dimension)(const struct experiment *x, struct err *e);
    int (*predict)(struct experiments *x, const struct experiment *y, struct prediction *out,
                   struct err *e);
};
extern const struct experiment_kind kind_specification, kind_operator, kind_best, kind_order,
    kind_bandwidth, kind_latency, kind_strategy, kind_session;
extern const struct experiment_kind *const experiment_kinds[];
extern const int experiment_n_kinds;

int experiments_load(const char *path, struct experiments *x, struct err *e);

// The machine of a setup, as it was opened the first time, reset.
int experiment_machine(struct experiments *x, const struct setup *s, struct machine **out,
                       struct err *e);
int experiment_model(struct experiments *x, const struct setup *s, const char *name,
                     const struct model **out, struct err *e);
void experiment_forget_sessions(struct experiments *x);

#endif
