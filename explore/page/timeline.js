// SPDX-License-Identifier: GPL-3.0-or-later
// The timeline of the selected run: a row of slices per device and one for the control plane, and
// below them the counters (memory bandwidth) as steps.

const time = { chart: null, window: 0 };

function timeText(us) {
  return us >= 1000 ? `${digits(us / 1000)} ms` : `${digits(us)} µs`;
}
function trackColour(t) {
  return t.group === "devices"
    ? css(`--${["gpu", "npu", "cpu"].includes(t.name) ? t.name : "other"}`)
    : css("--other");
}
const trackName = (t) =>
  t.group === "devices" ? upper(t.name) : t.name === "sync" ? "control" : t.name;
// Waiting is drawn lighter than doing.
const isWait = (name) => /^(join|wait|sleep|poll|idle)/.test(name);

// [begin, end, name] by begin -> how many slices it lies within.
function depths(slices) {
  const open = [];
  return slices.map((s) => {
    while (open.length && open[open.length - 1] <= s[0]) open.pop();
    open.push(s[1]);
    return open.length - 1;
  });
}

function timelineOption(c) {
  const run = runnable()[chosen.run],
    line = run.timeline,
    w = line.windows[Math.min(time.window, line.windows.length - 1)];
  const rows = w.tracks.filter((t) => t.slices && (t.slices.length || t.group === "devices")),
    counters = w.tracks.filter((t) => t.counts);
  const look = axisLook(),
    small = narrow(c),
    rowHeight = 38,
    top = 12,
    left = small ? 66 : 90,
    mid = top + rows.length * rowHeight;
  const colours = rows.map(trackColour),
    surface = css("--surface"),
    ink = css("--on-device"),
    text = css("--text");
  const depth = rows.map((t) => depths(t.slices)),
    deep = depth.map((d) =>
      Math.min(
        2,
        d.reduce((a, b) => Math.max(a, b), 0),
      ),
    );
  const height = mid + 40 + (counters.length ? 170 : 0) + 56;
  c.dom.style.height = `${height}px`;
  c.dom.setAttribute(
    "aria-label",
    `Timeline, ${w.title}: ${rows.map((t) => `${trackName(t)} ${t.slices.length} slices`).join(", ")}`,
  );
  const x = {
    type: "value",
    min: 0,
    max: w.us,
    axisLabel: { ...look.axisLabel, formatter: timeText },
    axisLine: look.axisLine,
    axisTick: look.axisTick,
    splitLine: { show: false },
  };
  const options = {
    tooltip: {
      ...tooltipLook(),
      trigger: "item",
      formatter: (p) => {
        if (p.seriesType !== "custom") return "";
        const t = rows[p.value[0]];
        return `<div class="tip"><b>${esc(trackName(t))}</b><br>${esc(line.names[p.value[3]])}<br>${timeText(p.value[2] - p.value[1])}, from ${timeText(p.value[1])}</div>`;
      },
    },
    grid: [{ outerBoundsMode: "none", left, right: 28, top, height: rows.length * rowHeight }],
    xAxis: [{ ...x, gridIndex: 0, axisLabel: { ...x.axisLabel, show: !counters.length } }],
    yAxis: [
      {
        type: "category",
        gridIndex: 0,
        inverse: true,
        data: rows.map(trackName),
        axisLabel: { color: text, fontSize: 12 },
        axisLine: { show: false },
        axisTick: { show: false },
        splitLine: { show: true, lineStyle: { color: css("--line") } },
      },
    ],
    dataZoom: [
      {
        type: "inside",
        xAxisIndex: counters.length ? [0, 1] : [0],
        zoomOnMouseWheel: "ctrl",
        moveOnMouseMove: true,
        filterMode: "none",
      },
      {
        type: "slider",
        xAxisIndex: counters.length ? [0, 1] : [0],
        bottom: 8,
        height: 22,
        filterMode: "none",
        labelFormatter: timeText,
        textStyle: { color: css("--muted") },
        borderColor: css("--line"),
        fillerColor: "rgba(90,140,200,.18)",
        handleStyle: { color: css("--surface"), borderColor: css("--accent") },
        moveHandleStyle: { color: css("--strong") },
        showDataShadow: false,
        left: left + 30,
        right: 60,
      },
    ],
    series: [
      {
        type: "custom",
        xAxisIndex: 0,
        yAxisIndex: 0,
        clip: true,
        encode: { x: [1, 2], y: 0 },
        progressive: 0,
        renderItem: (p, api) => {
          const r = api.value(0),
            a = api.coord([api.value(1), r]),
            b = api.coord([api.value(2), r]),
            lanes = deep[r] + 1,
            h = (rowHeight * 0.76) / lanes;
          const x0 = Math.max(a[0], p.coordSys.x),
            x1 = Math.min(b[0], p.coordSys.x + p.coordSys.width);
          if (x1 < x0) return null;
          const name = line.names[api.value(3)],
            wait = isWait(name),
            width = Math.max(x1 - x0, 0.6);
          return {
            type: "rect",
            shape: {
              x: x0,
              y: a[1] - rowHeight * 0.38 + h * Math.min(api.value(4), 2),
              width,
              height: h - (lanes > 1 ? 1 : 0),
            },
            style: {
              fill: wait ? "transparent" : colours[r],
              stroke: wait ? colours[r] : surface,
              lineWidth: width > 3 ? 0.8 : 0,
              lineDash: wait ? [3, 2] : null,
              ...(width <= 3 && wait ? { fill: colours[r], opacity: 0.35 } : {}),
            },
            textContent: {
              style: {
                text: width > 40 && h > 11 ? name : "",
                fill: wait ? text : ink,
                fontSize: 11,
                width: Math.max(width - 8, 1),
                overflow: "truncate",
                ellipsis: "…",
              },
            },
            textConfig: { position: "inside" },
          };
        },
        data: rows.flatMap((t, r) => t.slices.map((s, k) => [r, s[0], s[1], s[2], depth[r][k]])),
      },
    ],
  };
  if (counters.length) {
    options.grid.push({ outerBoundsMode: "none", left, right: 28, top: mid + 34, height: 150 });
    options.xAxis.push({ ...x, gridIndex: 1 });
    options.yAxis.push({
      ...look,
      type: "value",
      gridIndex: 1,
      min: 0,
      name: `${counters[0].name} (${counters[0].unit})`,
      nameTextStyle: { ...look.nameTextStyle, align: "left" },
    });
    counters.slice(0, 4).forEach((t, k) => {
      const data = [];
      let value = t.counts[1];
      for (let i = 0; i < t.counts.length; i += 2) {
        data.push([t.counts[i], value], [t.counts[i], t.counts[i + 1]]);
        value = t.counts[i + 1];
      }
      data.push([w.us, value]);
      options.series.push({
        type: "line",
        name: t.name,
        xAxisIndex: 1,
        yAxisIndex: 1,
        symbol: "none",
        data,
        lineStyle: { width: 1.2, color: colour(k) },
        areaStyle: { color: colour(k), opacity: 0.18 },
        silent: true,
      });
    });
  }
  return options;
}

function timeline() {
  const list = runnable().filter((r) => r.timeline),
    none = () =>
      byId("timeline").replaceChildren(
        byId("h-timeline"),
        el("p", { class: "note" }, D.no_runs || "No run was recorded."),
      );
  if (!list.length) return none();
  const tools = () => {
    const t = runnable()[chosen.run].timeline;
    byId("timeline-tools").replaceChildren(
      el("code", {}, soft(label(runnable()[chosen.run].row))),
      t
        ? tabs(
            "Phase",
            t.windows.map((w) => w.title),
            Math.min(time.window, t.windows.length - 1),
            (k) => {
              time.window = k;
              time.chart.draw();
              time.chart.e.resize();
            },
          )
        : "",
    );
    byId("timeline-chart").hidden = !t;
    if (t && time.chart) {
      time.chart.draw();
      time.chart.e.resize();
    }
  };
  if (!runnable()[chosen.run].timeline) chosen.run = runnable().indexOf(list[0]);
  tools();
  time.chart = chart("timeline-chart", timelineOption);
  time.chart.e.resize();
  chosen.listeners.push(tools);
}
