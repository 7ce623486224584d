// SPDX-License-Identifier: GPL-3.0-or-later
// What the files that read a space share; nobody else includes this.
//
// space_load.c    the top level, objectives, SoC keys; errors that point
// space_work.c    on what: machines, requests of a trace
// space_rules.c   levels of detail, constraints
// space_values.c  the choices of a key: a value, an array, a range
// space_plug.c    policies and sync schemes with their options
#ifndef EXPLORE_SPACE_INTERNAL_H
#define EXPLORE_SPACE_INTERNAL_H

#include "explore/space.h"

enum { MAX_KEYS = 64, MAX_TEXT = 256 };

struct loader {
    struct space *s;
    struct err *e; // not NULL
};

// All return a negative value and fill the error: at `key` of group n (NULL: at the group), under
// the name `path`.
int load_fail(const struct loader *l, const struct conf_node *n, const char *key, const char *path,
              const char *text);
// The complaint of another parser, pointed at the file.
int load_fail_why(const struct loader *l, const struct conf_node *n, const char *key,
                  const char *path, const struct err *why);
// `word`, written at key `at`, is none of the names; suggests the nearest or lists them.
int load_unknown(const struct loader *l, const struct conf_node *n, const char *at,
                 const char *word, const char *what, const char *const *names, int n_names);

// The strings of a key, a single one being a list of one; the count, or negative. 0 only when the
// key is absent: an empty list is an error. `what` is a single element, for messages.
int load_strings(const struct loader *l, const struct conf_node *n, const char *key,
                 const char *what, const char **out, int max);
bool load_has(const struct conf_node *n, const char *key);

// Refuses keys of a group that are none of the names.
int load_check_keys(const struct loader *l, const struct conf_node *n, const char *what,
                    const char *const *names, int n_names);
// The choices of a key: its elements when it is an array, the values of a range, else (*scalar) the
// one value. list_value: the option itself is a list, so that only a list of lists is a choice.
int load_choices(const struct loader *l, const struct conf_node *n, const char *key,
                 const char *path, bool list_value, struct space_param *p, bool *scalar);
// Digest of what a point is evaluated on: machines, model, requests.
uint64_t space_work_digest(uint64_t d, const struct space *s);
// Appends a parameter that was written at key `at` of n.
int load_add_param(const struct loader *l, const struct conf_node *n, const char *at,
                   struct space_param p);
// The keys `machine`, `machines` and `aggregate`; then, with lengths read, `trace` and its kin.
struct space_top {
    const char *machine, *model, *trace, *trace_prompt, *trace_gen;
    int64_t prompt, gen, requests, max_tokens;
    int aggregate;
};
int load_machines(const struct loader *l, const struct conf_node *root, const struct space_top *t);
int load_requests(const struct loader *l, const struct conf_node *root, const struct space_top *t);
int load_levels(const struct loader *l, const struct conf_node *root);
// Who does not know a metric at the last level ("the host"), or NULL.
const char *load_unknown_to(const struct space *s, enum metric m);
// After the levels: objectives and constraints are on what the last of them knows.
int load_known(const struct loader *l, const struct conf_node *root, const char *key,
               enum metric m);
int load_constraints(const struct loader *l, const struct conf_node *root);

// Is an unknown key of group n an option of some policy or scheme (first those of `kind`)? Then an
// error that says of which.
int load_misplaced(const struct loader *l, const struct conf_node *n, enum space_kind kind,
                   const char *key);
// The list of policies or of schemes: SPACE_POLICY or SPACE_SYNC.
int load_plugs(const struct loader *l, const struct conf_node *root, enum space_kind kind);

#endif
