// SPDX-License-Identifier: GPL-3.0-or-later
// What the NPUs of the host have in common: matmuls on static graphs of standard sizes, in whole
// tiles (caps.tile) of weight rows.
#ifndef ENGINE_HOST_SHAPES_H
#define ENGINE_HOST_SHAPES_H

#include "base/conf.h"
#include "engine/device.h"

// What a static graph is known by, once the operator that it was prepared for may be gone.
struct graph_key {
    char name[24]; // of the operator
    int m, k, m0, m1, n;
    enum operand_order order;
};
struct graph_key graph_key(const struct static_graph *g);
bool graph_key_is(const struct graph_key *k, const struct static_graph *g);

// Rows [m0, m1) of an operator for n tokens: n is a standard size, or whole tiles up to `most`
// (graphs that are made at run time).
int shapes_check(const struct device *d, const struct op *op, int m0, int m1, int n, int most,
                 struct err *e);
// A new static graph of `bytes` may be prepared beside `graphs` others, of which there may be
// `limit` (or caps.max_graphs), on a device that holds `resident` bytes.
int shapes_admit(const struct device *d, const struct static_graph *g, int most, int graphs,
                 int limit, int64_t resident, int64_t bytes, struct err *e);
// device_ops.supports for such a device; `most` as above.
int shapes_supports(const struct device *d, const struct task *t, int most, struct err *e);
// Rows [m0, m1) of a weight may be loaded: they are there.
int shapes_rows(const struct tensor *w, int64_t m0, int64_t m1, struct err *e);
// Puts the standard sizes of a configuration into *c; `key` is what it is called there.
int shapes_sizes(const struct conf_int_list *sizes, const char *key, struct device_caps *c,
                 struct err *e);

#endif
