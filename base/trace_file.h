// SPDX-License-Identifier: GPL-3.0-or-later
// A trace as a file; the ending of its name says in which format.
//
//     struct trace_file *t;
//     if (trace_file_open("out.pftrace", "soc:sd8gen3, llama3-8b", &t, e) < 0)
//         return e->code;
//     m->ops->trace(m, trace_file_sink(t));
//     ...
//     return trace_file_close(t, rc, e);
#ifndef BASE_TRACE_FILE_H
#define BASE_TRACE_FILE_H

#include "base/err.h"
#include "base/trace.h"

struct trace_file;
int trace_file_open(const char *path, const char *title, struct trace_file **out, struct err *e);
const struct trace_sink *trace_file_sink(struct trace_file *t);
// With a negative rc there is no file. Returns rc, or what went wrong in writing.
int trace_file_close(struct trace_file *t, int rc, struct err *e);
// Is there a format for this name? The same error as open, before anything was opened.
int trace_file_check(const char *path, struct err *e);

#endif
