// SPDX-License-Identifier: GPL-3.0-or-later
// Units of configuration values. Inside the program a quantity is always in its base unit: time in
// int64_t picoseconds, sizes in bytes (int64_t), everything else in double SI units (bytes/s, Hz,
// flop/s, W, J, V, degC). A configuration writes "400 us", "61.9 GB/s", "8 MiB", "2.8 TFLOP/s".
#ifndef BASE_UNITS_H
#define BASE_UNITS_H

#include <stdint.h>
#include <stddef.h>
#include "base/err.h"

enum unit {
    UNIT_NONE,        // a pure number
    UNIT_TIME,        // ps; written ps ns us ms s
    UNIT_SIZE,        // bytes; written B kB MB GB KiB MiB GiB
    UNIT_BANDWIDTH,   // bytes/s; written B/s kB/s MB/s GB/s TB/s
    UNIT_FREQUENCY,   // Hz; Hz kHz MHz GHz
    UNIT_THROUGHPUT,  // flop/s or op/s; FLOP/s, GFLOP/s, TFLOP/s, OP/s, GOP/s, TOP/s
    UNIT_POWER,       // W; uW mW W
    UNIT_ENERGY,      // J; pJ nJ uJ mJ J
    UNIT_ENERGY_BYTE, // J/byte; pJ/B nJ/B
    UNIT_TEMPERATURE, // degC; degC
    UNIT_PERCENT,     // a fraction 0..1; written %
    UNIT_COUNT,
};

#define PS_PER_NS INT64_C(1000)
#define PS_PER_US INT64_C(1000000)
#define PS_PER_MS INT64_C(1000000000)
#define PS_PER_S  INT64_C(1000000000000)

const char *unit_name(enum unit u);      // "time", "bandwidth", ...
const char *unit_spellings(enum unit u); // "ps, ns, us, ms, s" for error messages

// Parses "400 us" into the base unit. UNIT_NONE takes a plain number. A missing, unknown or foreign
// unit, trailing text, overflow, NaN and infinity are errors. Exact for integers up to 2^53.
int unit_parse(enum unit u, const char *text, double *out, struct err *e);

// Prints a base-unit value with a readable prefix ("1.88 ms"); the text parses back.
const char *unit_format(enum unit u, double value, char *buf, size_t size);

#endif
