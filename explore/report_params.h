// SPDX-License-Identifier: GPL-3.0-or-later
// The parameters of evaluated points, from their specs: "hetero_tensor:parts=8,margin=5 %" has a
// policy, and two options that only points of this policy have. So points of any campaigns can be
// looked at together, and no space has to be at hand.
#ifndef EXPLORE_REPORT_PARAMS_H
#define EXPLORE_REPORT_PARAMS_H

#include <stdbool.h>
#include "base/arena.h"
#include "explore/metrics.h"

enum report_param_kind {
    REPORT_POLICY,
    REPORT_POLICY_OPTION,
    REPORT_SYNC,
    REPORT_SYNC_OPTION,
    REPORT_SOC,
    REPORT_LEVEL,
};

struct report_param {
    enum report_param_kind kind;
    const char *name;  // "policy", "hetero_tensor.parts", "sync", "dram.timing.channels", "level"
    const char *owner; // of an option: its policy or scheme; else ""
    bool ordered;      // choices are quantities, in rising order; else they are in letter order
    int n;             // >= 1
    const char **choice;
    int *value; // [rows] index of the choice; -1: does not apply
};
struct report_params {
    int n; // policy, its options, sync, its options, SoC keys, level; each group by name
    struct report_param *param;
};

// Everything lives in the arena.
void report_params_make(const struct campaign_row *row, int n, struct arena *a,
                        struct report_params *out);

// Takes the next "key=value" off a list that is separated by `separator` at the top level (not in
// quotes, brackets or parentheses); false: none left. An item without '=' is a key without a value.
bool report_next_option(const char **list, char separator, struct arena *a, const char **key,
                        const char **value);
// "NAME:options" -> its name; *options: what follows the colon, or "".
const char *report_spec_name(const char *spec, struct arena *a, const char **options);

#endif
