// SPDX-License-Identifier: GPL-3.0-or-later
// An engine profile (configs/engine/NAME.cfg): how another inference engine uses a machine, as
// data. See engine.c.
#ifndef CLI_ENGINE_H
#define CLI_ENGINE_H

#include <stddef.h>
#include "base/conf.h"
#include "base/err.h"
#include "engine/model.h"

enum { ENGINE_MAX_ITEMS = 32 };

// One change of the simulated SoC.
struct engine_item {
    char key[80];   // dotted key of the SoC's configuration, "gpu.gemm"
    char value[80]; // `set`: as on the command line; empty in `scale`
    double factor;  // `scale`: times what the SoC has; 0 in `set`
    int line;       // where it was written
};

struct engine {
    char file[512];
    char name[64];
    char policy[256], sync[256]; // specifications that the registries have accepted
    double weight_bits;          // 0: as the model says
    int n_set, n_scale;
    struct engine_item set[ENGINE_MAX_ITEMS], scale[ENGINE_MAX_ITEMS];
};

extern const struct conf_row engine_rows[];
extern const size_t engine_n_rows;

// Reads and checks a profile. Errors point into it.
int engine_open(const char *path, struct engine *out, struct err *e);

// The two halves of a profile on the configuration of a simulated SoC; overrides of the user go
// between them. Keys of a device that the SoC lacks are passed over: the policy will say so. A key
// that the SoC does not know, or a value that it refuses, is an error that points into the profile.
int engine_set(const struct engine *g, struct conf *soc, struct err *e);
int engine_scale(const struct engine *g, struct conf *soc, struct err *e);

// *out is a model of the same shape with the engine's weight_bits, or NULL when `m` will do. A
// model with weights of another width is an error.
int engine_model(const struct engine *g, const struct model *m, struct model **out, struct err *e);

#endif
