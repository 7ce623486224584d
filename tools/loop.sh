#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# From an unknown device to a proven configuration, in four commands (docs/loop.md): profile the
# machine, fit a simulator to the profile, explore with the simulator, and run what it says on the
# machine. Everything that comes out is kept in one folder. A quiet machine, please: what else runs
# is measured too.
#
#   tools/loop.sh [FOLDER]      default: results/host-loop
#   MACHINE=soc:sd8gen3         another machine than host
#   ROUNDS=9                    of the profile
#   TOP=10 SPREAD=20 REPEAT=21  configurations (the best, and of the rest) and rounds
#   SETS="--set npu.pin=[1]"    settings of the machine; default on the host: every thread has its
#                               core, the NPU and the control thread the last one
#   WRAP="nice -n -19"          in front of the commands that measure
set -eu
cd "$(dirname "$0")/.."
out=${1:-results/host-loop} machine=${MACHINE:-host} space=${SPACE:-host}
partita=${PARTITA:-build/release/partita}
[ -x "$partita" ] || make -s "$partita"
mkdir -p "$out"
rm -f "$out"/explore.db "$out"/validate.json

if [ "$machine" = host ]; then
    last=$(($(nproc) - 1))
    sets=${SETS---set cpu.pin=[$(seq -s, 0 $last)] --set npu.pin=[$last] --set control_pin=[$last]}
else
    sets=${SETS-}
fi

say() { echo "== $*"; }
# shellcheck disable=SC2086 # words: WRAP is a command, sets are options
measured() { command=$1; shift; ${WRAP:-} "$partita" "$command" --machine "$machine" $sets "$@"; }

say profile; began=$(date +%s)
measured profile --rounds "${ROUNDS:-9}" -o "$out/host.csv" > "$out/profile.txt"
profiled=$(date +%s)
say fit
"$partita" fit --given "$out/host.csv" -o "$out/my-device.cfg" > "$out/fit.txt"
fitted=$(date +%s)
say explore
cp "configs/space/$space.cfg" "$out/space.cfg"
"$partita" explore "$out/space.cfg" --soc "$out/my-device.cfg" -o "$out/explore.db" -q \
    --csv "$out/explore.csv" > "$out/explore.txt"
model=$(sed -n 's/^model = "\(.*\)";.*/\1/p' "$out/space.cfg")
explored=$(date +%s)
say validate
measured validate "$out/explore.db" --model "$model" \
    --predicted exploration --plan-soc "$out/my-device.cfg" \
    --top "${TOP:-10}" --spread "${SPREAD:-20}" --repeat "${REPEAT:-21}" \
    --plot "$out/plot.svg" --json > "$out/validate.json"
validated=$(date +%s)
rm -f "$out"/explore.db-*
python3 tools/loop_report.py "$out" "${sets:-no settings}" "profile $((profiled - began)) s" "fit $((fitted - profiled)) s" \
    "explore $((explored - fitted)) s" "validate $((validated - explored)) s" > "$out/README.md"
sed -n '/^## Figures/,/^## Conf/p' "$out/README.md"
