// SPDX-License-Identifier: GPL-3.0-or-later
// From the words of a point back to the point: what a store's rows mean in a space.
#ifndef EXPLORE_SPACE_FIND_H
#define EXPLORE_SPACE_FIND_H

#include "explore/space.h"

struct space_finder;
struct space_finder *space_finder_create(const struct space *s);
// The point that space_resolve words like this (level: "" is the only one); false: there is none.
bool space_finder_find(struct space_finder *f, const char *policy, const char *sync,
                       const char *soc, const char *level, struct search_point *out);
void space_finder_destroy(struct space_finder *f);

#endif
