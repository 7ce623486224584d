// SPDX-License-Identifier: GPL-3.0-or-later
// Decimal numbers as text, independent of the process's locale. Everything that writes or reads a
// double in a file goes through here, so that a run in a German locale writes the same bytes.
#ifndef BASE_NUM_H
#define BASE_NUM_H

#include <stddef.h>

// Length of the decimal number at the start of `s`: [+-] digits [. digits] [e[+-]digits]; 0 when
// there is none. No hexadecimal, no inf, no nan, no leading blanks.
size_t num_span(const char *s);

// strtod in the C locale; overflow gives an infinity.
double num_parse(const char *s);

// The shortest of %.15g, %.16g and %.17g that reads back as `v`.
const char *num_print(double v, char buf[32]);

#endif
