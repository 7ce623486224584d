// SPDX-License-Identifier: GPL-3.0-or-later
// What the two files that read a space share; nobody else includes this.
//
// space_load.c  the top level, objectives, SoC keys; errors that point
// space_plug.c  policies and sync schemes with their options
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

// Refuses keys of a group that are none of the names.
int load_check_keys(const struct loader *l, const struct conf_node *n, const char *what,
                    const char *const *names, int n_names);
// The choices of a key: its elements when it is an array, else (*scalar) the one value. list_value:
// the option itself is a list, so that only a list of lists is a choice.
int load_choices(const struct loader *l, const struct conf_node *n, const char *key,
                 const char *path, bool list_value, struct space_param *p, bool *scalar);
// Appends a parameter that was written at key `at` of n.
int load_add_param(const struct loader *l, const struct conf_node *n, const char *at,
                   struct space_param p);
// The list of policies or of schemes: SPACE_POLICY or SPACE_SYNC.
int load_plugs(const struct loader *l, const struct conf_node *root, enum space_kind kind);

#endif
