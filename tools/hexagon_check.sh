#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# Refuses vector floating point in Hexagon objects: the emulator knows none of it, and executes some
# of these instructions as others, without an error and with wrong results.
#   tools/hexagon_check.sh FILE...      objects, archives, libraries, executables
for f in "$@"; do
    text=$(llvm-objdump-19 -d --mcpu=hexagonv73 --mattr=+hvxv73,+hvx-length128b,+hvx-ieee-fp,+hvx-qfloat "$f") || exit 1
    [ -n "$text" ] || { echo "$f: nothing to disassemble" >&2; exit 1; }
    # Operands are v0.qf32, v1.sf, v2.hf; the scalar unit's floats have no such types.
    found=$(printf '%s\n' "$text" | grep -E 'v[0-9]+(:[0-9]+)?\.(qf16|qf32|hf|sf|bf)' | head -n 5)
    if [ -n "$found" ]; then
        rm -f "$f"
        printf '%s: vector floating point:\n%s\n' "$f" "$found" >&2
        exit 1
    fi
done
