// SPDX-License-Identifier: GPL-3.0-or-later
// A campaign from the command line: what explore and validate share.
#ifndef CLI_EXPLORE_H
#define CLI_EXPLORE_H

#include "cli/cli.h"
#include "explore/campaign.h"
#include "explore/ranking.h"
#include "explore/space.h"

struct cli_campaign_options {
    const char *space;       // name or path
    const char *search;      // "NAME[:options]"
    struct stop_rules rules; // targets are filled in from `target`
    int n_targets;
    const char *target[SEARCH_MAX_OBJECTIVES]; // "ttft_ms<=500"
    int jobs;                                  // 0: one per core
    double timeout_s;                          // 0: none
    bool retry;
    int window;       // between ask and tell; 0: the usual one
    const char *text; // the space itself; then `space` is only its name. NULL: a file
    // In place of campaign_run; NULL: that.
    int (*run)(void *user, struct campaign_request *q, struct campaign *out, struct err *e);
    void *user;
    const char *out;             // the store; NULL: none
    const char *csv;             // table; NULL: none
    const char *model;           // NULL: the space's
    const char *soc;             // name or file, in place of the space's machine; NULL: that
    const struct common *common; // set, seed, quiet
};

struct cli_campaign {
    struct space *space;
    struct cli_factory factory;
    struct cli_factory others[METRICS_MAX_MACHINES - 1], hardware; // machines[1..]; the host
    const struct machine_factory *factories[METRICS_MAX_MACHINES]; // of the space, in its order
    struct model *model, *hardware_model;                          // the latter with weights
    int32_t *prompt;
    const char *text; // of a space whose machine was replaced; NULL: its file's
    struct arena arena;
    struct campaign c;
    struct campaign_row *row; // [n_rows] of the last level: what is ranked
    int n_rows;
};

// Explores with progress on a terminal; Ctrl-C stops it cleanly (c.interrupted).
int cli_campaign_run(const struct cli_campaign_options *o, struct cli_campaign *out, struct err *e);
void cli_campaign_close(struct cli_campaign *x);

// From now on Ctrl-C sets cli_stop; a second one ends the program.
extern volatile sig_atomic_t cli_stop;
void cli_catch_stop(void);
bool cli_show_progress(const struct common *c); // standard error is a terminal

// Ranked table and its explanation; `path` is the store or NULL.
void cli_ranking_print(FILE *f, const struct cli_campaign *x, const struct ranking *r, int top,
                       const char *path);
void cli_ranking_json(FILE *f, const struct cli_campaign *x, const struct ranking *r, int top,
                      const struct cli_campaign_options *o);

#endif
