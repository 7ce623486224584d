// SPDX-License-Identifier: GPL-3.0-or-later
// The summary, and the start of everything else.

function card(o) {
  const m = metrics.get(o.metric);
  const than = [];
  if (o.best < 0) return null;
  const v = m.value[o.best];
  if (o.gpu_only >= 0 && o.gpu_only !== o.best) {
    const g = m.value[o.gpu_only];
    than.push(
      el(
        "div",
        { class: "than" },
        `gpu_only at best ${withUnit(m, g)}${v > 0 ? `, ${digits(g / v)}× as much` : ""}`,
      ),
    );
  } else if (o.gpu_only === o.best) {
    than.push(el("div", { class: "than" }, "nothing is better than gpu_only"));
  }
  return el(
    "div",
    { class: "card" },
    el("div", { class: "what" }, `${m.rate ? "Highest" : "Least"} ${m.title}`),
    el("div", { class: "value" }, withUnit(m, v)),
    el("div", { class: "how" }, soft(label(o.best))),
    than,
  );
}

// Of the plan with the best score, by the cost model.
function gapOfBest() {
  const r = runnable().find((x) => x.row === D.top[0]);
  return r ? gapText(r) : "";
}

function summary() {
  const c = D.campaign,
    n = D.counts;
  byId("subtitle").textContent =
    `${plural(n.points, "point")} of space ${c.name}, workload ${c.workload} (prompt + generated tokens)`;
  byId("cards").append(...objectives.map(card).filter(Boolean));
  if (!n.ok)
    byId("cards").append(
      el(
        "p",
        { class: "note" },
        n.points
          ? "No point is feasible: there is nothing to rank. The table at the end says why for each."
          : "The campaign holds no point yet.",
      ),
    );
  facts(byId("facts"), [
    ["Space", c.name],
    ["Model", c.model],
    ["Machine", c.machine + (c.settings ? ` with ${c.settings}` : "")],
    ["Workload", c.workload],
    ["Objectives", objectives.map((o) => metrics.get(o.metric).title).join(", ")],
    ["Searcher", c.search],
    ["Seed", c.seed],
    ["Code", c.code],
  ]);
  facts(byId("counts"), [
    ["Points", n.points.toLocaleString("en")],
    ["Feasible", n.ok.toLocaleString("en")],
    ["Constraint missed", n.violated ? String(n.violated) : ""],
    ["Only at a lower level", n.coarse ? n.coarse.toLocaleString("en") : ""],
    ["Infeasible", String(n.infeasible)],
    ["Crashed", n.crashed ? String(n.crashed) : ""],
    ["Took too long", n.hung ? String(n.hung) : ""],
    ["On the front", String(n.front)],
    ["Gap to the optimum", gapOfBest()],
    ["Ended because", c.stopped || "it is still running, or was killed"],
  ]);
  if (c.text) byId("space-text").querySelector("pre").textContent = c.text;
  else byId("space-text").remove();
  if (!D.top.length) return byId("top").replaceWith();
  byId("score-note").textContent =
    "By score: the geometric mean, over the objectives, of how many times worse than the best seen. 1 would be best in everything.";
  const shown = objectives.map((o) => metrics.get(o.metric));
  const extra = ["prefill_tok_s", "decode_tok_s", "memory_bytes"]
    .filter((k) => metrics.has(k) && !shown.some((m) => m.name === k))
    .map((k) => metrics.get(k));
  const g = objectives.length ? objectives[0].gpu_only : -1;
  const columns = [...shown, ...extra];
  byId("top").append(
    el(
      "table",
      {},
      el(
        "thead",
        {},
        el(
          "tr",
          {},
          el("th", { class: "number" }, "#"),
          el("th", {}, "Configuration"),
          columns.map((m) => el("th", { class: "number" }, header(m))),
          el("th", { class: "number" }, "Score"),
        ),
      ),
      el(
        "tbody",
        {},
        D.top.map((i, k) =>
          el(
            "tr",
            {},
            el("td", { class: "number" }, String(k + 1)),
            el(
              "td",
              { class: "config" },
              el("button", { type: "button", onclick: () => showDetail(i, true) }, soft(label(i))),
            ),
            columns.map((m) => el("td", { class: "number" }, number(m, m.value[i]))),
            el("td", { class: "number" }, known(P.score[i]) ? P.score[i].toFixed(3) : "–"),
          ),
        ),
        g >= 0 && !D.top.includes(g)
          ? el(
              "tr",
              {},
              el("td", {}, ""),
              el("td", { class: "config" }, soft(`for comparison: ${label(g)}`)),
              columns.map((m) => el("td", { class: "number" }, number(m, m.value[g]))),
              el("td", { class: "number" }, known(P.score[g]) ? P.score[g].toFixed(3) : "–"),
            )
          : null,
      ),
    ),
  );
}

function navigation() {
  if (P.machines.length < 2) byId("machines").remove();
  for (const s of document.querySelectorAll("main > section"))
    byId("nav").append(el("a", { href: `#${s.id}` }, s.querySelector("h2").textContent));
  byId("footer").textContent =
    `Made by partita ${D.version}. Charts: Apache ECharts ${echarts.version} (Apache License 2.0).`;
}

// For tests, and for whoever opens the console.
window.partita = { D, filter, charts, ready: false };
// One after another with pauses, so that the first are there to be read while the others are drawn.
const todo = [
  summary,
  navigation,
  fronts,
  effects,
  plans,
  timeline,
  machines,
  validation,
  table,
  parallel,
];
(function next() {
  if (todo.length) {
    todo.shift()();
    setTimeout(next, 0);
  } else window.partita.ready = true;
})();
