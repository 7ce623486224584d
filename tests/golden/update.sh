#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# Writes the expected output of the examples anew: all, or those named. Run it from the repository's
# root after a change that is meant to change them (a calibration, a help text), and read the
# difference before it is committed:
#   sh tests/golden/update.sh [NAME...]; git diff tests/golden/examples
set -eu
[ $# -gt 0 ] || set -- $(cd tests/golden/examples && ls -- *.cmd)
for name; do
    base=tests/golden/examples/${name%.cmd}
    sh tests/golden/example.sh "$base.cmd" >"$base.out.new"
    cmp -s "$base.out.new" "$base.out" || echo "$base.out"
    mv "$base.out.new" "$base.out"
done
