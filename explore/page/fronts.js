// SPDX-License-Identifier: GPL-3.0-or-later
// Pareto fronts over any two metrics, the filters, and what is known of one point.

const view = {
  x: null,
  y: null,
  by: "policy",
  log: false,
  near: true,
  brushing: false,
  chart: null,
};

// Of rows with both values: those that nothing beats in both, from left to right.
function frontOf(rows, x, y) {
  const sorted = rows
    .filter((i) => feasible(i))
    .sort(
      (a, b) =>
        cost(x, x.value[a]) - cost(x, x.value[b]) || cost(y, y.value[a]) - cost(y, y.value[b]),
    );
  const out = [];
  let least = Infinity;
  for (const i of sorted)
    if (cost(y, y.value[i]) < least) {
      out.push(i);
      least = cost(y, y.value[i]);
    }
  return out;
}

// From the best value to a bit beyond the worst on the front: what is far from it is of no interest.
function nearRange(m, front) {
  if (!front.length) return {};
  const v = front.map((i) => m.value[i] / m.scale.by),
    least = Math.min(...v),
    most = Math.max(...v);
  if (!(most > 0)) return {};
  return m.rate ? { min: least / 1.6, max: most * 1.04 } : { min: least / 1.04, max: most * 1.6 };
}
function nice(r) {
  const f = (v, up) => {
    const p = 10 ** (Math.floor(Math.log10(v)) - 1);
    return (up ? Math.ceil(v / p) : Math.floor(v / p)) * p;
  };
  return r.min > 0 ? { min: f(r.min, false), max: f(r.max, true) } : r;
}

function frontsOption(c) {
  const x = metrics.get(view.x),
    y = metrics.get(view.y),
    look = axisLook();
  const by = view.by === "policy" ? policies : syncs;
  const rows = filter
    .rows(filter.base)
    .filter(
      (i) => known(x.value[i]) && known(y.value[i]) && (!filter.lines || filter.lines.has(i)),
    );
  const front = frontOf(rows, x, y),
    place = (i) => [x.value[i] / x.scale.by, y.value[i] / y.scale.by, i];
  const close = front.concat(rows.filter((i) => P.front[i]));
  const rx = view.near ? nice(nearRange(x, close)) : {},
    ry = view.near ? nice(nearRange(y, close)) : {};
  const inside = (v, r) => r.min === undefined || (v >= r.min && v <= r.max);
  const hidden = rows.filter((i) => {
    const p = place(i);
    return !inside(p[0], rx) || !inside(p[1], ry);
  }).length;
  byId("fronts-count").textContent =
    `${plural(rows.length, "point")} shown` +
    (hidden ? `, of these ${hidden.toLocaleString("en")} outside the range` : "") +
    `; ${front.length} on the line` +
    (filter.brush
      ? `; ${plural(filter.rows(filter.all).length, "point")} in the selected area`
      : "");
  c.dom.setAttribute(
    "aria-label",
    `Scatter chart of ${y.title} over ${x.title}: ${rows.length} configurations, ${front.length} on the front`,
  );
  const size = rows.length > 1500 ? 6 : 9;
  const series = by.choices.map((name, k) => ({
    type: "scatter",
    name,
    symbol: symbol(k),
    symbolSize: size,
    itemStyle: { color: colour(k), opacity: 0.75 },
    large: false,
    emphasis: {
      scale: 1.6,
      itemStyle: { opacity: 1, borderColor: css("--text"), borderWidth: 1.5 },
    },
    data: rows
      .filter((i) => by.value[i] === k)
      .map((i) => ({
        value: place(i),
        itemStyle: feasible(i)
          ? undefined
          : { color: "transparent", borderColor: colour(k), borderWidth: 1.2 },
      })),
  }));
  series.push({
    type: "line",
    name: "front",
    data: front.map(place),
    symbol: "none",
    step: "end",
    lineStyle: { color: css("--text"), width: 1.5 },
    z: 3,
    silent: true,
    tooltip: { show: false },
  });
  series.push({
    type: "scatter",
    name: "ring",
    symbol: "circle",
    symbolSize: size + 6,
    silent: true,
    z: 4,
    tooltip: { show: false },
    itemStyle: { color: "transparent", borderColor: css("--text"), borderWidth: 1.2 },
    data: rows.filter((i) => P.front[i]).map(place),
  });
  const kind = view.log ? "log" : "value";
  const labels = { ...look.axisLabel, formatter: (v) => digits(Number(v.toPrecision(4))) };
  return {
    grid: { left: 12, right: 24, top: 36, bottom: 40, containLabel: true },
    tooltip: { ...tooltipLook(), trigger: "item", formatter: (p) => tip(p.value[2]) },
    xAxis: {
      ...look,
      axisLabel: labels,
      type: kind,
      scale: true,
      name: axisName(x),
      nameLocation: "middle",
      nameGap: 30,
      ...rx,
    },
    yAxis: {
      ...look,
      axisLabel: labels,
      type: kind,
      scale: true,
      name: axisName(y),
      nameLocation: "end",
      nameTextStyle: { ...look.nameTextStyle, align: "left" },
      ...ry,
    },
    brush: {
      xAxisIndex: 0,
      brushMode: "single",
      throttleType: "debounce",
      throttleDelay: 150,
      outOfBrush: { colorAlpha: 0.12 },
      brushStyle: { borderColor: css("--accent"), color: "rgba(90,140,200,.12)", borderWidth: 1 },
    },
    series,
  };
}

function setBrush(b) {
  filter.brush = b;
  byId("brush-clear").disabled = !b;
  filter.changed("brush");
}

function frontsLegend() {
  const by = view.by === "policy" ? policies : syncs;
  const used = new Set(filter.rows(filter.base).map((i) => by.value[i]));
  byId("fronts-legend").replaceChildren(
    ...by.choices
      .map((c, k) => [c, k])
      .filter(([, k]) => used.has(k))
      .map(([c, k]) => el("span", {}, swatch(k), c)),
  );
}

// --- one point

function showDetail(i, scroll) {
  const box = byId("detail"),
    run = D.runs.findIndex((r) => r.row === i && r.plans.length);
  const soc = D.campaign.machine.split(", ")[0].replace(/^soc:/, ""),
    [n, g] = D.campaign.workload.split("+");
  const quote = (s) => (/^[\w.:=,+-]+$/.test(s) ? s : `'${s.replace(/'/g, "'\\''")}'`);
  const set = [D.campaign.settings, socOf(i)]
    .flatMap((s) => (s ? s.split("; ") : []))
    .map((s) => ` --set ${quote(s)}`)
    .join("");
  const simple = /^soc:[^,]+$/.test(D.campaign.machine) && /^\d+\+\d+$/.test(D.campaign.workload);
  const actions = el("div", { class: "toolbar" });
  if (run >= 0)
    actions.append(
      el(
        "button",
        {
          type: "button",
          onclick: () => {
            selectRun(run);
            byId("plans").scrollIntoView();
          },
        },
        "Show its plan and timeline",
      ),
    );
  actions.append(el("button", { type: "button", onclick: () => box.replaceChildren() }, "Close"));
  box.replaceChildren(
    el("h3", { tabindex: "-1" }, soft(label(i))),
    feasible(i)
      ? ""
      : el("p", { class: "note" }, `${statusOf(i)}${reasonOf(i) ? ": " + reasonOf(i) : ""}`),
    el(
      "dl",
      { class: "metrics" },
      P.metrics
        .filter((m) => known(m.value[i]))
        .map((m) => el("div", {}, el("dt", {}, titled(m)), el("dd", {}, withUnit(m, m.value[i])))),
    ),
    simple
      ? el(
          "p",
          {},
          "To run it again: ",
          el(
            "code",
            {},
            `partita sim --soc ${soc} --model ${quote(D.campaign.model)} --prompt ${n} --gen ${g} --policy ${quote(policyOf(i))} --sync ${quote(syncOf(i))}${set}`,
          ),
        )
      : "",
    actions,
  );
  if (scroll) {
    box.scrollIntoView({ block: "center" });
    box.querySelector("h3").focus({ preventScroll: true });
  }
}

// --- filters

function chips(name, param, set) {
  const buttons = param.choices.map((c, k) => {
    const b = el(
      "button",
      {
        type: "button",
        class: "chip",
        "aria-pressed": "true",
        onclick: (e) => {
          // With Alt: only this one.
          if (e.altKey) {
            set.clear();
            set.add(k);
          } else if (set.has(k)) set.delete(k);
          else set.add(k);
          show();
          filter.changed("chips");
        },
      },
      name === "Policy" ? swatch(k) : null,
      c,
    );
    return b;
  });
  const show = () => buttons.forEach((b, k) => b.setAttribute("aria-pressed", String(set.has(k))));
  const all = (on) => {
    set.clear();
    if (on) param.choices.forEach((_, k) => set.add(k));
    show();
    filter.changed("chips");
  };
  return el(
    "div",
    { class: "filter" },
    el("div", { class: "name" }, name),
    el(
      "div",
      { class: "chips", role: "group", "aria-label": name },
      buttons,
      el("button", { type: "button", class: "chip", onclick: () => all(true) }, "all"),
      el("button", { type: "button", class: "chip", onclick: () => all(false) }, "none"),
    ),
  );
}

function filters() {
  const check = (text, key) => {
    const c = el("input", {
      type: "checkbox",
      id: `only-${key}`,
      checked: filter[key],
      onchange: () => {
        filter[key] = c.checked;
        filter.changed(key);
      },
    });
    return el("label", { class: "check" }, c, text);
  };
  const hint = "hold Alt to keep only one";
  byId("filters").append(
    chips("Policy", policies, filter.policies),
    chips("Scheme", syncs, filter.syncs),
    el(
      "div",
      { class: "filter" },
      el("div", { class: "name" }, "Only"),
      el(
        "div",
        { class: "toolbar", style: "margin: .2rem 0" },
        check("feasible", "feasible"),
        check("on the front over all objectives", "front"),
        el("span", { class: "count" }, hint),
      ),
    ),
  );
}

function fronts() {
  const choices = P.metrics.filter((m) => m.value.some(known));
  if (!choices.length || !D.counts.points) {
    byId("fronts").replaceChildren(
      byId("h-fronts"),
      el("p", { class: "note" }, "No point has a value."),
      byId("detail"),
    );
    filter.listeners.push(() => {});
    return;
  }
  const first = objectives.map((o) => o.metric).concat(choices.map((m) => m.name));
  view.x = first[0];
  view.y = first.find((m) => m !== view.x) || view.x;
  // The two objectives between which there is most to choose.
  let most = 1;
  for (const a of objectives)
    for (const b of objectives.slice(objectives.indexOf(a) + 1)) {
      const [x, y] = [metrics.get(a.metric), metrics.get(b.metric)];
      const rows = filter.rows((i) => feasible(i) && known(x.value[i]) && known(y.value[i]));
      const n = frontOf(rows, x, y).length;
      if (n > most) [most, view.x, view.y] = [n, x.name, y.name];
    }
  filters();
  const options = choices.map((m) => [m.name, axisName(m)]);
  const redraw = () => {
    setBrush(null);
    view.chart.draw();
  };
  const brush = toggle("Select an area", false, (on) => {
    view.brushing = on;
    view.chart.e.dispatchAction({
      type: "takeGlobalCursor",
      key: "brush",
      brushOption: on ? { brushType: "rect", brushMode: "single" } : { brushType: false },
    });
  });
  byId("fronts-tools").append(
    select("Across", options, view.x, (v) => {
      view.x = v;
      redraw();
    }),
    select("Up", options, view.y, (v) => {
      view.y = v;
      redraw();
    }),
    select(
      "Colour by",
      [
        ["policy", "policy"],
        ["sync", "scheme"],
      ],
      view.by,
      (v) => {
        view.by = v;
        view.chart.draw();
        frontsLegend();
      },
    ),
    toggle("Around the front", view.near, (on) => {
      view.near = on;
      view.chart.draw();
    }),
    toggle("Logarithmic", view.log, (on) => {
      view.log = on;
      view.chart.draw();
    }),
    brush,
    el(
      "button",
      {
        type: "button",
        id: "brush-clear",
        disabled: true,
        onclick: () => {
          setBrush(null);
          view.chart.draw();
        },
      },
      "Clear the area",
    ),
    el("span", { class: "count", id: "fronts-count", role: "status" }),
  );
  view.chart = chart("fronts-chart", frontsOption);
  view.chart.e.on("click", (p) => {
    if (p.value && p.value.length > 2) showDetail(p.value[2], false);
  });
  view.chart.e.on("brushEnd", (p) => {
    const r = p.areas.length ? p.areas[0].coordRange : null,
      x = metrics.get(view.x),
      y = metrics.get(view.y);
    setBrush(
      r && {
        x: x.name,
        y: y.name,
        x0: r[0][0] * x.scale.by,
        x1: r[0][1] * x.scale.by,
        y0: r[1][0] * y.scale.by,
        y1: r[1][1] * y.scale.by,
      },
    );
  });
  filter.listeners.push((by) => {
    if (by !== "brush") {
      if (filter.brush) setBrush(null);
      view.chart.draw();
      frontsLegend();
    } else frontsCount();
  });
  frontsLegend();
}
function frontsCount() {
  const n = filter.brush
    ? `; ${plural(filter.rows(filter.all).length, "point")} in the selected area`
    : "";
  const c = byId("fronts-count");
  c.textContent = c.textContent.replace(/; [\d,]+ points? in the selected area$/, "") + n;
}
