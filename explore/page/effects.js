// SPDX-License-Identifier: GPL-3.0-or-later
// What each parameter matters: bars, and behind each of them its choices.

function effectRow(f, o, m) {
  const p = params[f.param],
    e = f.on[o];
  const best = e.best >= 0 ? `best: ${p.choices[e.best]}` : "";
  const rows = p.choices.map((c, k) => ({ c, k, ...e.choices[k] })).filter((r) => r.n);
  return el(
    "details",
    { class: "effect" },
    el(
      "summary",
      {},
      el("span", { class: "name" }, p.name),
      el(
        "span",
        { class: "bar", "aria-hidden": "true" },
        el("i", { style: `width: ${known(e.share) ? 100 * e.share : 0}%` }),
      ),
      el("span", { class: "number" }, known(e.share) ? percent(e.share) : "–"),
      el("span", { class: "number" }, known(e.ratio) ? `${digits(e.ratio, true)}×` : "–"),
      el("span", { class: "best" }, best),
    ),
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
            el("th", {}, "Choice"),
            el("th", { class: "number" }, "Points"),
            el(
              "th",
              { class: "number" },
              e.log ? "Geometric mean " : "Mean ",
              el("span", { class: "unit" }, m.scale.unit),
            ),
            el("th", { class: "number" }, "Best ", el("span", { class: "unit" }, m.scale.unit)),
            el("th", {}, "Best configuration"),
          ),
        ),
        el(
          "tbody",
          {},
          rows.map((r) =>
            el(
              "tr",
              {},
              el("td", {}, r.c),
              el("td", { class: "number" }, r.n.toLocaleString("en")),
              el("td", { class: "number" }, number(m, r.mean)),
              el("td", { class: "number" }, r.best >= 0 ? number(m, m.value[r.best]) : "–"),
              el(
                "td",
                { class: "config" },
                r.best >= 0
                  ? el(
                      "button",
                      { type: "button", onclick: () => showDetail(r.best, true) },
                      soft(label(r.best)),
                    )
                  : "",
              ),
            ),
          ),
        ),
      ),
    ),
  );
}

function effectList(o) {
  const m = metrics.get(objectives[o].metric),
    at = D.objectives.findIndex((x) => x.metric === m.name);
  const groups = new Map();
  for (const f of D.effects) {
    const owner = params[f.param].owner;
    const key = owner ? `Options of ${owner}` : "For all configurations";
    if (!groups.has(key)) groups.set(key, []);
    groups.get(key).push(f);
  }
  const share = (f) => (known(f.on[at].share) ? f.on[at].share : -1);
  const sorted = [...groups].sort(
    (a, b) =>
      b[0].startsWith("For") - a[0].startsWith("For") ||
      Math.max(...b[1].map(share)) - Math.max(...a[1].map(share)),
  );
  byId("effects-list").replaceChildren(
    ...sorted.map(([name, list]) =>
      el(
        "div",
        {},
        el("h3", {}, `${name} (${plural(Math.max(...list.map((f) => f.on[at].n)), "point")})`),
        name !== sorted[0][0]
          ? null
          : el(
              "div",
              { class: "effect effects-head" },
              el(
                "div",
                { class: "columns-head" },
                el("span", { class: "name" }, "Parameter"),
                el("span", { class: "bar", style: "visibility: hidden" }),
                el("span", { class: "number" }, "Share"),
                el("span", { class: "number" }, "Factor"),
                el("span", { class: "best" }, "Choice of the best point"),
              ),
            ),
        list.sort((a, b) => share(b) - share(a)).map((f) => effectRow(f, at, m)),
      ),
    ),
  );
}

function effects() {
  if (!D.effects.length || D.counts.ok < 2 || !objectives.length) {
    byId("effects").replaceChildren(
      byId("h-effects"),
      el("p", { class: "note" }, "No parameter varies among feasible points."),
    );
    return;
  }
  byId("effects-tools").append(
    el("span", {}, "On"),
    tabs(
      "Objective",
      objectives.map((o) => titled(metrics.get(o.metric))),
      0,
      effectList,
    ),
  );
  effectList(0);
}
