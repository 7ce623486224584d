#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# A Slurm cluster on this machine, in one folder: munged, slurmctld, and four slurmd that play the
# nodes w0..w3. For tests. Needs root (slurmd does), and no systemd.
#
#   cluster.sh start DIR    starts it and waits until all nodes are idle
#   cluster.sh stop DIR     stops what was started there, jobs included, and removes DIR
#   cluster.sh kill DIR w2  kill -9: the node is lost with everything that runs on it
#   cluster.sh node DIR w2  starts that slurmd again
#
# Commands find it by SLURM_CONF=DIR/slurm.conf. Everything is private to DIR (key, sockets, state,
# logs) but for TCP ports, which are chosen by the process id; a busy port gives the next choice.
set -u
nodes="w0 w1 w2 w3"

die() {
    echo "cluster: $*" >&2
    exit 1
}

configure() { # port of slurmctld; the nodes have the next ones
    cat >"$dir/slurm.conf" <<END
ClusterName=test
SlurmctldHost=$(hostname -s)(127.0.0.1)
SlurmUser=root
SlurmdUser=root
SlurmctldPort=$1
AuthType=auth/munge
# A requeued job waits until its credential has expired: 120 s by default.
AuthInfo=socket=$dir/munge.socket,cred_expire=5
CredType=cred/munge
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerType=sched/backfill
SchedulerParameters=batch_sched_delay=0,sched_min_interval=100000,bf_interval=1
ReturnToService=2
SlurmdTimeout=6
SlurmctldTimeout=30
InactiveLimit=0
KillWait=2
MinJobAge=60
JobRequeue=1
MaxArraySize=1001
JobCompType=jobcomp/none
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
StateSaveLocation=$dir/state
SlurmdSpoolDir=$dir/%n.spool
SlurmctldPidFile=$dir/slurmctld.pid
SlurmdPidFile=$dir/%n.pid
SlurmctldLogFile=$dir/slurmctld.log
SlurmdLogFile=$dir/%n.log
END
    port=$1
    for n in $nodes; do
        port=$((port + 1))
        echo "NodeName=$n NodeHostname=$(hostname -s) NodeAddr=127.0.0.1 Port=$port CPUs=1 State=UNKNOWN"
    done >>"$dir/slurm.conf"
    echo "PartitionName=test Nodes=w[0-3] Default=YES MaxTime=INFINITE State=UP" >>"$dir/slurm.conf"
}

# True when the daemon of this folder whose pid file is $1 runs.
alive() {
    [ -s "$1" ] && grep -qa "$dir" "/proc/$(cat "$1")/cmdline" 2>/dev/null
}

start_node() {
    slurmd -f "$dir/slurm.conf" -N "$1" -c || return 1
    i=0
    while ! [ -s "$dir/$1.pid" ] && [ $i -lt 50 ]; do
        i=$((i + 1))
        sleep 0.1
    done
}

start() {
    [ "$(id -u)" -eq 0 ] || die "root only"
    for p in munged slurmctld slurmd sbatch; do
        command -v $p >/dev/null || die "$p is missing (tools/deps.sh slurm)"
    done
    mkdir -p "$dir/state" || die "cannot make $dir"
    chmod 755 "$dir"
    for n in $nodes; do mkdir -p "$dir/$n.spool"; done
    (umask 077 && head -c 1024 /dev/urandom >"$dir/munge.key")
    munged --force --key-file="$dir/munge.key" --socket="$dir/munge.socket" \
        --pid-file="$dir/munged.pid" --log-file="$dir/munged.log" --seed-file="$dir/munged.seed" \
        2>"$dir/munged.err" || { cat "$dir/munged.err" >&2; die "munged does not start"; }
    try=0
    while :; do
        configure $((20000 + ($$ * 7 + try * 101) % 12000))
        slurmctld -f "$dir/slurm.conf" -c
        up=0
        for n in $nodes; do start_node $n && up=$((up + 1)); done
        i=0
        while [ $i -lt 100 ]; do
            [ "$(SLURM_CONF=$dir/slurm.conf sinfo -h -N -t idle 2>/dev/null | wc -l)" -eq 4 ] && return 0
            i=$((i + 1))
            sleep 0.2
        done
        halt
        try=$((try + 1))
        [ $try -lt 3 ] || break
    done
    tail -n 5 "$dir"/*.log >&2
    die "the nodes do not come up"
}

kill_pid() { # file, signal
    alive "$1" && kill "-$2" "$(cat "$1")" 2>/dev/null
}

# kill -9 to a process and all below it.
kill_tree() {
    for child in $(pgrep -P "$1"); do kill_tree "$child"; done
    kill -9 "$1" 2>/dev/null
}

# Everything that runs on a node: its slurmstepd outlive their slurmd, and only the batch scripts
# below them name the node's folder.
kill_steps() {
    for step in $(pgrep slurmstepd); do
        for script in $(pgrep -P "$step"); do
            grep -qa "$dir/$1.spool/" "/proc/$script/cmdline" 2>/dev/null || continue
            kill -STOP "$step" # it must not report how its script ended
            kill_tree "$step"
        done
    done
}

# Ends slurmctld and the nodes, with what runs on them.
halt() {
    for n in $nodes; do
        kill_steps "$n"
        kill_pid "$dir/$n.pid" TERM
    done
    kill_pid "$dir/slurmctld.pid" TERM
    i=0
    while [ $i -lt 50 ]; do
        left=0
        for p in "$dir"/w?.pid "$dir/slurmctld.pid"; do alive "$p" && left=1; done
        [ $left -eq 0 ] && break
        i=$((i + 1))
        sleep 0.1
    done
    for p in "$dir"/w?.pid "$dir/slurmctld.pid"; do kill_pid "$p" KILL; done
    rm -f "$dir"/w?.pid "$dir/slurmctld.pid"
}

kill_node() {
    [ -s "$dir/$1.pid" ] || die "no node $1"
    kill_pid "$dir/$1.pid" KILL # first, so that nobody hears of the steps' end
    kill_steps "$1"
    rm -f "$dir/$1.pid"
}

[ $# -ge 2 ] || die "usage: cluster.sh start|stop|kill|node DIR [NODE]"
dir=$2
case $1 in
start) start ;;
stop)
    [ -f "$dir/slurm.conf" ] && halt
    kill_pid "$dir/munged.pid" TERM
    i=0
    while alive "$dir/munged.pid" && [ $i -lt 30 ]; do
        i=$((i + 1))
        sleep 0.1
    done
    rm -rf "$dir"
    ;;
kill) kill_node "$3" ;;
node) start_node "$3" ;;
*) die "what is \"$1\"?" ;;
esac
