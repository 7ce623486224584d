// SPDX-License-Identifier: GPL-3.0-or-later
// Plans: one bar per operator. Where only rows or only tokens are split the bar runs along them;
// where both are it is a rectangle, rows across and tokens down.

const chosen = { run: 0, step: [0, 0], listeners: [] };
const runnable = () => D.runs.filter((r) => r.plans.length);

// What a run is best in.
function runName(r) {
  const best = objectives
    .filter((o) => o.best === r.row)
    .map((o) => metrics.get(o.metric))
    .map((m) => `${m.rate ? "highest" : "least"} ${m.title}`);
  if (D.top[0] === r.row) best.unshift("best score");
  if (!best.length && objectives.some((o) => o.gpu_only === r.row)) best.push("best gpu_only");
  const text = best.join(", ") || policyOf(r.row);
  return text[0].toUpperCase() + text.slice(1);
}

const deviceClass = (name) => (["gpu", "npu", "cpu"].includes(name) ? `dev-${name}` : "dev-other");
const upper = (name) => name.toUpperCase();

function opBar(op, devices) {
  const rows = op.shards.some((s) => s.m0 !== 0 || s.m1 !== op.m),
    tokens = op.shards.some((s) => s.n0 !== 0 || s.n1 !== op.n);
  const both = rows && tokens,
    bar = el("div", { class: both ? "op-bar square" : "op-bar" });
  for (const s of op.shards) {
    const name = devices[s.device],
      part = ((s.m1 - s.m0) * (s.n1 - s.n0)) / (op.m * op.n);
    const [x0, x1] = rows ? [s.m0 / op.m, s.m1 / op.m] : [s.n0 / op.n, s.n1 / op.n];
    const [y0, y1] = both ? [s.n0 / op.n, s.n1 / op.n] : [0, 1];
    const padded = s.n_pad && s.n_pad > s.n1 - s.n0 ? ` (padded to ${s.n_pad})` : "";
    const what = `${upper(name)}: rows ${s.m0}–${s.m1} of ${op.m}, tokens ${s.n0}–${s.n1} of ${op.n}${padded}${s.order ? `, ${s.order}` : ""}`;
    const short =
      part > 0.999 ? upper(name) : `${upper(name)} ${digits(Math.round(1000 * part) / 10)} %`;
    const slice =
      part > 0.999
        ? ""
        : rows
          ? ` · ${(s.m1 - s.m0).toLocaleString("en")} rows`
          : ` · ${plural(s.n1 - s.n0, "token")}`;
    bar.append(
      el(
        "div",
        {
          class: `shard ${deviceClass(name)}`,
          title: what,
          style: `left: ${100 * x0}%; width: ${100 * (x1 - x0)}%; top: ${100 * y0}%; height: ${100 * (y1 - y0)}%`,
        },
        el("span", {}, short + slice + padded),
      ),
    );
  }
  bar.setAttribute("role", "img");
  bar.setAttribute(
    "aria-label",
    `${op.name}: ${op.shards.map((s) => `${upper(devices[s.device])} rows ${s.m0} to ${s.m1}, tokens ${s.n0} to ${s.n1}`).join("; ")}`,
  );
  return bar;
}

function planBody(run, plan, k) {
  const step = plan.steps[Math.min(chosen.step[k], plan.steps.length - 1)],
    grid = el("div", { class: "plan" });
  let part = "";
  const before = step.ops.findIndex((o) => o.block);
  step.ops.forEach((op, n) => {
    const now = op.block
      ? `Decoder block, ${run.n_layer} times`
      : n < before
        ? "Before the blocks"
        : "Head";
    if (now !== part) grid.append(el("div", { class: "split" }, now));
    part = now;
    grid.append(
      el("div", { class: "op" }, op.name),
      opBar(op, run.devices),
      el(
        "div",
        { class: "strategy" },
        `${op.strategy}; ${op.m.toLocaleString("en")} × ${plural(op.n, "token")}`,
      ),
    );
  });
  const steps =
    plan.steps.length > 1
      ? el(
          "div",
          { class: "toolbar" },
          select(
            "Step",
            plan.steps.map((s, i) => [
              String(i),
              `${i + 1} of ${plan.steps.length}: tokens ${s.n0}–${s.n1}`,
            ]),
            String(chosen.step[k]),
            (v) => {
              chosen.step[k] = Number(v);
              showPlans();
            },
          ),
        )
      : null;
  return el(
    "div",
    {},
    el(
      "h3",
      {},
      `${plan.phase === "prefill" ? "Prefill" : "Decode"}, ${plural(plan.n_tokens, "token")}`,
    ),
    plan.prepare_online
      ? el("p", { class: "muted" }, "Static graphs are prepared during the run.")
      : null,
    steps,
    grid,
  );
}

// How far the plan's prediction is from the least that the cost model knows for any plan.
function gapText(r) {
  const gap = (k) =>
    known(r.optimum[k]) && known(r.predicted[k]) ? r.predicted[k] / r.optimum[k] - 1 : null;
  const text = (name, k) =>
    known(gap(k))
      ? [
          `${name} ${signed(100 * gap(k))} (predicted ${digits(r.predicted[k])} ms, optimum ${digits(r.optimum[k])} ms)`,
        ]
      : [];
  return [...text("prefill", "prefill_ms"), ...text("decode step", "step_ms")].join(", ");
}

function showPlans() {
  const r = runnable()[chosen.run];
  const used = new Set(
    r.plans.flatMap((p) =>
      p.steps.flatMap((s) => s.ops.flatMap((o) => o.shards.map((h) => h.device))),
    ),
  );
  byId("plans-body").replaceChildren(
    el("p", {}, el("code", {}, soft(label(r.row)))),
    gapText(r)
      ? el("p", { class: "muted" }, `Against the exact optimum of the cost model: ${gapText(r)}.`)
      : "",
    r.differs
      ? el(
          "p",
          { class: "note" },
          "Run again for this page it took other times than the store holds: the store was made by another version, or with settings that are not in it. The plan shown is that of the run.",
        )
      : "",
    r.failed ? el("p", { class: "note" }, r.failed) : "",
    el(
      "div",
      { class: "legend" },
      r.devices
        .map((d, k) => [d, k])
        .filter(([, k]) => used.has(k))
        .map(([d]) => el("span", {}, el("i", { class: `swatch ${deviceClass(d)}` }), upper(d))),
    ),
    ...r.plans.map((p, k) => planBody(r, p, k)),
  );
}

function selectRun(k) {
  const list = runnable();
  chosen.run = list.indexOf(D.runs[k]);
  chosen.step = [0, 0];
  byId("plans-tools")
    .querySelectorAll("button")
    .forEach((b, n) => b.setAttribute("aria-pressed", String(n === chosen.run)));
  showPlans();
  chosen.listeners.forEach((l) => l());
}

function plans() {
  const list = runnable(),
    failed = D.runs.find((r) => r.failed);
  if (!list.length) {
    byId("plans").replaceChildren(
      byId("h-plans"),
      el(
        "p",
        { class: "note" },
        D.no_runs || (failed ? failed.failed : "No configuration was run again for this page."),
      ),
    );
    return;
  }
  byId("plans-tools").append(
    tabs("Configuration", list.map(runName), 0, (k) => selectRun(D.runs.indexOf(list[k]))),
  );
  showPlans();
}
