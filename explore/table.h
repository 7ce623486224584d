// SPDX-License-Identifier: GPL-3.0-or-later
// Results of a campaign as CSV, for other programs: one row per point, in ask order, each
// self-describing (machine, model, lengths), so that files can be concatenated.
//
// Columns: point, machine, model, prompt, gen, policy, sync, soc, level, status, the metrics by
// name, violation, reason, point_digest, digest. Unknown metrics are empty. The file depends on the
// space, the seed and the program only, byte for byte.
#ifndef EXPLORE_TABLE_H
#define EXPLORE_TABLE_H

#include "explore/campaign.h"

// A full disk is an error.
int table_write(FILE *f, const struct space *s, const struct campaign_row *row, int64_t n,
                struct err *e);

#endif
