#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""The result of tools/loop.sh as a page: loop_report.py FOLDER SETTINGS [TIME...] > README.md.

Writes validate.csv beside it. Says what kind of computer it was, never which."""
import csv
import json
import os
import re
import sys


def computer():
    """Kind of processor, cores, memory, kernel: no names of hosts, no paths."""
    with open("/proc/cpuinfo", encoding="utf-8") as f:
        text = f.read()
    model = re.search(r"model name\s*: (.*)", text)
    flags = re.search(r"(?:flags|Features)\s*: (.*)", text)
    known = ["avx2", "avx512f", "avx512_vnni", "amx_int8", "asimddp", "i8mm"]
    has = [k for k in known if flags and k in flags.group(1).split()]
    with open("/proc/meminfo", encoding="utf-8") as f:
        memory = int(re.search(r"MemTotal:\s*(\d+)", f.read()).group(1)) / 2**20
    cores = len(os.sched_getaffinity(0))
    load = os.getloadavg()[2]
    return (f"{model.group(1) if model else os.uname().machine}, {cores} cores "
            f"({', '.join(has) or 'no vector extensions of note'}), {memory:.0f} GiB, "
            f"Linux {os.uname().release.split('-')[0]}; load of the last quarter of an hour {load:.1f}")


def percent(x):
    return "-" if x is None else f"{100 * x:.1f} %"


def number(x, digits=2):
    return "-" if x is None else f"{x:.{digits}f}"


def main():
    out, settings, times = sys.argv[1], sys.argv[2], sys.argv[3:]
    with open(os.path.join(out, "validate.json"), encoding="utf-8") as f:
        v = json.load(f)
    rows = v["configurations"]
    ran = [r for r in rows if r["ok"]]
    columns = ["rank", "chosen", "policy", "sync", "ok", "reason"]
    for m in ("ttft", "tpot", "total"):
        columns += [f"predicted_{m}_ms", f"{m}_ms", f"{m}_low_ms", f"{m}_high_ms", f"{m}_error"]
    with open(os.path.join(out, "validate.csv"), "w", encoding="utf-8", newline="") as f:
        w = csv.writer(f, lineterminator="\n")
        w.writerow(columns)
        for r in rows:
            w.writerow([r.get(c) for c in columns])
    print("# The loop on this machine\n")
    print("Made by `tools/loop.sh`: profile, fit, explore, validate ([docs/loop.md](../../docs/loop.md)).\n")
    print(f"- Machine: {computer()}")
    print(f"- Settings of the commands that measure: `{settings}`")
    print(f"- Model: {v['model']}, {v['n_prompt']} prompt tokens + {v['n_gen']} generated")
    print(f"- {len(rows)} configurations, {len(ran)} ran, {v['repeats']} rounds that took turns; "
          "medians")
    if times:
        print(f"- Time: {', '.join(times)}")
    print("\n## Figures\n")
    print("| | wanted | time to first token | per further token | all of it |")
    print("|---|---|---|---|---|")
    s = v["summary"]
    of = ("ttft", "tpot", "total")
    print("| median error | at most 15 % |", " | ".join(percent(s[m]["median_error"]) for m in of), "|")
    print("| largest error | |", " | ".join(percent(s[m]["largest_error"]) for m in of), "|")
    print("| Kendall's tau | at least 0.7 |", " | ".join(number(s[m]["tau"]) for m in of), "|")
    order = [f"{s[m]['pairs_right']} of {s[m]['pairs_apart']}" for m in of]
    print("| pairs in the right order, of those told apart | |", " | ".join(order), "|")
    print("| regret of the choice | at most 5 % |", " | ".join(percent(s[m]["regret"]) for m in of), "|")
    spread = []
    for m in of:
        wide = sorted((r[f"{m}_high_ms"] - r[f"{m}_low_ms"]) / r[f"{m}_ms"] / 2 for r in ran
                      if r.get(f"{m}_high_ms") is not None)
        spread.append(percent(wide[len(wide) // 2]) if wide else "-")
    print("| half an interval, median | |", " | ".join(spread), "|")
    print("\nThe interval says how well the machine repeats itself: errors below it are noise, and "
          "so is the order\nof configurations that are closer than that: two are told apart when "
          "their intervals do not meet. For tau, times\nthat are less than 1 % apart are ties.\n")
    print("## Configurations\n")
    print("| policy | sync | TTFT ms | predicted | error | TPOT ms | predicted | error |")
    print("|---|---|---:|---:|---:|---:|---:|---:|")
    for r in sorted(ran, key=lambda r: r["total_ms"]):
        print(f"| {r['policy']} | {r['sync']} | {number(r['ttft_ms'], 1)} | "
              f"{number(r['predicted_ttft_ms'], 1)} | {percent(r['ttft_error'])} | "
              f"{number(r['tpot_ms'])} | {number(r['predicted_tpot_ms'])} | "
              f"{percent(r['tpot_error'])} |")
    for r in rows:
        if not r["ok"]:
            print(f"\nNot run: {r['policy']} with {r['sync']}: {r['reason']}")
    print("\nFiles: `host.csv` the profile (`profile.txt` in words), `my-device.cfg` the fitted "
          "simulator (`fit.txt`: what\nthe profile determines of it, and how well each point is met), "
          "`space.cfg` what was explored, `explore.csv` every\npoint, `validate.json` and "
          "`validate.csv` what was measured, `plot.svg`.")


main()
