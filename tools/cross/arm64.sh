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
#          kernels in them also on one that has int8 matrix products too (max) and on one that has
#          neither (cortex-a53): there the first build must fall back to generic C and the second must
#          run NEON. The examples, and tools/digests.sh with the x86 program in build/release, demand
#          equal digests of whatever is simulated. Under TEST_RUNNER the suites of kernels try fewer
#          sizes (test_emulated() in tests/harness.h).
# quick    for CI, some minutes: builds the program and those suites that are quick and have bytes
#          or threads in them; runs the program with each set of kernels, which it compares with
#          generic C when it opens, on processors with dot products, with int8 matrix products too
#          (max), and with neither. Where the Hexagon tools are (make deps-hexagon), the emulated DSP
#          works for the program on all three.
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
kernel_suites="tests/engine/host/test_cpu tests/engine/host/test_tile tests/golden/test_tokens_cpu"
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
    cross_make -arm64-base ISA_neon=-march=armv8-a "$base/partita" $([ $# -eq 0 ] || printf "$base/%s " "$@")
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

# Which kernels run is as much a result as that they are right: told to use them, Partita must
# generate with them, without a warning that one disagreed with generic C, or refuse.
kernels() { # processor build device isa runs|refuses
    log=$2/kernels.txt other=npu got=runs
    [ "$3" = npu ] && other=cpu
    emulated "$1" "$2/partita" run data/partita-stories.gguf -p "Olga was a" -n 4 --policy "$3_only" \
        --set "$3.isa=$4" --set gpu.enabled=false --set "$other.enabled=false" >"$log" 2>&1 ||
        got=refuses
    if [ "$got" != "$5" ] || grep -q disagrees "$log" ||
        { [ $got = refuses ] && ! grep -q "does not execute $4" "$log"; }; then
        cat "$log"
        echo "$2 on $1: $3.isa = $4 $got, expected: $5, and that no kernel disagrees" >&2
        return 1
    fi
    echo "$2 on $1: $3.isa = $4 $got $(sed -n 's/.*  logits /logits /p' "$log")"
}
all_kernels() {
    kernels neoverse-n1 "$full" cpu neon runs && kernels neoverse-n1 "$full" npu neon runs &&
        kernels neoverse-n1 "$full" npu i8mm refuses &&
        kernels max,pauth-impdef=on "$full" npu i8mm runs &&
        kernels cortex-a53 "$full" cpu neon refuses &&
        kernels cortex-a53 "$base" cpu neon runs && kernels cortex-a53 "$base" npu neon runs
}

# The program drives the emulated DSP, which is a process of its own: alone and in a split with the
# CPU; and it names a DSP that was killed (tests/hexagon/test_kills also goes on without it). The skel
# computes the same bits wherever it runs and whoever drives it, so all print one digest.
hexagon() { # processor build
    library=$PWD/$full/hexagon/emulated/libcdsprpc.so log=$2/hexagon.txt
    dsp() { # die-at policy option...
        die_at=$1
        shift
        STANDIN_DIE_AT=$die_at emulated "$processor" "$build/partita" run data/partita-stories.gguf \
            -p "Olga was a" -n 4 --set gpu.enabled=false --set cpu.threads=1 --set cpu.spin=100 \
            --set "hexagon.library=$library" --set hexagon.timeout="600 s" --policy "$@" >"$log" 2>&1
    }
    say() {
        sed -n "s|.*  logits |$build on $processor: $1: logits |p" "$log"
    }
    told() { # what has to be in the log
        grep -q "$1" "$log" && return
        cat "$log"
        echo "$build on $processor: no '$1'" >&2
        return 1
    }
    processor=$1 build=$2
    dsp 0 npu_only --set cpu.enabled=false && told "busy *npu" && say "the DSP alone" || return 1
    alone=$(sed -n 's/.*  logits //p' "$log")
    [ "$alone" = "${hexagon_logits:=$alone}" ] || {
        echo "$build on $processor: logits $alone, elsewhere $hexagon_logits" >&2
        return 1
    }
    dsp 0 weight_centric:share=50%,partner=cpu && told "cpu [0-9]* % npu [0-9]* %" &&
        say "split with the CPU" || return 1
    if dsp 150 npu_only; then
        cat "$log"
        echo "$build on $processor: the DSP was killed, and nobody noticed" >&2
        return 1
    fi
    told "npu: Hexagon DSP restarted while executing " && echo "$build on $processor: $(tail -n 1 "$log")"
}
all_hexagon() {
    if ! [ -e "$full/hexagon/emulated/libcdsprpc.so" ]; then
        echo "no Hexagon tools (make deps-hexagon): the emulated DSP is not driven"
        return
    fi
    # What the x86 program prints with the skel compiled for x86, where both were built.
    hexagon_logits=$(build/release/partita run data/partita-stories.gguf -p "Olga was a" -n 4 \
        --policy npu_only --set gpu.enabled=false --set cpu.enabled=false \
        --set "hexagon.library=$PWD/build/release/hexagon/native/libcdsprpc.so" 2>/dev/null |
        sed -n 's/.*  logits //p')
    hexagon neoverse-n1 "$full" && hexagon max,pauth-impdef=on "$full" && hexagon cortex-a53 "$base"
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

other_processors() {
    rc=0
    suites max,pauth-impdef=on "$full" $kernel_suites || rc=1
    suites cortex-a53 "$full" $kernel_suites || rc=1
    suites cortex-a53 "$base" $kernel_suites || rc=1
    return $rc
}

run_tests() {
    rc=0
    all_kernels || rc=1
    all_hexagon || rc=1
    other_processors >"$full/other_processors.txt" 2>&1 & # at the same time
    others=$!
    suites neoverse-n1 "$full" $all_suites || rc=1
    wait $others || rc=1
    cat "$full/other_processors.txt"
    bundle_runs || rc=1
    sh tools/digests.sh build/release/partita "$(program neoverse-n1 "$full")" || rc=1
    return $rc
}

# Not: what an emulator takes many minutes for (values under every scheme, long event-by-event
# simulations), what starts other programs (browser, plots, job arrays), what needs an OpenCL device.
all_suites=${SUITES:-$(find tests/base tests/sim tests/dram tests/models tests/engine tests/policies \
    tests/contract/test_devices.c tests/hexagon tests/golden/test_e* tests/golden/test_tokens_cpu.c \
    tests/golden/test_tokens_emulated.c \
    -name 'test_*.c' ! -name 'test_opencl*' ! -name 'test_lpddr_schedule.c' ! -name 'test_cycle.c' \
    ! -name 'test_replay.c' | sort | sed 's/[.]c$//')}

quick_suites="$(find tests/base -name 'test_*.c' | sort | sed 's/[.]c$//') tests/engine/test_encoding
    tests/engine/test_gguf tests/engine/test_tokenizer tests/engine/host/test_queue"
quick() {
    cross_make -arm64 "$full/partita" $(printf "$full/%s " $quick_suites) hexagon-standin
    build_base
    rc=0
    all_kernels || rc=1
    all_hexagon || rc=1
    suites neoverse-n1 "$full" $quick_suites || rc=1
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
