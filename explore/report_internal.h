// SPDX-License-Identifier: GPL-3.0-or-later
// What the files of the report share.
#ifndef EXPLORE_REPORT_INTERNAL_H
#define EXPLORE_REPORT_INTERNAL_H

#include "base/json.h"
#include "explore/effects.h"
#include "explore/report.h"

// A number as the page needs it: seven digits, so that the page stays small.
void report_number(struct json *j, const char *key, double v);
void report_points(struct json *j, const struct report_view *v);
// The effect of a parameter on an objective, over feasible points: of the logarithm (true), or of
// the value itself where it can be 0. c[p->n] is filled.
bool report_effect(const struct report_view *v, const struct report_param *p, enum metric m,
                   struct arena *a, struct effect_choice *c, struct effect *e);
void report_effects(struct json *j, const struct report_view *v);
void report_runs(struct json *j, const struct report_view *v);
void report_validation(struct json *j, const struct report_view *v);

#endif
