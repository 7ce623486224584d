#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# Installs the Debian packages that the named purposes need, and only those that are missing.
#   tools/deps.sh build [test] [lint] [pagmo] [browser] [slurm] [arm64] [hexagon]
build="gcc make libc6-dev pkg-config libconfig-dev libgsl-dev libjansson-dev libsqlite3-dev
       ocl-icd-opencl-dev opencl-headers pocl-opencl-icd gnuplot-nox"
test="libcunit1-dev valgrind"
# Large ones, for make test-long only.
pagmo="g++ libpagmo-dev libtbb-dev libboost-serialization-dev"
browser="chromium"
slurm="slurmctld slurmd slurm-client munge"
arm64="gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user"
hexagon="clang-19 lld-19 llvm-19"
lint="clang clang-format cppcheck libclang-rt-14-dev"
missing=""
for purpose in "$@"; do
    eval "packages=\$$purpose"
    for p in $packages; do
        dpkg-query -W -f '${Status}' "$p" 2>/dev/null | grep -q 'ok installed' ||
            missing="$missing $p"
    done
done
[ -z "$missing" ] && exit 0
echo "installing:$missing"
run=""
[ "$(id -u)" -eq 0 ] || run=sudo
export DEBIAN_FRONTEND=noninteractive
$run apt-get update -qq && $run apt-get install -y -qq --no-install-recommends $missing >/dev/null && exit 0
echo "could not install:$missing (on another system, install the equivalents by hand)" >&2
exit 1
