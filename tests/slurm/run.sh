#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# partita explore --slurm on a real cluster of four nodes (cluster.sh): whatever dies on the way, the
# result is the local one, digest for digest, of the campaign and of the store.
#   tests/slurm/run.sh PROGRAM
set -u
program=$(realpath "$1")
here=$(realpath "$(dirname "$0")")
root=$(realpath "$here/../..")
[ "$(id -u)" -eq 0 ] || { echo "skipped: a Slurm node can only be started by root"; exit 0; }
dir=$(mktemp -d /tmp/partita-slurm-XXXXXX)
SLURM_CONF=$dir/cluster/slurm.conf
export SLURM_CONF
passed=0 failed=0 coordinator=""

finish() {
    [ -n "$coordinator" ] && kill -9 "$coordinator" 2>/dev/null
    sh "$here/cluster.sh" stop "$dir/cluster"
    rm -rf "$dir"
}
trap finish EXIT
trap 'exit 1' INT TERM

cd "$root" || exit 1
sh "$here/cluster.sh" start "$dir/cluster" || exit 1
echo "$(sinfo --version), $(sinfo -h -N -t idle | wc -l) nodes"

# 60 points that take 20 seconds together, so that there is time to kill something.
sed 's/^prompt = .*/prompt = 2048;/; s/^gen = .*/gen = 4096;/' configs/space/quick.cfg \
    >"$dir/slow.cfg"

digest() { # of a campaign's output
    sed -n 's/^Digest: //p' "$1"
}
store_digest() {
    rm -f "$dir/copy.db"
    "$program" merge "$dir/copy.db" "$1" | sed 's/.*digest //'
}
check() { # what, got, expected
    if [ "$2" = "$3" ] && [ -n "$2" ]; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "FAILED: $1: \"$2\", expected \"$3\""
    fi
}
begin() { # name, options: starts a coordinator
    name=$1
    shift
    began=$(date +%s)
    "$program" explore "$dir/slow.cfg" -o "$dir/$name.db" --slurm --poll 1 "$@" \
        >"$dir/$name.out" 2>"$dir/$name.err" &
    coordinator=$!
}
end() { # name: waits for it and compares
    wait "$coordinator"
    check "$1: exit code" "$?" 0
    coordinator=""
    check "$1: digest of the campaign" "$(digest "$dir/$1.out")" "$want"
    check "$1: digest of the store" "$(store_digest "$dir/$1.db")" "$want_store"
    check "$1: nothing left" "$(ls -d "$dir/$1.db.slurm" 2>/dev/null | wc -l)" 0
    echo "$1: $(grep -c '^round' "$dir/$1.err") rounds," \
        "$(sed -n 's/.*with \([0-9]*\) tasks/\1/p' "$dir/$1.err" | awk '{ n += $1 } END { print n + 0 }') tasks," \
        "$(($(date +%s) - began)) s"
    grep '^partita' "$dir/$1.err"
}
until_there() { # a file, for at most 60 s
    i=0
    while ! [ -s "$1" ] && [ $i -lt 600 ]; do
        i=$((i + 1))
        sleep 0.1
    done
    [ -s "$1" ] || echo "FAILED: $1 never came"
}
# "TASK NODE" of a task that runs now.
running() {
    squeue -h -r -t R -o '%K %N' | head -n 1
}
# Processes of a task of this test's campaign, by the path of its store.
of_task() {
    pgrep -f "$dir/$1.db.slurm/shard-$2" | while read -r p; do
        grep -qa "partita" "/proc/$p/cmdline" 2>/dev/null && echo "$p"
    done
}

"$program" explore "$dir/slow.cfg" -q -o "$dir/local.db" >"$dir/local.out" || exit 1
want=$(digest "$dir/local.out")
want_store=$(store_digest "$dir/local.db")
echo "local digest $want, store $want_store"

begin plain --tasks 8
end plain

# A task's processes are killed: Slurm calls the task failed and does not repeat it.
begin task --tasks 4
until_there "$dir/task.db.slurm/shard-1-1.db"
sleep 1
task=$(running | cut -d ' ' -f 1) killed=0
for p in $(of_task task "1-$task.db"); do kill -9 "$p" 2>/dev/null && killed=$((killed + 1)); done
check "task: killed some processes" "$((killed > 0))" 1
end task
check "task: asked again" "$(grep -c '^round 2' "$dir/task.err")" 1

# A node is lost with all that runs on it: Slurm repeats its task elsewhere, after a while.
begin node --tasks 4
until_there "$dir/node.db.slurm/shard-1-2.db"
sleep 1
node=$(running | cut -d ' ' -f 2)
check "node: killed one" "$(sh "$here/cluster.sh" kill "$dir/cluster" "$node" && echo yes)" yes
end node
check "node: $node is down" "$(sinfo -h -N -n "$node" -o %t | tr -d '*')" down
sh "$here/cluster.sh" node "$dir/cluster" "$node"

# The coordinator is killed and started again.
begin again --tasks 4
until_there "$dir/again.db.slurm/shard-1-3.db"
sleep 1
check "again: killed the coordinator" "$(kill -9 "$coordinator" && echo yes)" yes
wait "$coordinator" 2>/dev/null
begin again --tasks 4
end again

# Ctrl-C ends the job; the next run goes on.
begin stop --tasks 4
until_there "$dir/stop.db.slurm/shard-1-3.db"
sleep 1
kill -TERM "$coordinator" # as Ctrl-C, which background commands of a shell ignore
wait "$coordinator"
check "stop: exit code" "$?" 130
check "stop: jobs left" "$(squeue -h -r -t R,PD | wc -l)" 0
begin stop --tasks 4
end stop

# A searcher that learns: rounds as wide as the window, the same questions as here.
if "$program" list searchers | grep -q '^ *nsga2'; then
    options="--search nsga2:population=8 --budget 24 --window 8 --seed 3"
    # shellcheck disable=SC2086
    "$program" explore "$dir/slow.cfg" -q -o "$dir/learn-local.db" $options >"$dir/local.out"
    want=$(digest "$dir/local.out")
    want_store=$(store_digest "$dir/learn-local.db")
    # shellcheck disable=SC2086
    begin learn --tasks 4 $options
    end learn
fi

# What Slurm refuses is said, and nothing is left running.
"$program" explore tiny -q -o "$dir/refused.db" --slurm --partition nowhere 2>"$dir/refused.err"
check "refused: exit code" "$?" 4
check "refused: message" "$(grep -c 'sbatch refused the job: .*nvalid partition' "$dir/refused.err")" 1

echo "$passed passed, $failed failed"
[ $failed -eq 0 ]
