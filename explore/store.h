// SPDX-License-Identifier: GPL-3.0-or-later
// The store: every evaluated point of any number of campaigns, in one SQLite file.
//
//     campaign   what was asked for: the space's text, searcher, seed, objectives
//     point      one row per evaluation, found by its key (see explore/identity.h)
//     ask        campaign, index -> key: the order in which a campaign asked
//     machine    the metrics per machine of a point that was evaluated on several
//     validation what hardware measured for a point
//
// A point belongs to no campaign: whoever asks for the same evaluation again finds it. What a space
// makes of it (how far its constraints are missed) belongs to the ask. What depends on the clock or
// the host (wall time) is kept but is in no digest.
//
// Writes are collected in a transaction until store_commit; what was committed survives kill -9
// (WAL), and a full disk leaves a store that opens. One writer at a time; readers do not block it.
#ifndef EXPLORE_STORE_H
#define EXPLORE_STORE_H

#include "base/arena.h"
#include "explore/metrics.h"

enum { STORE_SCHEMA = 3 };

struct store;
enum store_mode { STORE_READ, STORE_WRITE }; // WRITE makes a file that does not exist
// A file that is no store, of a newer schema, or with another writer is an error; an older one is
// migrated (READ: in memory, the file stays as it is).
int store_open(const char *path, enum store_mode mode, struct store **out, struct err *e);
// Commits what is pending; negative when that failed. The handle is gone in any case.
int store_close(struct store *s, struct err *e);
int store_commit(struct store *s, struct err *e);

// How long a write waits for another program's lock; 10 s unless told.
void store_patience(struct store *s, int ms);

// 1 found, 0 not there. Strings of the row in the arena; m.violation is 0, see store_ask.
int store_find(struct store *s, uint64_t key, struct arena *a, struct campaign_row *out,
               struct err *e);
// Adds a point; one that is there already stays as it is, unless it crashed or hung.
int store_put(struct store *s, const struct campaign_row *r, struct err *e);

// A campaign is identified by its digest (space, machines, model, searcher with options, seed,
// window) and the version of the code: the same with another program is another campaign, so that
// two versions can be compared.
struct store_campaign {
    int64_t id;
    uint64_t digest;
    const char *name;   // of the space
    const char *text;   // the space's file, whole, so that a report needs nothing else
    const char *search; // "nsga2:population=40"
    uint64_t seed;
    const char *machine;  // "soc:sd8gen3", or several joined by ", "
    const char *settings; // of the machines, besides the space's: "npu.arch.arrays=8; ..", or ""
    const char *model, *workload; // "llama3-8b", "256+32"
    int n_objectives;
    enum metric objective[8];
    const char *code;    // version of the program (base/version.h)
    const char *stopped; // why it ended; "" while it runs or was killed
    int64_t count;       // points asked (filled by store_campaigns)
};
// Finds it or adds it; fills c->id and c->count. `stopped` becomes "".
int store_campaign_begin(struct store *s, struct store_campaign *c, struct err *e);
int store_campaign_end(struct store *s, int64_t id, const char *stopped, struct err *e);
// The row's point is number `index` of a campaign, with the row's violation. The same again changes
// nothing; another point there means that the campaign went another way: its further asks go.
int store_ask(struct store *s, int64_t campaign, int64_t index, const struct campaign_row *r,
              struct err *e);

// All campaigns, oldest first; the count, or negative.
int store_campaigns(struct store *s, struct arena *a, struct store_campaign **out, struct err *e);
// The points of a campaign in the order of asking (id 0: all points of the store by key); the
// count, or negative.
int store_rows(struct store *s, int64_t campaign, struct arena *a, struct campaign_row **out,
               struct err *e);

// How many points and campaigns it holds.
int store_count(struct store *s, int64_t *points, int64_t *campaigns, struct err *e);

// Adds everything that another store holds; the same again changes nothing.
int store_merge(struct store *to, const char *from, struct err *e);
// Of all points, campaigns and asks, whatever the order in which they were written; without wall
// times, dates, and how campaigns ended.
int store_digest(struct store *s, uint64_t *out, struct err *e);

// What hardware measured: written by validate, shown by reports.
struct store_validation {
    uint64_t key;
    const char *policy, *sync, *machine, *model; // machine: where it was measured
    int n_prompt, n_gen, repeats;
    double predicted_ttft_ms, ttft_ms, ttft_spread;
    double predicted_tpot_ms, tpot_ms, tpot_spread;
};
// The same again changes nothing. campaign 0: of none.
int store_add_validation(struct store *s, int64_t campaign, const struct store_validation *v,
                         struct err *e);
int store_validations(struct store *s, int64_t campaign, struct arena *a,
                      struct store_validation **out, struct err *e);

#endif
