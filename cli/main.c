// SPDX-License-Identifier: GPL-3.0-or-later
// partita: the table of commands, `partita help`, and what to do with a name that is not in it.
#include "cli/cli.h"

#include <string.h>
#include "base/log.h"
#include "base/version.h"

const struct command commands[] = {
    {"run", "generate text with a real model, on this machine or on a simulated SoC", cmd_run},
    {"sim", "time a model shape on a machine, without weights", cmd_sim},
    {"explore", "search policies, sync schemes and SoC parameters; rank what was found",
     cmd_explore},
    {"validate", "run the best found configurations for real, beside their prediction",
     cmd_validate},
    {"bench", "prompt and generation speed per device, policy and scheme, as llama-bench shows it",
     cmd_bench},
    {"report", "a page of what an exploration found: fronts, parameters, plans, timelines",
     cmd_report},
    {"plot", "figures of what an exploration found, for papers", cmd_plot},
    {"merge", "several stores into one, each point once", cmd_merge},
    {"diff", "what is different between two stores: metrics, plans, front", cmd_diff},
    {"gate", "evaluate a baseline's points again; fails when a metric got worse", cmd_gate},
    {"profile", "characterise a machine; --cost: the cost table of a model", cmd_profile},
    {"repro", "a publication's experiments: prediction beside published value", cmd_repro},
    {"fit", "calibrate a simulated SoC with published rows or a profile", cmd_fit},
    {"tokenize", "text to token ids and back, with the vocabulary of a GGUF file", cmd_tokenize},
    {"check", "audit: conservation, utilisation, determinism, every plan of every policy",
     cmd_check},
    {"list", "policies, syncs, socs, models, engines, searchers, spaces, repros, devices",
     cmd_list},
    {"show-config", "the resolved configuration of a machine, with docs and sources",
     cmd_show_config},
};
const size_t n_commands = sizeof commands / sizeof commands[0];

static void help(FILE *f)
{
    fprintf(f,
            "Partita: how should the work of an LLM be split between the GPU, the NPU and the CPU "
            "of a phone,\nand how should the parts be synchronised?\n\n"
            "usage: partita COMMAND [options]     (partita COMMAND --help explains one)\n\n");
    for (size_t i = 0; i < n_commands; i++)
        fprintf(f, "  %-12s %s\n", commands[i].name, commands[i].doc);
    fprintf(f, "\nfirst steps:\n"
               "  partita run data/partita-stories.gguf -p \"Once upon a time\"\n"
               "  partita sim --soc sd8gen3 --model llama3-8b --prompt 256 --gen 32 --policy "
               "hetero_tensor --sync sleep_poll\n"
               "  partita explore configs/space/hetero.cfg\n\n"
               "exit codes: 0 success; 1 an audit or comparison failed; 2 usage or configuration; "
               "3 malformed\n  input file; 4 a device is missing or failed, or cannot do it, or "
               "this build cannot; 5 input/output\n  or memory; 130 interrupted\n");
}

static int unknown(const char *name)
{
    const char *names[32];
    for (size_t i = 0; i < n_commands; i++)
        names[i] = commands[i].name;
    const char *near = err_nearest(name, names, n_commands);
    return cli_error(EXIT_USAGE, "unknown command \"%s\"%s%s%s; see `partita help`", name,
                     near ? ", did you mean \"" : "", near ? near : "", near ? "\"?" : "");
}

int main(int argc, char **argv)
{
    log_open(stderr, LOG_WARN);
    if (argc < 2) {
        help(stderr);
        return EXIT_USAGE;
    }
    const char *name = argv[1];
    if (!strcmp(name, "help") || !strcmp(name, "--help") || !strcmp(name, "-h")) {
        for (size_t i = 0; argc > 2 && i < n_commands; i++)
            if (!strcmp(argv[2], commands[i].name)) {
                char *args[] = {argv[2], (char[]){"--help"}, NULL};
                return commands[i].run(2, args);
            }
        if (argc > 2)
            return unknown(argv[2]);
        help(stdout);
        return EXIT_OK;
    }
    if (!strcmp(name, "--version")) {
        printf("partita %s (code %s)\n", PARTITA_VERSION, code_version);
        return EXIT_OK;
    }
    for (size_t i = 0; i < n_commands; i++)
        if (!strcmp(name, commands[i].name)) {
            int rc = commands[i].run(argc - 1, argv + 1);
            // A full disk or a closed pipe must not look like success.
            if (fflush(stdout) != 0 && rc == EXIT_OK)
                rc = cli_error(EXIT_SYSTEM, "cannot write the output");
            return rc;
        }
    return unknown(name);
}
