#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# Runs every test program given, one process each, and adds up their RESULT lines. A program that
# dies without one counts as a failure. Closes with "N passed, N failed, N skipped". TEST_RUNNER: a
# command that runs them, such as an emulator.
passed=0 failed=0 skipped=0 bad=""
out=$(mktemp)
trap 'rm -f "$out"' EXIT
programs=$*
for t in $programs; do
    echo "== $t"
    timeout "${TEST_TIMEOUT:-300}" ${TEST_RUNNER:-} "$t" >"$out" 2>&1
    rc=$?
    line=$(grep '^RESULT ' "$out" | tail -n 1)
    if [ -z "$line" ]; then
        cat "$out"
        echo "   $t ended without a result (exit status $rc)"
        failed=$((failed + 1)) bad="$bad $t"
        continue
    fi
    set -- $line
    passed=$((passed + $3)) failed=$((failed + $4)) skipped=$((skipped + $5))
    if [ "$4" -ne 0 ] || [ "$rc" -ne 0 ]; then
        cat "$out"
        [ "$4" -eq 0 ] && failed=$((failed + 1)) && echo "   exit status $rc"
        bad="$bad $t"
    else
        grep -o '\[skipped: [^]]*\]' "$out" | sort -u | sed 's/^/   /'
        sed -n '/^Run Summary/,/^ *asserts/p' "$out"
    fi
done
[ -n "$bad" ] && echo "failing:$bad"
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ]
