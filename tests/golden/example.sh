#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# Prints what an example prints: standard output and standard error of the commands in FILE.cmd, run
# from the repository's root, with a line "[exit N]" where the last one failed.
#   PARTITA=build/release/partita sh tests/golden/example.sh tests/golden/examples/sim.cmd
partita() {
    "${PARTITA:-build/release/partita}" "$@"
}
COLUMNS=80 ARGP_HELP_FMT='' LC_ALL=C
export COLUMNS ARGP_HELP_FMT LC_ALL
{
    . "./$1"
    rc=$?
    [ "$rc" -eq 0 ] || echo "[exit $rc]"
} 2>&1 </dev/null
