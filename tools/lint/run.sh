#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# make lint: the layer law, headers that compile alone, clang-format, cppcheck, file length. Each
# check prints what it found; the exit status says whether any did.
#   tools/lint/run.sh CC "CFLAGS"
cc=$1 cflags=$2 bad=0
files=$(git ls-files '*.c' '*.h' '*.cl'; git ls-files -o --exclude-standard '*.c' '*.h' '*.cl')

echo "layers"
# For every include of a project header: may the file's folder include that header's folder?
for f in $files; do
    case $f in tests/* | bench/*) continue ;; esac
    grep -n '^#include "' "$f" | sed 's|^\([0-9]*\):#include "\(.*\)".*|'"$f"' \1 \2|'
done | awk '
    FILENAME == "layers.txt" {
        if ($0 ~ /^#/ || !NF) next
        split($0, part, ":"); known[part[1]] = 1
        n = split(part[2], list, " ")
        for (i = 1; i <= n; i++) allow[part[1], list[i]] = 1
        next
    }
    {
        from = $1; sub("/[^/]*$", "", from)
        to = $3; if (!sub("/[^/]*$", "", to)) next # generated headers
        if (!(from in known)) { print "  " $1 ": folder " from " is not in layers.txt"; bad = 1; next }
        if (from != to && !((from, to) in allow)) {
            print "  " $1 ":" $2 ": " from " may not include " $3; bad = 1
        }
    }
    END { exit bad }' layers.txt - || bad=1
# No cycle: repeatedly drop the folders that depend on nothing left.
awk -F: '!/^#/ && NF { dep[$1] = $2; left++ }
    END {
        do { dropped = 0
            for (f in dep) { n = split(dep[f], l, " "); free = 1
                for (i = 1; i <= n; i++) if (l[i] in dep) free = 0
                if (free) { gone[f] = 1; dropped++ } }
            for (f in gone) { if (f in dep) { delete dep[f]; left-- } }
        } while (dropped && left)
        if (left) { for (f in dep) print "  layers.txt: " f " is part of a cycle"; exit 1 }
    }' layers.txt || bad=1

echo "headers compile alone"
for h in $(echo "$files" | grep '\.h$' | grep -v '\.inc\.h$'); do
    $cc $cflags -Wno-unused-function -fsyntax-only -x c "$h" || bad=1
done

echo "format"
sources=$(echo "$files" | grep -v '\.cl$')
clang-format --dry-run -Werror $sources 2>&1 | head -40 | grep . && bad=1

echo "length"
for f in $files; do
    n=$(wc -l <"$f")
    if [ "$n" -gt 800 ]; then
        echo "  $f has $n lines; split it by concept (ceiling 800)"
        bad=1
    fi
done

echo "cppcheck"
cppcheck --quiet --std=c11 --language=c -I. --enable=warning,performance,portability \
    --inline-suppr --suppress=missingIncludeSystem --suppressions-list=tools/lint/cppcheck.supp \
    --error-exitcode=1 -j2 $(echo "$sources" | grep '\.c$' | grep -v '^tests/') || bad=1

[ $bad -eq 0 ] && echo "lint: clean"
exit $bad
