"use strict";
// Sortable tables of countries, merchants and selected outlets, and why an outlet is where it is.
const ROWS = 20;

function element(name, text = "", more = {}) {
  const made = Object.assign(document.createElement(name), more);
  made.textContent = text;
  return made;
}
function button(text, act, more = {}) {
  const made = element("button", text, { type: "button", ...more });
  made.addEventListener("click", act);
  return made;
}

// A column has a title, a value of a row, and optionally a text and an action of its cell.
// What is extra is not shown on a phone.
const classOf = (column) => `${column.number ? "number" : ""} ${column.extra ? "extra" : ""}`;
function sortable(box, title, columns, rows, { by = 0, up = true, buttons = [] } = {}) {
  let shown = ROWS;
  const table = element("table"),
    head = table.createTHead().insertRow(),
    body = table.createTBody(),
    wide = element("div", "", { className: "scroll" });
  const more = button(
    "",
    () => {
      shown += 10 * ROWS;
      fill();
    },
    { className: "more" },
  );
  const order = (a, b) => (up ? 1 : -1) * d3.ascending(columns[by].value(a), columns[by].value(b));
  const headings = columns.map((column, i) => {
    const cell = element("th", "", { scope: "col", className: classOf(column) });
    cell.append(
      button(column.title, () => {
        up = by === i ? !up : !column.number;
        by = i;
        sort();
      }),
    );
    head.append(cell);
    return cell;
  });
  function sort() {
    headings.forEach((cell, i) =>
      cell.setAttribute("aria-sort", i !== by ? "none" : up ? "ascending" : "descending"),
    );
    rows.sort(order);
    fill();
  }
  function fill() {
    body.replaceChildren(
      ...rows.slice(0, shown).map((row) => {
        const line = element("tr");
        columns.forEach((column, i) => {
          const text = (column.text || column.value)(row),
            cell = element(i ? "td" : "th", "", { className: classOf(column) });
          if (!i) cell.scope = "row";
          cell.append(
            column.act
              ? button(text, () => column.act(row), { className: "link" })
              : String(text ?? ""),
          );
          line.append(cell);
        });
        return line;
      }),
    );
    const rest = rows.length - shown;
    more.hidden = rest <= 0;
    more.textContent = `Show ${grouped(Math.min(rest, 10 * ROWS))} more of ${grouped(rows.length)}`;
  }
  wide.append(table);
  const bar = element("div", "", { className: "bar" });
  bar.append(element("h3", title), ...buttons);
  box.replaceChildren(bar, wide, more);
  sort();
}

// ---- countries and merchants ------------------------------------------------------
function showTables(run) {
  const m = run.map,
    countries = byId(`countries-${run.number}`),
    merchants = byId(`merchants-${run.number}`);
  const tally = new Map(),
    merchantsOf = new Map(),
    p = m.pairs;
  for (let i = 0; p && i < p.n.length; i++) {
    const sum = tally.get(p.merchant[i]) || { merchant: p.merchant[i], outlets: 0, countries: 0 };
    sum.outlets += p.n[i];
    sum.countries++;
    tally.set(p.merchant[i], sum);
    merchantsOf.set(p.country[i], (merchantsOf.get(p.country[i]) || 0) + 1);
  }
  const rows = Object.entries(m.sites_by_country).map(([code, outlets]) => ({
    code,
    outlets,
    merchants: merchantsOf.get(m.countries.indexOf(code)),
    quality: m.quality[code] || [],
  }));
  const number = true,
    name = (row) => (nameOf(row.code) === row.code ? row.code : `${row.code} ${nameOf(row.code)}`);
  sortable(
    countries,
    counted(rows.length, "country", "countries"),
    [
      {
        title: "country",
        value: (row) => row.code,
        text: name,
        act: (row) => choose({ country: row.code }),
      },
      {
        title: "outlets",
        number,
        value: (row) => row.outlets,
        text: (row) => grouped(row.outlets),
      },
      ...(p
        ? [
            {
              title: "merchants",
              number,
              value: (row) => row.merchants,
              text: (row) => grouped(row.merchants || 0),
            },
          ]
        : []),
      {
        title: "tiles used",
        number,
        extra: true,
        value: (row) => row.quality[0],
        text: (row) => grouped(row.quality[0] || 0),
      },
      {
        title: "collapse index",
        number,
        extra: true,
        value: (row) => row.quality[1],
        text: (row) => (row.quality[1] ?? NaN).toFixed(2),
      },
      {
        title: "top five tiles",
        number,
        extra: true,
        value: (row) => row.quality[2],
        text: (row) => `${(100 * (row.quality[2] ?? NaN)).toFixed(0)} %`,
      },
    ],
    rows,
    { by: 1, up: false },
  );
  if (!p) {
    merchants.append(
      element("h3", "Merchants"),
      element(
        "p",
        m.sites
          ? "There are too many pairs of merchant and country for this file; " +
              "segment1b export writes all outlets."
          : "No outlets are published.",
        { className: "note" },
      ),
    );
    return;
  }
  sortable(
    merchants,
    counted(tally.size, "merchant", "merchants"),
    [
      // Ids that are numbers are sorted as these.
      {
        title: "merchant",
        value: (row) => (m.texts ? run.merchants[row.merchant] : m.merchants[row.merchant]),
        text: (row) => run.merchants[row.merchant],
        act: (row) => choose({ merchant: run.merchants[row.merchant] }),
      },
      ...(m.trades
        ? [
            {
              title: "trade",
              value: (row) => tradeName(run.trades[tradeOf(run, row.merchant)]),
              act: (row) => choose({ trade: run.trades[tradeOf(run, row.merchant)] }),
            },
          ]
        : []),
      {
        title: "outlets",
        number,
        value: (row) => row.outlets,
        text: (row) => grouped(row.outlets),
      },
      {
        title: "countries",
        number,
        value: (row) => row.countries,
        text: (row) => grouped(row.countries),
      },
    ],
    [...tally.values()],
    { by: m.trades ? 2 : 1, up: false },
  );
}

// ---- the selected outlets -----------------------------------------------------------
// A spreadsheet takes a text that begins so for a formula.
const plain = (text) => (/^[\s]*[=+\-@\t\r]/.test(text) ? `'${text}` : text);
const csvOf = (columns, rows) =>
  d3.csvFormatRows([
    columns.map((column) => column.title),
    ...rows.map((row) =>
      columns.map((column) => {
        const value = column.value(row);
        return typeof value === "string" ? plain(value) : value;
      }),
    ),
  ]);
function download(name, text) {
  const link = element("a", "", {
    href: URL.createObjectURL(new Blob([text, "\r\n"], { type: "text/csv" })),
    download: name,
  });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

function showSelection(run, at) {
  const box = byId(`selection-${run.number}`),
    rows = at.map((i) => ({ i, ...outlet(run, i) })),
    number = true;
  const columns = [
    { title: "merchant", value: (row) => row.merchant, act: (row) => showReason(run, row.i) },
    ...(run.map.keys ? [{ title: "outlet_id", value: (row) => row.key }] : []),
    ...(run.map.trades ? [{ title: "trade", value: (row) => row.trade }] : []),
    { title: "country", value: (row) => row.country },
    { title: "site_order", number, value: (row) => row.order },
    { title: "lon_deg", number, value: (row) => row.lon, text: (row) => row.lon.toFixed(6) },
    { title: "lat_deg", number, value: (row) => row.lat, text: (row) => row.lat.toFixed(6) },
    { title: "tile", number, value: (row) => row.tile },
  ];
  const every = run.sites.every,
    title =
      every > 1
        ? `${counted(rows.length, "selected outlet", "selected outlets")}, one of every ${every}`
        : counted(rows.length, "selected outlet", "selected outlets");
  const buttons = [
    button("Download CSV", () => download("outlets.csv", csvOf(columns, rows)), {
      disabled: !rows.length,
    }),
    button("Close", () => {
      box.hidden = true;
    }),
  ];
  box.hidden = false;
  sortable(box, title, columns, rows, { buttons });
}

// ---- why here? ------------------------------------------------------------------------
const LANES = [
  "in the whole tile",
  "in the part of the tile inside its country",
  "on the country's surface, since all attempts failed",
];
// An id that a shell could read as anything else is given by its number.
const shellWord = (o) => (/^[A-Za-z0-9][A-Za-z0-9_.-]*$/.test(o.merchant) ? o.merchant : o.number);

function showReason(run, i) {
  const box = byId(`reason-${run.number}`),
    s = run.sites,
    o = outlet(run, i),
    list = element("dl");
  const add = (name, value) => list.append(element("dt", name), element("dd", value));
  run.reason = i;
  add("merchant", o.merchant);
  if (o.key) add("outlet", o.key);
  if (o.trade)
    add("trade", `${tradeName(o.trade)}: ${run.map.trades.titles[run.trades.indexOf(o.trade)]}`);
  add("country", nameOf(o.country));
  add("site", grouped(o.order));
  add("coordinates", `${o.lat.toFixed(6)}, ${o.lon.toFixed(6)}`);
  const scale = run.map.scale,
    trade = o.trade && o.trade !== NO_TRADE ? ` for ${tradeName(o.trade)}` : "";
  add(
    "tile",
    s.weight
      ? `${o.tile}, with ${((100 * s.weight[i]) / scale).toPrecision(3)} % of the country's weight${trade}`
      : String(o.tile),
  );
  if (s.line)
    add(
      "point on the allocation line",
      `${(s.line[i] / scale).toFixed(12)} of the line of weights through the country's tiles`,
    );
  const centre = s.centre ? s.centre[i] : 0,
    place = centre ? `around centre ${centre} of the tile` : s.lane && LANES[s.lane[i]];
  if (s.blocks) add("draw", `attempt ${s.blocks[i]} was accepted, drawn ${place}`);
  const pair = `--merchant ${shellWord(o)} --country ${o.country}`;
  const command = `segment1b replay ${pair} --site ${o.order}`;
  const copy = button("Copy", () =>
    navigator.clipboard.writeText(command).then(
      () => {
        copy.textContent = "Copied";
      },
      () => getSelection().selectAllChildren(code),
    ),
  );
  const code = element("code", command),
    line = element("p", "", { className: "command" }),
    bar = element("div", "", { className: "bar" });
  line.append(code, copy);
  bar.append(
    element("h3", "Why here?"),
    button("Close", () => {
      box.hidden = true;
      run.reason = -1;
      redraw();
    }),
  );
  box.replaceChildren(
    bar,
    list,
    element("p", "Every step, computed again (add --data-root where it is not ./segment1b-data):", {
      className: "note",
    }),
    line,
  );
  box.hidden = false;
  redraw();
}
