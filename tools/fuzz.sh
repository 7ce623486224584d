#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# Builds every tests/fuzz/fuzz_*.c with libFuzzer and the sanitizers into build/fuzz/.
#   tools/fuzz.sh "BASE CFLAGS"                 build, say how to run
#   FUZZ_SECONDS=60 tools/fuzz.sh "..."         run each target that long, on its kept corpus
#   FUZZ_TARGETS="conf gguf"                    only these
# A crash leaves its input in build/fuzz/crashes/TARGET-*; run the target on that file to see it again.
set -e
out=build/fuzz
san="-O1 -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=undefined"
pkgs="libconfig gsl jansson sqlite3"
cflags="$1 -I$out/gen $san -fno-omit-frame-pointer $(pkg-config --cflags $pkgs)"
mkdir -p $out/gen $out/obj $out/crashes
command -v clang >/dev/null || { echo "fuzz: clang is not installed" >&2; exit 1; }

# The same flags per instruction set as in the Makefile.
isa() {
    [ "$(uname -m)" = x86_64 ] || return 0
    case $1 in
    *_avx2.c) echo "-mavx2 -mfma -mf16c" ;;
    *_avx512.c) echo "-mavx2 -mfma -mf16c -mavx512f -mavx512bw -mavx512vl -mavx512dq -mavx512vnni" ;;
    esac
}

# compile SOURCE OBJECT: when the source or any header is newer.
compile() {
    if [ -f "$2" ] && [ -z "$(find "$1" base sim engine explore tests/base -newer "$2" \
        \( -path "$1" -o -name '*.h' \) -print -quit)" ]; then return; fi
    echo "  FUZZ $1"
    # shellcheck disable=SC2046,SC2086 # flags are words
    clang $cflags $(isa "$1") -c "$1" -o "$2"
}

# Of explore, the readers of profiles, spaces, traces and stores.
# Registries come without their plug-ins except those whose names and options are in files.
for r in engine/encoding:encoding:encoding_ policies/partition:policy_ops:policy_ \
    policies/sync:sync_ops:sync_; do
    gen=$out/gen/registry_$(echo "${r%%:*}" | tr / _).c
    sh tools/registry.sh "$r" >"$gen.new"
    cmp -s "$gen.new" "$gen" || cp "$gen.new" "$gen"
done
rm -f $out/gen/registry.c
rm -f $out/obj/list
for src in base/*.c sim/*.c engine/*.c engine/encoding/*.c explore/characterise_csv.c \
    explore/requests*.c explore/space*.c explore/metrics.c explore/store*.c policies/partition/*.c policies/sync/*.c \
    engine/host/npu/dsp/*.c $out/gen/registry_*.c; do
    [ -f "$src" ] || continue
    obj=$out/obj/$(echo "$src" | tr / _ | sed 's/c$/o/')
    compile "$src" "$obj"
    echo "$obj" >>$out/obj/list
done
rm -f $out/library.a
xargs ar rcsD $out/library.a <$out/obj/list

export UBSAN_OPTIONS=print_stacktrace=1
export LSAN_OPTIONS="suppressions=$PWD/tests/lsan.supp:print_suppressions=0"
for src in tests/fuzz/fuzz_*.c; do
    name=$(basename "$src" .c) short=${src#tests/fuzz/fuzz_} short=${short%.c}
    case " ${FUZZ_TARGETS:-$short} " in *" $short "*) ;; *) continue ;; esac
    compile "$src" "$out/obj/$name.o"
    # shellcheck disable=SC2046
    clang -fsanitize=fuzzer,address,undefined "$out/obj/$name.o" $out/library.a -o "$out/$name" \
        $(pkg-config --libs $pkgs) -lm -pthread
    mkdir -p "$out/corpus/$short"
    if [ -n "$FUZZ_SECONDS" ]; then
        seeds=
        [ -d "tests/fuzz/seeds/$short" ] && seeds=tests/fuzz/seeds/$short
        echo "== $name, $FUZZ_SECONDS s"
        # shellcheck disable=SC2086
        "$out/$name" -max_total_time="$FUZZ_SECONDS" -max_len=65536 -timeout=10 -print_final_stats=1 \
            -artifact_prefix="$out/crashes/$short-" "$out/corpus/$short" $seeds
    else
        echo "$out/$name $out/corpus/$short    # runs until stopped; or FUZZ_SECONDS=60 make fuzz"
    fi
done
