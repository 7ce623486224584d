#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# make digests: the same configuration gives the same digest whatever compiled it. Builds with gcc
# and clang, -O2 and -O0, and compares what the audit and a simulated generation print, with one
# worker and with three.
#   sh tools/digests.sh [PROGRAM]...    compares these programs instead, and builds nothing
set -eu
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
digests() { # partita -> one line per digest
    "$1" check --gen 2 | sed -n 's/.*; digest //p'
    "$1" run data/partita-stories.gguf -p "Olga was a" -n 8 --machine soc:sd8gen3 --json | grep '"digest"\|"logits_digest"'
    rm -f "$out"/explore-*.db* # a store that exists is not evaluated again
    for j in 1 3; do
        "$1" explore configs/space/tiny.cfg -j $j -o "$out/explore-$j.db" --json | grep '"digest"' | tail -n 1
    done
}
first=""
compare() { # name partita
    file=$out/$(echo "$1" | tr / _)
    digests "$2" >"$file"
    if [ -z "$first" ]; then
        first=$file
        cat "$first"
    elif ! cmp -s "$first" "$file"; then
        echo "digests differ between $(basename "$first") and $1:"
        diff "$first" "$file" || true
        exit 1
    fi
    echo "$1: equal"
}
if [ $# -gt 0 ]; then
    for program in "$@"; do
        compare "$program" "$program"
    done
    exit 0
fi
for build in "gcc 2 " "gcc 0 -O0" "clang 2 -clang" "clang 0 -clang-O0"; do
    set -- $build
    tag=${3:-}
    make --no-print-directory CC=$1 O=$2 tag=$tag -j"$(nproc)" >/dev/null
    compare "$1 -O$2" "build/release$tag/partita"
done
