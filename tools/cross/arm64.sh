#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# make arm64: Partita for ARM64 Linux, cross-built here and tested under qemu-aarch64.
#   sh tools/cross/arm64.sh [sysroot|build|test]...    (without words: all three, in this order)
# sysroot  downloads the ARM64 packages of the libraries that Partita links, and their C library,
#          and unpacks them into build/arm64-sysroot. apt keeps its lists and downloads below build/
#          too: nothing is installed, the machine's own packages and architectures stay as they are.
# build    build/release-arm64: kernels with the dot-product extension; build/release-arm64-base:
#          kernels without it.
# test     the suites on an emulated processor that has the extension (neoverse-n1), and those with
#          kernels in them also on one that does not (cortex-a53): there the first build must fall
#          back to generic C and the second must run NEON. The examples compare every simulated
#          digest with the one that x86 printed.
# Emulated time is not a phone's time: nothing here measures speed.
set -eu
sysroot=$PWD/build/arm64-sysroot
apt=$PWD/build/arm64-apt
libraries="libconfig-dev libgsl-dev libjansson-dev libsqlite3-dev ocl-icd-opencl-dev opencl-headers
           libcunit1-dev"
full=build/release-arm64
base=build/release-arm64-base
kernel_suites="tests/engine/host/test_cpu tests/engine/host/test_tile tests/golden/test_tokens_cpu"
jobs=${JOBS:-$(nproc)}

unpack_sysroot() {
    want=$(echo $libraries)
    [ "$(cat "$sysroot/packages" 2>/dev/null)" = "$want" ] && return
    rm -rf "$sysroot"
    mkdir -p "$sysroot" "$apt/state/lists/partial" "$apt/cache/archives/partial"
    : >"$apt/status" # as if nothing were installed, so that whatever they depend on comes along
    set -- -qq -o APT::Architecture=arm64 -o APT::Architectures::=arm64 -o Dir::State="$apt/state" \
        -o Dir::State::status="$apt/status" -o Dir::Cache="$apt/cache" -o APT::Sandbox::User=root
    apt-get "$@" update
    apt-get "$@" install -y --download-only --no-install-recommends $libraries
    for package in "$apt"/cache/archives/*.deb; do
        dpkg -x "$package" "$sysroot"
    done
    echo "$want" >"$sysroot/packages"
}

cross_make() { # tag target... [variable=value]...
    tag=$1
    shift
    PKG_CONFIG_LIBDIR=$sysroot/usr/lib/aarch64-linux-gnu/pkgconfig PKG_CONFIG_SYSROOT_DIR=$sysroot \
        make --no-print-directory -j"$jobs" ARCH=aarch64 tag="$tag" config=release \
        CC="${CCACHE:-} aarch64-linux-gnu-gcc --sysroot=$sysroot" "$@"
}

build() {
    cross_make -arm64 test-programs
    # Only the files of the kernels differ between the two builds.
    mkdir -p "$base"
    cp -a "$full/." "$base"
    find "$base" -name '*_neon.o' -exec rm {} +
    cross_make -arm64-base ISA_neon=-march=armv8-a "$base/partita" $(printf "$base/%s " $kernel_suites)
}

emulated() { # processor program... -> as the emulator runs it
    processor=$1
    shift
    qemu-aarch64 -cpu "$processor" -L "$sysroot" "$@"
}

# The commands of suites that start Partita themselves.
program() { # processor build -> path
    path=$PWD/$2/partita-$1
    printf '#!/bin/sh\nexec qemu-aarch64 -cpu %s -L "%s" "%s" "$@"\n' "$1" "$sysroot" \
        "$PWD/$2/partita" >"$path"
    chmod +x "$path"
    echo "$path"
}

suites() { # processor build suite...
    processor=$1 folder=$2
    shift 2
    echo "==== $folder on $processor"
    PARTITA=$(program "$processor" "$folder") TEST_TIMEOUT=900 \
        TEST_RUNNER="qemu-aarch64 -cpu $processor -L $sysroot" \
        sh tests/run.sh $(printf "$folder/%s " "$@")
}

# Which table of kernels ran is as much a result as that it ran correctly.
neon() { # processor build yes|no
    emulated "$1" "$2/tests/engine/host/test_cpu" every_isa >"$full/neon.txt"
    ran=yes
    grep -q 'not executed here: neon' "$full/neon.txt" && ran=no
    [ "$ran" = "$3" ] && echo "$2 on $1: NEON $ran" && return
    echo "$2 on $1: NEON kernels ran: $ran, expected $3" >&2
    return 1
}

run_tests() {
    rc=0
    neon neoverse-n1 "$full" yes || rc=1
    neon cortex-a53 "$full" no || rc=1
    neon cortex-a53 "$base" yes || rc=1
    suites neoverse-n1 "$full" $all_suites || rc=1
    suites cortex-a53 "$full" $kernel_suites || rc=1
    suites cortex-a53 "$base" $kernel_suites || rc=1
    return $rc
}

# What runs threads against each other for long, starts other programs (browser, plots, job arrays)
# or needs a second build is for the machine itself.
all_suites=$(cd tests && find base sim dram models engine policies contract golden -name 'test_*.c' |
    sort | sed 's|\(.*\)\.c$|tests/\1|')

[ $# -gt 0 ] || set -- sysroot build test
for step in "$@"; do
    case $step in
    sysroot) unpack_sysroot ;;
    build) build ;;
    test) run_tests ;;
    *) echo "arm64.sh: unknown step '$step': sysroot, build or test" >&2 && exit 1 ;;
    esac
done
