// SPDX-License-Identifier: GPL-3.0-or-later
// A trace of requests, and a few requests that stand for it.
//
//     TIMESTAMP,ContextTokens,GeneratedTokens
//     2023-11-16 18:17:03.97,4808,10
//
// Any table with a header, a column of prompt lengths and one of output lengths in tokens, whole
// numbers from 1; other columns are not looked at (base/csv.h).
//
// Evaluating a configuration on every request of a trace would repeat nearly the same simulation
// thousands of times, so the trace is cut into groups of requests that are alike, and of each group
// one member is evaluated with the group's share as its weight. See requests.c.
#ifndef EXPLORE_REQUESTS_H
#define EXPLORE_REQUESTS_H

#include <stdio.h>
#include "explore/metrics.h"

// Longer requests are refused: no model of today has such a context.
enum { TRACE_MAX_TOKENS = 10000000 };

struct trace_request {
    int n_prompt, n_gen;
};

struct trace {
    int64_t n; // >= 1
    struct trace_request *request;
};

// Reads a trace; `prompt` and `gen` name its columns, NULL: found by the usual names. A header
// without them, or with several that could be meant, and a line that is malformed are errors with
// their place. `name` stands in for the file, which is closed.
int trace_read(FILE *f, const char *name, const char *prompt, const char *gen, struct trace *out,
               struct err *e);
void trace_fini(struct trace *t);

// Cuts requests that are longer than max_tokens: the generation to max_tokens - 1, then the prompt
// (of which a chat drops the oldest tokens) to what is left. Returns how many.
int64_t trace_clip(struct trace *t, int max_tokens);

// What the representatives leave out.
struct trace_summary {
    int64_t n, clipped;
    double prompt, gen;               // means of the trace
    double chosen_prompt, chosen_gen; // of the representatives, by weight
    double unexplained;               // variance within the groups as a share of all of it
};

// Chooses at most n representatives, by rising prompt; returns how many (fewer where the trace has
// fewer different requests). `t` is put into another order.
int requests_choose(struct trace *t, int n, struct space_request *out, struct trace_summary *sum);

#endif
