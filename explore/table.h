// SPDX-License-Identifier: GPL-3.0-or-later
// Results of a campaign as CSV: one row per point, in ask order, each self-describing (machine,
// model, lengths), so that files can be concatenated, and read by any other program.
//
// Columns: point, machine, model, prompt, gen, policy, sync, soc, status, the metrics by name,
// reason, point_digest, digest. Unknown metrics are empty. The file depends on the space, the seed
// and the program only, byte for byte.
#ifndef EXPLORE_TABLE_H
#define EXPLORE_TABLE_H

#include "explore/campaign.h"

// Both flush; a full disk is an error.
int table_write_header(FILE *f, struct err *e);
int table_write_row(FILE *f, const struct space *s, int64_t index, const struct campaign_row *r,
                    struct err *e);

// Reads a file of rows back (its strings in the arena); columns are found by name. Errors point to
// the line.
struct table {
    int n;
    struct campaign_row *row;
    const char *machine, *model; // of the first row
    int n_prompt, n_gen;
};
int table_read(const char *path, struct arena *a, struct table *out, struct err *e);

#endif
