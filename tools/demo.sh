#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# make demo: the main job end to end, explained as it goes.
set -eu
partita=${PARTITA:-build/release/partita}
model=data/partita-stories.gguf
prompt="Olga was a"
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
say() { printf '\n%s%s%s\n' "$bold" "$*" "$plain"; }
bold="" plain=""
if [ -t 1 ]; then bold=$(printf '\033[1m') plain=$(printf '\033[0m'); fi

# Shows a generation to the reader, and keeps its tokens for the comparison.
generate() { # name, options...
    name=$1
    shift
    echo
    echo "\$ partita run $model -p \"$prompt\" $*"
    $partita run "$model" -p "$prompt" -n 200 "$@"
    tokens "$name" "$@"
}
tokens() {
    name=$1
    shift
    $partita run "$model" -p "$prompt" -n 200 "$@" --json |
        sed -n '/"tokens": \[/,/\]/p' | tr -d ' \n' >"$out/$name"
    [ -s "$out/$name" ]
}

say "1. One engine, two worlds"
echo "   A real model of ours (data/) generates a story, first on this machine's CPU, then on a simulated"
echo "   Snapdragon 8 Gen 3. There the clock is virtual: the times are the phone's, not this machine's."
generate cpu --machine host --policy cpu_only --sync driver
generate soc --machine soc:sd8gen3 --policy hetero_tensor --sync sleep_poll
echo
echo "   The model is so small that the solver leaves it to the GPU. So once more with every matmul cut in"
echo "   half between GPU and NPU (--policy 'weight_centric:share=50 %'), tokens only."
tokens split --machine soc:sd8gen3 --policy "weight_centric:share=50 %" --sync sleep_poll
if cmp -s "$out/cpu" "$out/soc" && cmp -s "$out/cpu" "$out/split"; then
    echo "   CPU, simulated SoC, and simulated SoC with split matmuls: the same tokens."
else
    echo "   The tokens differ:"
    cat "$out/cpu" "$out/soc" "$out/split"
    exit 1
fi

say "2. Which split is best for Llama-3-8B on that phone?"
echo "   256 prompt tokens, 32 generated. Every partition policy with every synchronisation scheme, simulated."
echo
echo "\$ partita explore configs/space/quick.cfg --top 15"
$partita explore configs/space/quick.cfg --top 15 -j "$(nproc)" -o "$out/explore.db" |
    grep -v '^All points'
echo
echo "   What the best one does, operator by operator:"
echo "\$ partita sim --model llama3-8b --policy hetero_tensor --plan"
$partita sim --model llama3-8b --policy hetero_tensor --plan | grep -E '^(prefill|decode)|split|centric|npu-only|hybrid'

say "3. The same engine on the real back ends of this machine"
$partita list devices
echo
echo "   The best configuration of each policy now runs for real on a small model with generated weights,"
echo "   beside what its plan predicts from a profile of this machine. (On a phone, this is the proof.)"
echo
echo "\$ partita validate explore.db --model demo-60m --per-policy --top 6 --spread 0 --prompt 256 --gen 32"
$partita validate "$out/explore.db" --model demo-60m --per-policy --top 6 --spread 0 --prompt 256 --gen 32

page=build/demo-report.html
$partita report "$out/explore.db" -o "$page" -q
say "All of step 2 on a page, with plans and timelines: open $page in a browser."

say "Next: partita help, docs/guide.md, or a space of your own in configs/space/."
