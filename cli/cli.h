// SPDX-License-Identifier: GPL-3.0-or-later
// What the subcommands share: one table of commands, common options, finding configuration files,
// opening machines and models, exit codes. The only layer that prints and exits.
#ifndef CLI_CLI_H
#define CLI_CLI_H

#include <argp.h>
#include <stdbool.h>
#include <stdio.h>
#include "base/arena.h"
#include "base/err.h"
#include "base/json.h"
#include "cli/engine.h"
#include "engine/machine.h"
#include "engine/profile.h"
#include "engine/session.h"

// Exit codes, as `partita help` documents them.
enum exit_code {
    EXIT_OK = 0,
    EXIT_CHECK = 1,  // an audit or a comparison failed
    EXIT_USAGE = 2,  // command line or configuration
    EXIT_DATA = 3,   // a malformed input file (GGUF, CSV, JSON)
    EXIT_DEVICE = 4, // a device is missing, failed, or it or this build cannot do what was asked
    EXIT_SYSTEM = 5, // input/output or memory
    EXIT_INTERRUPT = 130,
};

struct command {
    const char *name;
    const char *doc; // one line
    int (*run)(int argc, char **argv);
};
extern const struct command commands[];
extern const size_t n_commands;

// Prints an error to stderr as "partita: file:line: key: message" and returns the exit code.
int cli_fail(const struct err *e);
int cli_error(enum exit_code code, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
// argp_parse with the subcommand's name in usage and messages, exit code 2 for usage errors, and
// the nearest option named for a misspelt one.
void cli_parse(const struct argp *a, int argc, char **argv, void *input);

// Finds "NAME" in configs/FOLDER/NAME.cfg (below the working directory, beside the program, or in
// the installed place), or takes a path that exists. Fills buf; the error lists the nearest name.
int cli_find_config(const char *folder, const char *name, char *buf, size_t size, struct err *e);
// Names of all configurations in a folder, sorted; returns the count.
int cli_list_configs(const char *folder, char (*names)[64], int max);

// The options that every command which runs something has.
struct common {
    const char *machine; // "host" or "soc:NAME"
    const char *model;   // path or name
    const char *policy, *sync;
    const char *plan_sync; // --plan-sync, or NULL: sync
    const char *engine;    // --engine, or NULL
    struct engine profile; // what it names
    const char *set[64];   // --set dotted.key=value
    int n_set;
    bool json, quiet;
    int n_gen;
    uint64_t seed;
};
extern const struct argp_child common_children[];
extern const struct argp common_argp;
void common_init(struct common *c);

// What is timed: the common options and a model shape with prompt and generation.
struct workload {
    struct common c;
    char soc[96];    // --soc NAME as a machine
    char detail[48]; // --detail LEVEL as an override
    int prompt, gen;
    const char *encoding; // of generated weights on a real machine
};
extern const struct argp workload_argp;
extern const struct argp_child workload_children[]; // workload and, below it, the common options
void workload_init(struct workload *w, const char *machine, const char *model, int prompt, int gen);

// Takes a --set option, or a usage error.
void cli_set(struct argp_state *state, struct common *c, const char *arg);
// Overrides in one line, "a=1; b=2": those of --set in it, and more --set options from it. False:
// too many. Strings in the arena.
const char *cli_settings(const struct common *c, struct arena *a);
bool cli_add_settings(struct common *c, const char *settings, struct arena *a);

// A factory for "host" or "soc:NAME" with the --set overrides; `values` as asked.
struct cli_factory {
    struct machine_factory base; // first
    bool soc;
    char path[512];
    const struct engine *engine; // NULL: none
    const char *const *set;
    int n_set;
    char spec[96];
};
int cli_factory_open(const char *machine, const struct common *c, bool values,
                     struct cli_factory *out, struct err *e);
// The machine's configuration with the overrides applied.
int cli_conf_open(const struct cli_factory *f, const char *const *overrides, int n,
                  struct conf **out, struct err *e);
int cli_machine_open(const struct cli_factory *f, struct machine **out, struct err *e);
// The machine to profile in place of `m`, or NULL: `m` itself. A simulated machine is profiled
// without computing values, which takes the same time, and at flow level, which is what policies
// know of it (docs/adr/0005).
int cli_twin_open(const struct cli_factory *f, const struct machine *m, struct machine **out,
                  struct err *e);

// Model by path (GGUF, .cfg, config.json) or by name from configs/model.
int cli_model_open(const char *name, struct model **out, struct err *e);

// Random weights for a shape, in an encoding by name.
int cli_generate_weights(struct model *m, const char *encoding, uint64_t seed, struct err *e);
// A whole number from the command line, or a usage error that names the option.
int cli_whole(struct argp_state *state, const char *option, const char *arg, int min, int max);

// The option --trace FILE of a command that runs a session.
#define CLI_TRACE_OPTION                                                                           \
    {                                                                                              \
        "trace", CLI_TRACE, "FILE", 0,                                                             \
            "write what happened when: tasks, queues, the control plane, bandwidth and power "     \
            "over "                                                                                \
            "time, what waited for what. NAME.pftrace is for ui.perfetto.dev, NAME.json for "      \
            "Chrome's about:tracing and other viewers",                                            \
            0                                                                                      \
    }
enum { CLI_TRACE = 3900 };
struct trace_file;
// Opens the file before anything is run; *out is NULL when path is.
int cli_trace_open(const char *path, const struct common *c, const char *model,
                   struct trace_file **out, struct err *e);
// Closes it (NULL: nothing to do) with the return code so far.
int cli_trace_close(struct trace_file *t, int rc, struct err *e);

// The option --on-device-loss of a command that generates.
#define CLI_LOSS_OPTION(stop, go_on)                                                               \
    {                                                                                              \
        "on-device-loss", CLI_LOSS, "stop|continue", 0,                                            \
            "when a device fails for good: stop " stop " (default), or continue: " go_on, 0        \
    }
enum { CLI_LOSS = 3901 };
enum session_on_loss cli_on_loss(struct argp_state *state, const char *arg);

// One session by names: parses policy and sync, profiles (a simulated machine on a twin at flow
// level that computes no values), runs, audits. `q` may carry prompt, sampler and callbacks;
// machine, policy, sync and cost are filled in.
struct cli_session {
    struct arena arena;
    struct machine *machine;
    struct cost_table *cost;
    struct model *model; // with the engine's weight width, or NULL
    struct session_request q;
};
int cli_session_open(const struct cli_factory *f, const struct common *c, const struct model *m,
                     int n_prompt, int n_gen, struct cli_session *out, struct err *e);
void cli_session_close(struct cli_session *s);

// The result as JSON members or as a readable report.
void cli_result_json(struct json *j, const struct cli_session *s, const struct common *c,
                     const struct session_result *r, const char *text, size_t text_size);
void cli_result_print(FILE *f, const struct cli_session *s, const struct common *c,
                      const struct session_result *r);

int cmd_run(int argc, char **argv);
int cmd_sim(int argc, char **argv);
int cmd_explore(int argc, char **argv);
int cmd_validate(int argc, char **argv);
int cmd_bench(int argc, char **argv);
int cmd_report(int argc, char **argv);
int cmd_plot(int argc, char **argv);
int cmd_gate(int argc, char **argv);
int cmd_diff(int argc, char **argv);
int cmd_merge(int argc, char **argv);
int cmd_repro(int argc, char **argv);
int cmd_profile(int argc, char **argv);
int cmd_fit(int argc, char **argv);
int cmd_tokenize(int argc, char **argv);
int cmd_check(int argc, char **argv);
int cmd_list(int argc, char **argv);
int cmd_show_config(int argc, char **argv);

#endif
