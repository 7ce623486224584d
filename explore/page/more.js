// SPDX-License-Identifier: GPL-3.0-or-later
// Sections that only some stores have: several machines, and measurements on hardware.

// --- several machines

const robust = { objective: 0, chart: null };

function machineRows() {
  const m = metrics.get(objectives[robust.objective].metric),
    list = P.machines;
  const best = list.map((k) =>
    k[m.name].reduce(
      (a, v, i) => (known(v) && feasible(i) ? Math.min(a, cost(m, v)) : a),
      Infinity,
    ),
  );
  const ratio = (i, k) => {
    const v = list[k][m.name][i];
    if (!known(v)) return null;
    return best[k] > 0 ? cost(m, v) / best[k] : cost(m, v) === 0 ? 1 : null;
  };
  // The least of the largest ratios first: the robust ones; and who is best on each machine.
  // Of an objective that is 0 at best only those that reach it have a ratio.
  const rows = filter.rows(feasible).filter((i) => list.every((_, k) => known(ratio(i, k))));
  const worst = (i) => Math.max(...list.map((_, k) => ratio(i, k)));
  const sorted = rows.sort((a, b) => worst(a) - worst(b) || a - b),
    out = sorted.slice(0, 5);
  list.forEach((k) => {
    const i = rows.find((r) => cost(m, k[m.name][r]) === best[list.indexOf(k)]);
    if (known(i) && !out.includes(i)) out.push(i);
  });
  return { m, list, rows: out.slice(0, 10), ratio, worst };
}

function machinesOption(c) {
  const { m, list, rows, ratio } = machineRows(),
    look = axisLook();
  c.dom.setAttribute(
    "aria-label",
    `Ratio to the best ${m.title} on each of ${list.length} machines, for ${rows.length} configurations`,
  );
  return {
    grid: { left: 16, right: 24, top: 40, bottom: 30, containLabel: true },
    tooltip: {
      ...tooltipLook(),
      trigger: "item",
      formatter: (p) =>
        `<div class="tip"><b>${esc(label(rows[p.seriesIndex]))}</b><br>${esc(list[p.dataIndex].name)}: ${digits(p.value)} times the best</div>`,
    },
    xAxis: { ...look, type: "category", data: list.map((k) => k.name), boundaryGap: true },
    yAxis: {
      ...look,
      type: "value",
      scale: true,
      name: `${titled(m)}, times the best`,
      nameTextStyle: { ...look.nameTextStyle, align: "left" },
    },
    series: rows.map((i, k) => ({
      type: "line",
      data: list.map((_, n) => ratio(i, n)),
      symbol: symbol(k),
      symbolSize: 9,
      itemStyle: { color: colour(k) },
      lineStyle: { color: colour(k), width: k ? 1.2 : 2.5 },
    })),
  };
}

function machinesTable() {
  const { m, list, rows, worst } = machineRows();
  byId("machines-table").replaceChildren(
    el(
      "table",
      {},
      el(
        "thead",
        {},
        el(
          "tr",
          {},
          el("th", {}, ""),
          el("th", {}, "Configuration"),
          el("th", { class: "number" }, "Worst ratio"),
          list.map((k) =>
            el("th", { class: "number" }, k.name, el("span", { class: "unit" }, m.scale.unit)),
          ),
        ),
      ),
      el(
        "tbody",
        {},
        rows.map((i, k) =>
          el(
            "tr",
            {},
            el("td", {}, el("span", { class: "legend" }, swatch(k))),
            el(
              "td",
              { class: "config" },
              el("button", { type: "button", onclick: () => showDetail(i, true) }, soft(label(i))),
            ),
            el("td", { class: "number" }, worst(i).toFixed(3)),
            list.map((x) => el("td", { class: "number" }, number(m, x[m.name][i]))),
          ),
        ),
      ),
    ),
  );
}

function machines() {
  if (P.machines.length < 2) return;
  if (!objectives.length || !D.counts.ok) {
    byId("machines").replaceChildren(
      byId("h-machines"),
      el("p", { class: "note" }, "No point is feasible."),
    );
    return;
  }
  byId("machines-tools").append(
    tabs(
      "Objective",
      objectives.map((o) => titled(metrics.get(o.metric))),
      0,
      (k) => {
        robust.objective = k;
        robust.chart.draw();
        machinesTable();
      },
    ),
  );
  robust.chart = chart("machines-chart", machinesOption);
  machinesTable();
}

// --- hardware

function pairOption(c, rows, key, title) {
  const look = axisLook(),
    pairs = rows
      .map((r, k) => [r[key], r[`predicted_${key}`], k])
      .filter((p) => p[0] > 0 && p[1] > 0);
  const all = pairs.flatMap((p) => [p[0], p[1]]),
    least = Math.min(...all) / 1.1,
    most = Math.max(...all) * 1.1;
  // Few decades: numbers at equal distances are easier to read.
  const type = most > 8 * least ? "log" : "value";
  const fine = { ...look.axisLabel, formatter: (v) => digits(Number(v.toPrecision(3))) };
  c.dom.setAttribute(
    "aria-label",
    `${title}: ${pairs.length} pairs of measured and predicted values`,
  );
  return {
    grid: { left: 12, right: 24, top: 36, bottom: 40, containLabel: true },
    tooltip: {
      ...tooltipLook(),
      formatter: (p) => {
        const r = rows[p.value[2]];
        return r
          ? `<div class="tip"><b>${esc(r.policy)}</b><br>${esc(r.sync)}<br>${esc(r.machine)}, ${esc(r.model)}<br>measured ${digits(p.value[0])} ms, predicted ${digits(p.value[1])} ms</div>`
          : "";
      },
    },
    xAxis: {
      ...look,
      axisLabel: fine,
      type,
      min: least,
      max: most,
      name: `${title}, measured (ms)`,
      nameLocation: "middle",
      nameGap: 30,
    },
    yAxis: {
      ...look,
      axisLabel: fine,
      type,
      min: least,
      max: most,
      name: "predicted (ms)",
      nameTextStyle: { ...look.nameTextStyle, align: "left" },
    },
    series: [
      {
        type: "line",
        data: [
          [least, least],
          [most, most],
        ],
        symbol: "none",
        silent: true,
        lineStyle: { color: css("--strong"), type: "dashed", width: 1.2 },
      },
      {
        type: "scatter",
        symbolSize: 10,
        itemStyle: { color: css("--accent"), opacity: 0.85 },
        data: pairs,
      },
    ],
  };
}

function validation() {
  const v = D.validation,
    body = byId("validation-body"),
    kinds = [
      ["ttft_ms", "TTFT", v.ttft],
      ["tpot_ms", "TPOT", v.tpot],
    ].filter((k) => k[2].n);
  if (!v.rows.length || !kinds.length) {
    body.append(
      el(
        "p",
        { class: "note" },
        "The store holds no measurement on hardware. ",
        el("code", {}, "partita validate"),
        " runs the best found configurations for real and adds them.",
      ),
    );
    return;
  }
  body.append(
    el(
      "div",
      { class: "columns" },
      kinds.map(([key, title, s]) =>
        el(
          "div",
          {},
          el("h3", {}, title),
          el(
            "dl",
            { class: "facts" },
            el("dt", {}, "Kendall's tau"),
            el("dd", {}, known(s.tau) ? s.tau.toFixed(2) : "unknown"),
            el("dt", {}, "Mean error"),
            el("dd", {}, `${s.mean_error_percent.toFixed(1)} %`),
            el("dt", {}, "Largest error"),
            el("dd", {}, signed(s.worst_error_percent)),
          ),
          el("div", { class: "chart", id: `validation-${key}`, role: "img" }),
        ),
      ),
    ),
  );
  const off = (p, m) => (p > 0 && m > 0 ? signed(100 * (p / m - 1)) : "–"),
    ms = (x) => (known(x) ? digits(x, true) : "–");
  body.append(
    el(
      "div",
      { class: "scroll" },
      el(
        "table",
        {},
        el(
          "thead",
          {},
          el(
            "tr",
            {},
            el("th", {}, "Configuration"),
            el("th", {}, "Machine"),
            ...kinds
              .flatMap(([, t]) => [`${t} predicted`, "measured", "error"])
              .map((t) => el("th", { class: "number" }, t)),
          ),
        ),
        el(
          "tbody",
          {},
          v.rows.map((r) =>
            el(
              "tr",
              {},
              el("td", { class: "config" }, soft(`${r.policy} + ${r.sync}`)),
              el("td", {}, r.machine),
              kinds.flatMap(([k]) =>
                [
                  `${ms(r["predicted_" + k])} ms`,
                  `${ms(r[k])} ms`,
                  off(r["predicted_" + k], r[k]),
                ].map((t) => el("td", { class: "number" }, t)),
              ),
            ),
          ),
        ),
      ),
    ),
  );
  for (const [key, title] of kinds)
    chart(`validation-${key}`, (c) => pairOption(c, v.rows, key, title));
}
