#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# make arm64: Partita for ARM64 Linux, cross-built here and tested under qemu-aarch64.
#   sh tools/cross/arm64.sh [sysroot|build|bundle|test|quick]...    (without words: the first four)
# sysroot  downloads the ARM64 packages of the libraries that Partita links, and their C library,
#          and unpacks them into build/arm64-sysroot. apt keeps its lists and downloads below build/
#          too: nothing is installed, the machine's own packages and architectures stay as they are.
# build    build/release-arm64: kernels with the dot-product extension; build/release-arm64-base:
#          kernels without it.
# bundle   build/partita-arm64: the program, its libraries and loader, configurations and the small
#          model, to be copied to any ARM64 Linux kernel, a phone's too; docs/device.md says how.
# test     the suites on an emulated processor that has the extension (neoverse-n1), and those with
#          kernels in them also on one that does not (cortex-a53): there the first build must fall
#          back to generic C and the second must run NEON. The examples, and tools/digests.sh with
#          the x86 program in build/release, demand equal digests of whatever is simulated.
# quick    for CI, some minutes: builds the program and those suites that are quick and have bytes,
#          threads or kernels in them, and runs these on three processors: with dot products, with
#          int8 matrix products too (max), and with neither.
# SUITES="tests/engine/test_op ..." takes the place of the list of suites of the first run.
# Emulated time is not a phone's time: nothing here measures speed.
set -eu
sysroot=$PWD/build/arm64-sysroot
apt=$PWD/build/arm64-apt
libraries="libconfig-dev libgsl-dev libjansson-dev libsqlite3-dev ocl-icd-opencl-dev opencl-headers
           libcunit1-dev"
full=build/release-arm64
base=build/release-arm64-base
bundle=$PWD/build/partita-arm64
quick_kernel_suites="tests/engine/host/test_cpu tests/engine/host/test_tile"
kernel_suites="$quick_kernel_suites tests/golden/test_tokens_cpu"
jobs=${JOBS:-$(nproc)}

unpack_sysroot() {
    want=$(printf "%s " $libraries)
    [ "$(cat "$sysroot/packages" 2>/dev/null)" = "$want" ] && return
    rm -rf "$sysroot" "$apt"
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
        CC="${CCACHE:-} aarch64-linux-gnu-gcc --sysroot=$sysroot" \
        STANDIN_RUNNER="\"qemu-aarch64\", \"-cpu\", \"max\", \"-L\", \"$sysroot\"," "$@"
}

# Only the files of the kernels differ between the two builds.
build_base() { # suite...
    mkdir -p "$base"
    cp -a "$full/." "$base"
    find "$base" -name '*_neon.o' -exec rm {} +
    cross_make -arm64-base ISA_neon=-march=armv8-a "$base/partita" $(printf "$base/%s " "$@")
}

build() {
    cross_make -arm64 test-programs
    build_base $kernel_suites
}

bundle() {
    rm -rf "$bundle"
    mkdir -p "$bundle/bin" "$bundle/lib/arm64" "$bundle/data"
    aarch64-linux-gnu-strip -o "$bundle/bin/partita" "$full/partita"
    # The loader stands two folders deep: the program, asked where it is, is told the loader's
    # place, and looks for configs/ above that.
    cp -L "$sysroot/lib/ld-linux-aarch64.so.1" "$bundle/lib/arm64"
    emulated max "$sysroot/lib/ld-linux-aarch64.so.1" --list "$full/partita" |
        sed -n '/ld-linux/d; s|.* => \(/[^ ]*\) .*|\1|p' | while read -r library; do
        cp -L "$sysroot$library" "$bundle/lib/arm64"
    done
    cp -R configs "$bundle"
    cp data/partita-stories.gguf "$bundle/data"
    cat >"$bundle/partita" <<'END'
#!/bin/sh
here=$(cd "$(dirname "$0")" && pwd)
exec "$here/lib/arm64/ld-linux-aarch64.so.1" --library-path "$here/lib/arm64" "$here/bin/partita" "$@"
END
    chmod +x "$bundle/partita"
    du -sh "$bundle"
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

# Which kernels run is as much a result as that they are right: told to use NEON, Partita must
# generate with it, without a warning that a kernel disagreed with generic C, or refuse.
neon() { # processor build runs|refuses
    got=runs
    emulated "$1" "$2/partita" run data/partita-stories.gguf -p "Olga was a" -n 4 --policy cpu_only \
        --set cpu.isa=neon --set gpu.enabled=false --set npu.enabled=false >"$2/neon.txt" 2>&1 ||
        got=refuses
    if [ "$got" != "$3" ] || grep -q disagrees "$2/neon.txt" ||
        { [ $got = refuses ] && ! grep -q 'does not execute neon' "$2/neon.txt"; }; then
        cat "$2/neon.txt"
        echo "$2 on $1: NEON $got, expected: $3, and that no kernel disagrees" >&2
        return 1
    fi
    echo "$2 on $1: NEON $got $(sed -n 's/.*  logits /logits /p' "$2/neon.txt")"
}

# The bundle needs nothing of the system that it lies on: here it gets nothing of the sysroot.
bundle_runs() {
    want=$(sed -n 's/.*digest  *//p' tests/golden/examples/sim.out)
    got=$(cd "$bundle/data" && qemu-aarch64 "$bundle/lib/arm64/ld-linux-aarch64.so.1" --library-path \
        "$bundle/lib/arm64" "$bundle/bin/partita" sim --soc sd8gen3 --model llama3-8b --prompt 256 \
        --gen 32 --policy hetero_tensor --sync sleep_poll | sed -n 's/.*digest  *//p')
    echo "bundle: digest of tests/golden/examples/sim.cmd $got, on x86 $want"
    [ -n "$want" ] && [ "$got" = "$want" ]
}

neon_runs() {
    neon neoverse-n1 "$full" runs && neon cortex-a53 "$full" refuses && neon cortex-a53 "$base" runs
}

run_tests() {
    rc=0
    neon_runs || rc=1
    suites neoverse-n1 "$full" $all_suites || rc=1
    suites cortex-a53 "$full" $kernel_suites || rc=1
    suites cortex-a53 "$base" $kernel_suites || rc=1
    bundle_runs || rc=1
    sh tools/digests.sh build/release/partita "$(program neoverse-n1 "$full")" || rc=1
    return $rc
}

# Not: what an emulator takes many minutes for (values under every scheme, long event-by-event
# simulations), what starts other programs (browser, plots, job arrays), what needs an OpenCL device.
all_suites=${SUITES:-$(find tests/base tests/sim tests/dram tests/models tests/engine tests/policies \
    tests/contract/test_devices.c tests/hexagon tests/golden/test_e* tests/golden/test_tokens_cpu.c \
    -name 'test_*.c' ! -name 'test_opencl*' ! -name 'test_lpddr_schedule.c' ! -name 'test_cycle.c' \
    ! -name 'test_replay.c' | sort | sed 's/[.]c$//')}

quick_suites="$quick_kernel_suites $(find tests/base -name 'test_*.c' | sort | sed 's/[.]c$//')
    tests/engine/test_encoding tests/engine/test_gguf tests/engine/test_tokenizer tests/engine/test_executor
    tests/engine/host/test_queue"
quick() {
    cross_make -arm64 "$full/partita" $(printf "$full/%s " $quick_suites)
    build_base $quick_kernel_suites
    rc=0
    neon_runs || rc=1
    suites neoverse-n1 "$full" $quick_suites || rc=1
    suites max,pauth-impdef=on "$full" $quick_kernel_suites || rc=1
    suites cortex-a53 "$base" $quick_kernel_suites || rc=1
    return $rc
}

[ $# -gt 0 ] || set -- sysroot build bundle test
for step in "$@"; do
    case $step in
    sysroot) unpack_sysroot ;;
    build) build ;;
    bundle) bundle ;;
    test) run_tests ;;
    quick) quick ;;
    *) echo "arm64.sh: unknown step '$step': sysroot, build, bundle, test or quick" >&2 && exit 1 ;;
    esac
done
