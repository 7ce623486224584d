// SPDX-License-Identifier: GPL-3.0-or-later
// All points: sorted by any column, searched by words, fifty at a time.

const PAGE = 50;
const list = { words: [], column: null, down: false, page: 0, columns: [] };

function tableColumns() {
  const several = (texts) => texts.list.some(Boolean);
  return [
    { name: "#", number: true, of: (i) => i, text: (i) => String(i) },
    { name: "Policy", of: policyOf, text: policyOf, wide: true },
    { name: "Scheme", of: syncOf, text: syncOf, wide: true },
    several(P.soc) ? { name: "SoC", of: socOf, text: socOf, wide: true } : null,
    several(P.level) ? { name: "Level", of: levelOf, text: levelOf } : null,
    ...P.metrics.map((m) => ({
      name: titled(m),
      metric: m,
      number: true,
      of: (i) => (known(m.value[i]) ? m.value[i] : null),
      text: (i) => number(m, m.value[i]),
    })),
    {
      name: "Score",
      number: true,
      of: (i) => P.score[i],
      text: (i) => (known(P.score[i]) ? P.score[i].toFixed(3) : "–"),
    },
    {
      name: "State",
      of: (i) => (P.front[i] ? "front" : statusOf(i)),
      text: (i) => (P.front[i] ? "front" : statusOf(i)),
      title: reasonOf,
    },
  ].filter(Boolean);
}

// Unknown values last, whichever way; equal ones in the order of asking.
function sortedRows() {
  const words = list.words,
    c = list.column,
    sign = list.down ? -1 : 1;
  const text = (i) =>
    `${policyOf(i)} ${syncOf(i)} ${socOf(i)} ${levelOf(i)} ${statusOf(i)} ${reasonOf(i)}`.toLowerCase();
  const rows = filter
    .rows(filter.all)
    .filter((i) => !words.length || words.every((w) => text(i).includes(w)));
  return rows.sort((a, b) => {
    const x = c.of(a),
      y = c.of(b);
    if (!known(x) || !known(y)) return known(x) ? -1 : known(y) ? 1 : a - b;
    return (x < y ? -sign : x > y ? sign : 0) || a - b;
  });
}

function drawTable() {
  const rows = sortedRows(),
    pages = Math.max(1, Math.ceil(rows.length / PAGE));
  list.page = Math.min(list.page, pages - 1);
  const from = list.page * PAGE,
    shown = rows.slice(from, from + PAGE);
  byId("points-count").textContent =
    `${plural(rows.length, "point")} of ${P.n.toLocaleString("en")}`;
  byId("points-body").replaceChildren(
    ...shown.map((i) =>
      el(
        "tr",
        {},
        list.columns.map((c) => {
          const text = c.text(i),
            cell =
              c.name === "Policy"
                ? el("button", { type: "button", onclick: () => showDetail(i, true) }, soft(text))
                : c.wide
                  ? soft(text)
                  : text;
          return el(
            "td",
            {
              class: c.number ? "number" : c.wide ? "config" : "flag",
              title: c.title ? c.title(i) : null,
            },
            cell,
          );
        }),
      ),
    ),
  );
  const go = (text, to, on) =>
    el(
      "button",
      {
        type: "button",
        disabled: !on,
        onclick: () => {
          list.page = to;
          drawTable();
        },
      },
      text,
    );
  byId("points-pages").replaceChildren(
    go("Previous", list.page - 1, list.page > 0),
    el(
      "span",
      { class: "count" },
      rows.length
        ? `${(from + 1).toLocaleString("en")}–${(from + shown.length).toLocaleString("en")}`
        : "nothing matches",
    ),
    go("Next", list.page + 1, list.page < pages - 1),
  );
}

function table() {
  list.columns = tableColumns();
  list.column = list.columns.find((c) => c.name === "Score");
  const heads = list.columns.map((c) => {
    const b = el(
      "button",
      {
        type: "button",
        onclick: () => {
          list.down = list.column === c ? !list.down : Boolean(c.metric && c.metric.rate);
          list.column = c;
          list.page = 0;
          mark();
          drawTable();
        },
      },
      c.name,
      el("span", { "aria-hidden": "true" }, ""),
    );
    return el(
      "th",
      { class: c.number ? "number" : null, scope: "col" },
      b,
      c.metric ? el("span", { class: "unit" }, c.metric.scale.unit) : null,
    );
  });
  const mark = () =>
    heads.forEach((h, k) => {
      const on = list.columns[k] === list.column;
      h.setAttribute("aria-sort", on ? (list.down ? "descending" : "ascending") : "none");
      h.querySelector("button span").textContent = on ? (list.down ? " ▾" : " ▴") : "";
    });
  const search = el("input", {
    type: "search",
    id: "points-search",
    placeholder: "words: hetero poll",
    oninput: () => {
      list.words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
      list.page = 0;
      drawTable();
    },
  });
  byId("points-tools").append(
    el("label", {}, "Search", search),
    el("span", { class: "count", id: "points-count", role: "status" }),
    el("span", { class: "muted" }, "The filters of the fronts apply here too."),
  );
  byId("points-table").append(
    el("table", {}, el("thead", {}, el("tr", {}, heads)), el("tbody", { id: "points-body" })),
  );
  mark();
  drawTable();
  filter.listeners.push(() => {
    list.page = 0;
    drawTable();
  });
}
