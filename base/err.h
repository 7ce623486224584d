// SPDX-License-Identifier: GPL-3.0-or-later
// Errors that point.
//
// A failure that the user can cause (a bad file, a bad option, a machine without a device) is
// returned as a negative value with a filled `struct err`; the first function that knows describes
// it, callers pass it up untouched. A failure that only we can cause is an assert. Libraries never
// print and never exit; only cli/ does.
#ifndef BASE_ERR_H
#define BASE_ERR_H

#include <stddef.h>

enum err_code {
    ERR_NONE = 0,
    ERR_USAGE = -1,       // the command line or an API call asked for something impossible
    ERR_CONFIG = -2,      // a configuration file or value
    ERR_FORMAT = -3,      // a data file (GGUF, CSV, JSON) is malformed
    ERR_IO = -4,          // the operating system refused
    ERR_MEMORY = -5,      // out of memory, or a memory limit
    ERR_DEVICE = -6,      // a device failed, was lost, or does not exist
    ERR_UNSUPPORTED = -7, // well-formed, but this build or device cannot do it
    ERR_CHECK = -8,       // an audit (plan_check, conservation) found a violation
};

// One described failure. Every field may be empty; line 0 means "no line".
struct err {
    int code;
    int line;       // 1-based line in `file`
    char file[160]; // the file at fault
    char key[80];   // dotted path of the option, tensor or metadata key at fault
    char msg[320];  // one sentence: what is wrong, what was expected, the nearest valid name
};

// Fills `e` (which may be NULL) and returns `code`, so that `return err_set(...)` reads well.
int err_set(struct err *e, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

// The same with a place. `file` and `key` may be NULL.
int err_at(struct err *e, int code, const char *file, int line, const char *key, const char *fmt,
           ...) __attribute__((format(printf, 6, 7)));

// Adds file and line to an error that does not have them yet.
void err_locate(struct err *e, const char *file, int line);

// Writes "file:line: key: message" without a newline into buf; returns buf.
const char *err_text(const struct err *e, char *buf, size_t size);

// The candidate that `word` is the beginning of, or else the nearest by edit distance; NULL when
// none is near enough to be worth suggesting. `names` is an array of n strings.
const char *err_nearest(const char *word, const char *const *names, size_t n);

#endif
