// SPDX-License-Identifier: GPL-3.0-or-later
// An owner with one row of every type, shared by the configuration tests and the fuzzer.
#ifndef TESTS_BASE_CONF_ROWS_H
#define TESTS_BASE_CONF_ROWS_H

#include "base/conf.h"

struct sample {
    int64_t channels, poll, buffer, seed;
    double bandwidth, share, weight;
    bool sleep;
    const char *name;
    int policy;
    struct conf_int_list sizes, tiles;
};

#define SAMPLE(field) offsetof(struct sample, field)
static const struct conf_row sample_rows[] = {
    {"channels", CONF_INT, UNIT_NONE, NULL, 1, 8, NULL, "DRAM channels", SAMPLE(channels)},
    {"bandwidth", CONF_REAL, UNIT_BANDWIDTH, "60 GB/s", 1e9, 1e12, NULL, "per channel",
     SAMPLE(bandwidth)},
    {"poll", CONF_INT, UNIT_TIME, "400 us", 1e6, 5e9, NULL, "polling interval", SAMPLE(poll)},
    {"buffer", CONF_INT, UNIT_SIZE, "8 MiB", 0, 0, NULL, "staging buffer", SAMPLE(buffer)},
    {"seed", CONF_INT, UNIT_NONE, "1", 0, 0, NULL, "random seed", SAMPLE(seed)},
    {"share", CONF_REAL, UNIT_PERCENT, "75 %", 0, 1, NULL, "share of the GPU", SAMPLE(share)},
    {"weight", CONF_REAL, UNIT_NONE, "0.5", 0, 0, NULL, "weight", SAMPLE(weight)},
    {"sleep", CONF_BOOL, UNIT_NONE, "true", 0, 0, NULL, "sleep before polling", SAMPLE(sleep)},
    {"name", CONF_STRING, UNIT_NONE, "", 0, 0, NULL, "a name", SAMPLE(name)},
    {"policy", CONF_ENUM, UNIT_NONE, "pipe", 0, 0, "padding|pipe|online", "policy", SAMPLE(policy)},
    {"sizes", CONF_INT_LIST, UNIT_NONE, "[64, 128]", 1, 4096, NULL, "sizes", SAMPLE(sizes)},
    {"tiles", CONF_INT_LIST, UNIT_SIZE, "[]", 0, 0, NULL, "tile buffers", SAMPLE(tiles)},
    {"npu", CONF_GROUP, UNIT_NONE, NULL, 0, 0, NULL, "the NPU", 0},
    {"clients", CONF_GROUP, UNIT_NONE, NULL, 0, 0, "list", "other clients", 0},
};
enum { SAMPLE_ROWS = sizeof sample_rows / sizeof sample_rows[0] };

#endif
