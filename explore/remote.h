// SPDX-License-Identifier: GPL-3.0-or-later
// A campaign whose points are evaluated elsewhere: by the tasks of a cluster's scheduler.
//
//     replay the campaign from the store -> points that are asked and not there -> a file of points
//     -> tasks, each with its own part of them and its own store -> merge -> replay ..
//
// Whoever dies takes nothing along that was finished: tasks leave their stores, the coordinator
// has the main store. The campaign's own loop decides what is asked and told, here as anywhere, so
// the result is that of a local run, digest for digest.
#ifndef EXPLORE_REMOTE_H
#define EXPLORE_REMOTE_H

#include <signal.h>
#include "explore/campaign.h"
#include "explore/search.h"
#include "explore/space.h"

// --- points that travel

// A growing list of points.
struct remote_points {
    int64_t n, room;
    struct search_point *p;
};
void remote_points_add(struct remote_points *l, const struct search_point *p);
void remote_points_fini(struct remote_points *l);

// A file of points of a space, for programs of this version: text, a point per line. Replaces the
// file whole or not at all.
int remote_points_write(const char *path, const struct space *s, const struct remote_points *l,
                        struct err *e);
// Refuses points of another space or for another version, and malformed ones, with the line.
int remote_points_read(const char *path, const struct space *s, struct remote_points *out,
                       struct err *e);
// Part `i` of `n` (0 <= i < n) in place: contiguous, sizes differ by at most one.
void remote_points_part(struct remote_points *l, int i, int n);

// A searcher that asks a list of points; its options are a struct remote_points. In no registry:
// with it a campaign evaluates given points.
extern const struct search_ops remote_list;

// --- the coordinator

struct remote_round {
    const char *folder;
    int number;            // of the round, from 1; names of files carry it
    int tasks;             // 0 .. tasks - 1
    int64_t points;        // in all of them
    char points_path[512]; // their file
};
// The store of a task.
void remote_shard_path(const struct remote_round *r, int task, char *buf, size_t size);

struct remote_scheduler {
    // Starts the tasks of a round.
    int (*submit)(void *user, const struct remote_round *r, struct err *e);
    // Waits a little; 1: some may still run, 0: none will run any more (they ended or were lost).
    int (*wait)(void *user, const struct remote_round *r, struct err *e);
    // Ends the round's tasks and waits until they are gone, as far as that can be known.
    void (*cancel)(void *user, const struct remote_round *r);
    void (*note)(void *user, const char *text); // something that the user should know
    void *user;
};

struct remote_request {
    // As for a run here, with a store; `ask_only` is the coordinator's.
    struct campaign_request campaign;
    const struct remote_scheduler *scheduler;
    const char *folder; // for files of points and tasks' stores; exists
    int tasks;          // of a round, at most (>= 1); lost points may get more
    int64_t chunk;      // points of a task, at most; 0: as many as the tasks need
    int first;          // number of the first round, so that names of files are new
    int tries;          // a point that was lost with its task so often has crashed (>= 1)
};
// Merges what tasks of an earlier run left in the folder, then runs the campaign to its end. A stop
// cancels the tasks and keeps what they have finished.
int remote_run(const struct remote_request *q, struct campaign *out, struct err *e);

#endif
