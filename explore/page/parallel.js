// SPDX-License-Identifier: GPL-3.0-or-later
// Parallel coordinates over parameters and objectives.

const lines = { chart: null, extra: new Set(), rows: [], all: false };
const MOST_LINES = 20000;

// What varies for everybody, then the options that were added, then objectives.
function parallelAxes() {
  const varied = params.filter((p) => p.choices.length > 1);
  const common = varied.filter((p) => !p.kind.endsWith("option")),
    options = varied.filter((p) => lines.extra.has(p.name));
  return [...common, ...options, ...objectives.map((o) => metrics.get(o.metric))];
}

function parallelOption(c) {
  const axes = parallelAxes(),
    look = axisLook();
  lines.rows = filter
    .rows(filter.base)
    .filter((i) => filter.inBrush(i) && axes.every((a) => a.choices || known(a.value[i])))
    .slice(0, MOST_LINES);
  const few = lines.rows.length < 300;
  c.dom.setAttribute(
    "aria-label",
    `Parallel coordinates of ${lines.rows.length} configurations over ${axes.map((a) => a.name).join(", ")}`,
  );
  const long = Math.max(
    ...(axes[0] && axes[0].choices ? axes[0].choices.map((s) => s.length) : [6]),
  );
  const short = (s, n) => (s.length > n ? s.slice(0, n - 1) + "…" : s);
  const by = policies,
    label = {
      ...look.axisLabel,
      color: css("--text"),
      fontSize: 11,
      backgroundColor: css("--veil"),
      padding: [1, 3],
      borderRadius: 3,
    };
  return {
    parallel: {
      left: 24 + Math.min(150, long * 7),
      right: 70,
      top: 64,
      bottom: 24,
      parallelAxisDefault: {
        nameLocation: "end",
        nameGap: 14,
        nameTruncate: { maxWidth: 110 },
        areaSelectStyle: {
          color: css("--accent"),
          borderColor: css("--accent"),
          opacity: 0.25,
          width: 18,
        },
      },
    },
    parallelAxis: axes.map((a, k) => {
      const base = {
        dim: k,
        z: 10,
        ...look,
        splitLine: { show: false },
        axisLine: { lineStyle: { color: css("--strong"), width: 1.2 } },
      };
      if (a.choices)
        return {
          ...base,
          type: "category",
          data: [...a.choices, ...(a.kind.endsWith("option") ? ["–"] : [])],
          name: a.name.replace(".", ".\n"),
          axisLabel: { ...label, interval: 0, formatter: (s) => short(s.replace(/"/g, ""), 20) },
        };
      // The better end is up on every objective's axis.
      const values = lines.rows.map((i) => a.value[i] / a.scale.by),
        least = Math.min(...values),
        most = Math.max(...values);
      return {
        ...base,
        type: least > 0 ? "log" : "value",
        inverse: !a.rate,
        nameLocation: a.rate ? "end" : "start",
        name: axisName(a).replace(" (", "\n("),
        scale: true,
        splitNumber: 4,
        min: least > 0 && least < Infinity ? least * 0.98 : undefined,
        max: most > 0 ? most * 1.02 : undefined,
        axisLabel: { ...label, formatter: (v) => digits(Number(v.toPrecision(3))) },
      };
    }),
    series: [
      {
        type: "parallel",
        progressive: 800,
        smooth: false,
        inactiveOpacity: 0.02,
        activeOpacity: few ? 0.8 : 0.35,
        lineStyle: { width: few ? 1.2 : 0.8, opacity: few ? 0.6 : 0.18 },
        data: lines.rows.map((i) => ({
          value: axes.map((a) => (a.choices ? choiceOf(a, i) : a.value[i] / a.scale.by)),
          lineStyle: {
            color: colour(by.value[i]),
            ...(P.front[i] ? { width: 1.8, opacity: 0.9 } : {}),
          },
        })),
      },
    ],
  };
}

function parallel() {
  const section = byId("parallel"),
    options = params.filter((p) => p.kind.endsWith("option") && p.choices.length > 1);
  if (D.counts.ok < 2 || parallelAxes().length < 2) {
    section.replaceChildren(
      byId("h-parallel"),
      el(
        "p",
        { class: "note" },
        "There is too little to compare: fewer than two feasible points, or fewer than two axes.",
      ),
    );
    return;
  }
  const width = () => {
    const need = parallelAxes().length * 118 + 120,
      dom = byId("parallel-chart");
    dom.style.minWidth = `${need}px`;
  };
  width();
  if (options.length)
    byId("parallel-tools").append(
      el(
        "div",
        { class: "group", role: "group", "aria-label": "Options as axes" },
        options.map((p) =>
          toggle(p.name, false, (on) => {
            if (on) lines.extra.add(p.name);
            else lines.extra.delete(p.name);
            width();
            lines.chart.draw();
          }),
        ),
      ),
    );
  byId("parallel-tools").append(
    el("span", { class: "count", id: "parallel-count", role: "status" }),
  );
  lines.chart = chart("parallel-chart", parallelOption);
  byId("parallel-chart").style.height = `${Math.max(420, 110 + 22 * policies.choices.length)}px`;
  lines.chart.e.resize();
  const count = () => {
    byId("parallel-count").textContent = filter.lines
      ? `${plural(filter.lines.size, "line")} selected of ${lines.rows.length.toLocaleString("en")}`
      : plural(lines.rows.length, "line") +
        (lines.rows.length === MOST_LINES ? " (no more are drawn)" : "");
  };
  lines.chart.e.on("axisareaselected", () => {
    const s = lines.chart.e.getModel().getSeriesByIndex(0),
      active = s.getRawIndicesByActiveState("active"),
      inactive = s.getRawIndicesByActiveState("inactive");
    filter.lines = inactive.length ? new Set(active.map((k) => lines.rows[k])) : null;
    count();
    filter.changed("lines");
  });
  filter.listeners.push((by) => {
    if (by === "lines") return;
    filter.lines = null;
    lines.chart.draw();
    count();
  });
  count();
}
