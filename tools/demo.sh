#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# make demo: the main job end to end, explained as it goes.
set -eu
partita=${PARTITA:-build/release/partita}
model=data/partita-stories.gguf
prompt=${DEMO_PROMPT:-Once upon a time}
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
say() { printf '\n\033[1m%s\033[0m\n' "$*"; }
tokens() { sed -n '/"tokens": \[/,/\]/p' "$1" | tr -d ' \n'; }

say "1. One engine, two worlds: the same model on this CPU and on a simulated Snapdragon 8 Gen 3"
echo "   The engine runs a real model of ours (data/). First on the real CPU, then on a simulated SoC,"
echo "   where GPU and NPU share every layer under the hetero_tensor policy and the clock is virtual."
echo
echo "\$ partita run $model -p \"$prompt\" -n 60 --machine host --policy cpu_only --sync driver"
$partita run $model -p "$prompt" -n 60 --machine host --policy cpu_only --sync driver
$partita run $model -p "$prompt" -n 60 --machine host --policy cpu_only --sync driver --json >"$out/cpu"
echo
echo "\$ partita run $model -p \"$prompt\" -n 60 --machine soc:sd8gen3 --policy hetero_tensor --sync sleep_poll"
$partita run $model -p "$prompt" -n 60 --machine soc:sd8gen3 --policy hetero_tensor --sync sleep_poll
$partita run $model -p "$prompt" -n 60 --machine soc:sd8gen3 --policy hetero_tensor --sync sleep_poll --json >"$out/soc"
if [ "$(tokens "$out/cpu")" = "$(tokens "$out/soc")" ]; then
    echo
    echo "   Both worlds generated the same tokens."
else
    echo "   The tokens differ:" && tokens "$out/cpu" && tokens "$out/soc"
    exit 1
fi

say "2. Which split is best for Llama-3-8B on that phone? (prompt 256, 32 tokens, all in simulation)"
echo "   Every partition policy with every synchronisation scheme, ranked."
echo
echo "\$ partita explore configs/space/quick.cfg --top 15"
$partita explore configs/space/quick.cfg --top 15 -j "$(nproc)" -o "$out/explore.csv"

say "3. The same engine on the real back ends of this machine: OpenCL GPU, CPU, tile NPU"
$partita list devices
echo
echo "   The best configurations of step 2 run for real, on a small model with generated weights,"
echo "   beside what the plan predicts from this machine's own profile."
echo
echo "\$ partita validate explore.csv --model configs/model/demo-60m.cfg --machine host --top 4"
$partita validate "$out/explore.csv" --model configs/model/demo-60m.cfg --machine host --top 4

say "Next: partita help, docs/guide.md, or your own space in configs/space/."
