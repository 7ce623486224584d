// SPDX-License-Identifier: GPL-3.0-or-later
// What the three files of the evaluator share; nobody else includes this.
//
// evaluate.c          points: machines x requests x level -> metrics
// evaluate_variant.c  machines and what was measured of them, kept
// evaluate_check.c    refusing a space before anything runs
#ifndef EXPLORE_EVALUATE_INTERNAL_H
#define EXPLORE_EVALUATE_INTERNAL_H

#include "engine/policy.h"
#include "engine/session.h"
#include "engine/sync.h"
#include "explore/evaluate.h"

// Machines kept open. Searchers walk SoC keys slowest, so a few are enough; the longest unused one
// makes room.
enum { MAX_VARIANTS = 32, HARDWARE = -1 };

// What hand-overs cost under a scheme.
struct scheme {
    char spec[256];
    struct cost_overheads overheads;
    bool offered;
    char reason[240]; // why not
};

// What was measured of a machine for requests of one size.
struct sized {
    struct cost_table *cost; // NULL: not measured yet
    char reason[240];        // not "": it cannot be
    int n_schemes, room;
    struct scheme *scheme;
};

// One machine with one set of overrides.
struct variant {
    int machine;           // index in the space, or HARDWARE
    char soc[1024];        // the overrides, joined
    struct machine *bench; // profiled and planned for; runs level flow, and hardware
    struct machine *run;   // runs level cycle, or the machine's own level; may be `bench`
    char reason[240];      // bench is NULL: why
    struct sized size[SPACE_MAX_REQUESTS];
    uint64_t used; // turn of its last use
};

struct variants {
    const struct evaluate_context *c;
    int n;
    uint64_t turn;
    struct variant *variant[MAX_VARIANTS];
};

// Never NULL; bench is NULL when the machine could not be opened.
struct variant *variant_find(struct variants *v, int machine, const struct space_config *g);
// The machine that runs this level, or NULL with the reason.
struct machine *variant_machine(struct variants *v, struct variant *r, enum space_level level,
                                const struct space_config *g, const char **reason);
// Fills machine, model and cost (with the scheme's overheads) for a request of the space; false
// with the reason when that cannot be.
bool variant_prepare(struct variants *v, struct variant *r, int request, const char *sync_spec,
                     struct session_request *q, const char **reason);
void variants_close(struct variants *v);

const struct machine_factory *evaluate_factory(const struct evaluate_context *c, int machine);
const struct model *evaluate_model(const struct evaluate_context *c, int machine);
// "soc:sd8gen3", "host"
const char *evaluate_machine_name(const struct evaluate_context *c, int machine);

#endif
