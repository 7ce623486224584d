// SPDX-License-Identifier: GPL-3.0-or-later
// What all sections share: the data, how values are written, the filter, charts in both themes.
"use strict";

const D = JSON.parse(document.getElementById("data").textContent);
const P = D.points;
const metrics = new Map(P.metrics.map((m) => [m.name, m]));
const params = P.params;
const objectives = D.objectives.filter((o) => metrics.has(o.metric));
const paramBy = (kind) => params.find((p) => p.kind === kind);
const policies = paramBy("policy") || { choices: [], value: [] };
const syncs = paramBy("sync") || { choices: [], value: [] };

// --- markup

// Long labels may break after their separators.
const soft = (s) =>
  String(s)
    .split(/(?<=[,;:+=.] ?)(?=\S)/)
    .flatMap((t, k) => (k ? [document.createElement("wbr"), t] : [t]));
const byId = (id) => document.getElementById(id);

// el("p", {class: "muted"}, "text", child): texts are texts, never markup.
function el(tag, attributes, ...children) {
  const e = document.createElement(tag);
  for (const [k, v] of Object.entries(attributes || {})) {
    if (k.startsWith("on")) e.addEventListener(k.slice(2), v);
    else if (v !== null && v !== undefined && v !== false) e.setAttribute(k, v === true ? "" : v);
  }
  e.append(...children.flat().filter((c) => c !== null && c !== undefined));
  return e;
}
const escapes = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;" };
const esc = (s) => String(s).replace(/[&<>"']/g, (c) => escapes[c]);

// --- values

// Four digits; `fixed` keeps zeros at the end, so that columns line up.
function digits(v, fixed) {
  const a = Math.abs(v);
  if (a !== 0 && (a < 1e-3 || a >= 1e7)) return v.toExponential(2);
  const places = a === 0 || a >= 1000 ? 0 : a >= 100 ? 1 : a >= 10 ? 2 : 3;
  return v.toLocaleString("en", {
    maximumFractionDigits: places,
    minimumFractionDigits: fixed ? places : 0,
  });
}
// Whole counts stay whole.
const whole = (m) => ["frames", "bits"].includes(m.unit);
// Bytes by powers of a thousand; everything else in its own unit.
function scaleOf(unit, largest) {
  if (unit !== "bytes") return { unit, by: 1 };
  const [u, by] = [
    ["TB", 1e12],
    ["GB", 1e9],
    ["MB", 1e6],
    ["kB", 1e3],
    ["B", 1],
  ].find(([, b]) => largest >= b) || ["B", 1];
  return { unit: u, by };
}
for (const m of P.metrics)
  m.scale = scaleOf(
    m.unit,
    m.value.reduce((a, v) => Math.max(a, v === null ? 0 : v), 0),
  );
const known = (v) => v !== null && v !== undefined;
const number = (m, v) => (known(v) ? digits(v / m.scale.by, !whole(m)) : "–");
const withUnit = (m, v) =>
  known(v) ? `${number(m, v)}${m.scale.unit ? " " + m.scale.unit : ""}` : "unknown";
const percent = (v) =>
  !known(v) ? "–" : v > 0 && v < 0.0005 ? "< 0.1 %" : `${(100 * v).toFixed(1)} %`;
const signed = (percents) =>
  `${percents > 0 ? "+" : ""}${percents.toFixed(1).replace("-", "\u2212")} %`;
const titled = (m) => `${m.title[0].toUpperCase()}${m.title.slice(1)}`;
const axisName = (m) => `${titled(m)}${m.scale.unit ? ` (${m.scale.unit})` : ""}`;
// What is minimised.
const cost = (m, v) => (m.rate ? 1 / v : v);
const plural = (n, one, many) => `${n.toLocaleString("en")} ${n === 1 ? one : many || one + "s"}`;

// --- points

const policyOf = (i) => P.policy.list[P.policy.at[i]];
const syncOf = (i) => P.sync.list[P.sync.at[i]];
const socOf = (i) => P.soc.list[P.soc.at[i]];
const levelOf = (i) => P.level.list[P.level.at[i]];
const statusOf = (i) => P.status.list[P.status.at[i]];
const reasonOf = (i) => P.reason.list[P.reason.at[i]];
const label = (i) =>
  [`${policyOf(i)} + ${syncOf(i)}`, socOf(i), levelOf(i)].filter(Boolean).join(", ");
const feasible = (i) => statusOf(i) === "ok";
const choiceOf = (p, i) => (p.value[i] < 0 ? "–" : p.choices[p.value[i]]);

// --- the filter: who shows points listens

const filter = {
  policies: new Set(policies.choices.keys()),
  syncs: new Set(syncs.choices.keys()),
  feasible: true,
  front: false,
  brush: null, // {x, y: metric names, x0, x1, y0, y1}
  lines: null, // Set of points, from the axes of the parallel coordinates
  listeners: [],
  base(i) {
    return (
      this.policies.has(policies.value[i]) &&
      this.syncs.has(syncs.value[i]) &&
      (!this.feasible || feasible(i)) &&
      (!this.front || P.front[i] === 1)
    );
  },
  inBrush(i) {
    const b = this.brush;
    if (!b) return true;
    const x = metrics.get(b.x).value[i],
      y = metrics.get(b.y).value[i];
    return known(x) && known(y) && x >= b.x0 && x <= b.x1 && y >= b.y0 && y <= b.y1;
  },
  all(i) {
    return this.base(i) && this.inBrush(i) && (!this.lines || this.lines.has(i));
  },
  rows(test) {
    const out = [];
    for (let i = 0; i < P.n; i++) if (test.call(this, i)) out.push(i);
    return out;
  },
  changed(by) {
    for (const l of this.listeners) l(by);
  },
};

// --- looks

const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const SYMBOLS = [
  ["circle", '<circle cx="6" cy="6" r="4.6"/>'],
  ["rect", '<rect x="1.8" y="1.8" width="8.4" height="8.4"/>'],
  ["triangle", '<path d="M6 1 11 10.5 1 10.5z"/>'],
  ["diamond", '<path d="M6 .6 11 6 6 11.4 1 6z"/>'],
  [
    "path://M4 0h4v4h4v4h-4v4h-4v-4h-4v-4h4z",
    '<path d="M4.2.6h3.6v3.6h3.6v3.6H7.8v3.6H4.2V7.8H.6V4.2h3.6z"/>',
  ],
];
const symbol = (k) => SYMBOLS[k % SYMBOLS.length][0];
// Colour and shape together are different for 40 categories.
const colour = (k) => css(`--c${k % 8}`);
function swatch(k) {
  const s = el("span", { "aria-hidden": "true" });
  s.innerHTML = `<svg viewBox="0 0 12 12" style="fill: var(--c${k % 8})">${SYMBOLS[k % SYMBOLS.length][1]}</svg>`;
  return s.firstChild;
}

const charts = [];
// A chart that draws itself again in the other theme and at another width. build() gives its option.
function chart(id, build) {
  const dom = byId(id);
  const c = { dom, e: echarts.init(dom, null, { renderer: "canvas" }), build };
  c.draw = () =>
    c.e.setOption(
      {
        animation: false,
        textStyle: { fontFamily: getComputedStyle(document.body).fontFamily },
        ...build(c),
      },
      { notMerge: true },
    );
  new ResizeObserver(() => {
    c.e.resize();
    if (c.width !== dom.clientWidth) {
      c.width = dom.clientWidth;
      c.draw();
    }
  }).observe(dom);
  c.width = dom.clientWidth;
  c.draw();
  charts.push(c);
  return c;
}
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () =>
  charts.forEach((c) => c.draw()),
);

const narrow = (c) => c.dom.clientWidth < 640;
function axisLook() {
  const text = css("--muted"),
    line = css("--strong");
  return {
    axisLine: { show: true, lineStyle: { color: line } },
    axisTick: { lineStyle: { color: line } },
    axisLabel: { color: text, fontSize: 12, hideOverlap: true },
    nameTextStyle: { color: css("--text"), fontSize: 12.5 },
    splitLine: { lineStyle: { color: css("--line") } },
    minorSplitLine: { show: false },
  };
}
function tooltipLook() {
  return {
    confine: true,
    backgroundColor: css("--surface"),
    borderColor: css("--strong"),
    padding: [8, 10],
    textStyle: { color: css("--text"), fontSize: 12.5 },
    extraCssText: "box-shadow: 0 2px 10px rgba(0,0,0,.18);",
  };
}
function tip(i) {
  const rows = objectives
    .map((o) => metrics.get(o.metric))
    .concat(
      P.metrics.filter(
        (m) =>
          !objectives.some((o) => o.metric === m.name) &&
          ["prefill_tok_s", "decode_tok_s", "memory_bytes"].includes(m.name),
      ),
    );
  return (
    `<div class="tip"><b>${esc(policyOf(i))}</b><br>${esc(syncOf(i))}${socOf(i) ? "<br>" + esc(socOf(i)) : ""}` +
    `${levelOf(i) ? "<br>level " + esc(levelOf(i)) : ""}<table>` +
    rows
      .map((m) => `<tr><td>${esc(titled(m))}</td><td>${esc(withUnit(m, m.value[i]))}</td></tr>`)
      .join("") +
    `</table>${P.front[i] ? "on the Pareto front" : ""}${feasible(i) ? "" : esc(statusOf(i)) + (reasonOf(i) ? ": " + esc(reasonOf(i)) : "")}</div>`
  );
}

// --- controls

function select(text, options, value, onchange) {
  const s = el(
    "select",
    { onchange: () => onchange(s.value) },
    options.map(([v, t]) => el("option", { value: v, selected: v === value }, t)),
  );
  return el("label", {}, text, s);
}
function toggle(text, on, onclick) {
  const b = el(
    "button",
    {
      type: "button",
      "aria-pressed": String(on),
      onclick: () => {
        const now = b.getAttribute("aria-pressed") !== "true";
        b.setAttribute("aria-pressed", String(now));
        onclick(now);
      },
    },
    text,
  );
  return b;
}
// One of several; onclick hears its index.
function tabs(text, names, current, onclick) {
  const buttons = names.map((t, k) =>
    el(
      "button",
      {
        type: "button",
        "aria-pressed": String(k === current),
        onclick: () => {
          buttons.forEach((b, n) => b.setAttribute("aria-pressed", String(n === k)));
          onclick(k);
        },
      },
      t,
    ),
  );
  return el("div", { class: "group", role: "group", "aria-label": text }, buttons);
}
function facts(dl, pairs) {
  for (const [k, v] of pairs) if (known(v) && v !== "") dl.append(el("dt", {}, k), el("dd", {}, v));
}
const header = (m) => [titled(m), el("span", { class: "unit" }, m.scale.unit)];
