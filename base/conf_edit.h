// SPDX-License-Identifier: GPL-3.0-or-later
// Changing values of a configuration file without touching anything else: layout, order and the
// comments, which carry the sources of the numbers, stay as a human wrote them.
//
//     conf_edit_open("configs/soc/x.cfg", &x, &e);
//     conf_edit_set(x, "gpu.gemm", "\"1.03 TFLOP/s\"", "fitted (row.a): 1 TFLOP/s", &e);
//     conf_edit_write(x, "new.cfg", &e);
#ifndef BASE_CONF_EDIT_H
#define BASE_CONF_EDIT_H

#include <stdbool.h>
#include <stddef.h>
#include "base/err.h"

struct conf_edit;

// The file, or a text that goes under a name, must be a configuration that conf_open takes.
int conf_edit_open(const char *path, struct conf_edit **out, struct err *e);
int conf_edit_open_text(const char *name, const char *text, struct conf_edit **out, struct err *e);
void conf_edit_close(struct conf_edit *x);

// Is `key` ("gpu.queue.wake", "scale[0].factor") a scalar in this very file (not an included one)?
bool conf_edit_has(const struct conf_edit *x, const char *key);
// The comment behind the value, on its line, without the comment sign; "" where there is none or no
// such key. Returns buf.
const char *conf_edit_comment(const struct conf_edit *x, const char *key, char *buf, size_t size);

// Writes `value` (as in a file: text in quotes) instead of what is there; NULL: the value stays.
// `comment` replaces the comment of the line; NULL: it stays. A comment keeps its column where the
// value leaves room. On failure nothing has changed.
int conf_edit_set(struct conf_edit *x, const char *key, const char *value, const char *comment,
                  struct err *e);

const char *conf_edit_text(const struct conf_edit *x); // until the next change
// The file appears under its name only when it is complete.
int conf_edit_write(const struct conf_edit *x, const char *path, struct err *e);

#endif
