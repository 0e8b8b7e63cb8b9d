"use strict";
// The data of the page: unpacking, names, filters and the state in the URL's fragment.
const byId = (id) => document.getElementById(id);
const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const grouped = (n) => n.toLocaleString("en");
const counted = (n, one, more) => `${grouped(n)} ${n === 1 ? one : more}`;

const KINDS = {
  f8: Float64Array,
  i4: Int32Array,
  u1: Uint8Array,
  u2: Uint16Array,
  u4: Uint32Array,
  u8: BigUint64Array,
};

// Length of the document in 8 bytes, the document as JSON, then the arrays that it refers to.
async function unpack(base64) {
  const text = atob(base64),
    zipped = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) zipped[i] = text.charCodeAt(i);
  const stream = new Blob([zipped]).stream().pipeThrough(new DecompressionStream("gzip"));
  const buffer = await new Response(stream).arrayBuffer();
  const first = 8 + Number(new BigUint64Array(buffer, 0, 1)[0]);
  const head = new TextDecoder().decode(new Uint8Array(buffer, 8, first - 8));
  return JSON.parse(head, (_, value) => {
    if (!value || !value.$) return value;
    const [kind, offset, length] = value.$;
    return new KINDS[kind](buffer, first + offset, length);
  });
}

const RAD = Math.PI / 180,
  HIGHEST = 85;
// Web Mercator: longitude and latitude in degrees to a square of side 1, and back.
const worldX = (lon) => (lon + 180) / 360;
const worldY = (lat) =>
  0.5 -
  Math.log(Math.tan(Math.PI / 4 + (Math.max(-HIGHEST, Math.min(HIGHEST, lat)) * RAD) / 2)) /
    (2 * Math.PI);
const lonOf = (x) => x * 360 - 180;
const latOf = (y) => (2 * Math.atan(Math.exp((0.5 - y) * 2 * Math.PI)) - Math.PI / 2) / RAD;

function prepare({ map: m, charts }, number) {
  const run = {
    number,
    charts,
    map: m,
    figure: document.querySelector(`.mapbox[data-run="${number}"]`),
  };
  run.countries = m.countries;
  run.merchants = m.merchants ? m.texts || Array.from(m.merchants, String) : [];
  run.merchantAt = new Map(run.merchants.map((text, i) => [text, i]));
  run.trades = m.trades ? m.trades.ids : [];
  run.paths = outlines(m.outlines, m.countries.length);
  if (m.sites) {
    run.sites = m.sites;
    run.x = Float64Array.from(m.sites.lon, (v) => worldX(v / 1e6));
    run.y = Float64Array.from(m.sites.lat, (v) => worldY(v / 1e6));
  }
  return run;
}

// The shape, the outer rings and the extent of each country; the last is of all others. From afar,
// points nearer than a pixel of a large screen to the last are left out.
const COARSE = 1 / 3000;
function outlines(o, others) {
  const paths = () => ({ shape: new Path2D(), border: new Path2D() });
  const countries = Array.from({ length: others + 1 }, () => ({
    fine: paths(),
    coarse: paths(),
    box: [2, 2, -1, -1],
  }));
  let at = 0,
    lon = 0,
    lat = 0;
  o.length.forEach((length, ring) => {
    const country = countries[Math.min(o.country[ring], others)],
      fine = new Path2D(),
      coarse = new Path2D(),
      box = country.box;
    let last = [-1, -1];
    for (let i = 0; i < length; i++, at++) {
      lon += o.x[at];
      lat += o.y[at];
      const x = worldX(lon / 1e4),
        y = worldY(lat / 1e4);
      // The first lineTo of a path is a moveTo.
      fine.lineTo(x, y);
      if (Math.abs(x - last[0]) + Math.abs(y - last[1]) > COARSE) coarse.lineTo(...(last = [x, y]));
      box[0] = Math.min(box[0], x);
      box[1] = Math.min(box[1], y);
      box[2] = Math.max(box[2], x);
      box[3] = Math.max(box[3], y);
    }
    for (const [path, kept] of [
      [fine, country.fine],
      [coarse, country.coarse],
    ]) {
      path.closePath();
      kept.shape.addPath(path);
      // Shores of lakes would darken the north, and an enclave has its own outline.
      if (o.outer[ring]) kept.border.addPath(path);
    }
  });
  return countries;
}

const regions = new Intl.DisplayNames(["en"], { type: "region", fallback: "none" });
const nameOf = (code) => {
  try {
    return regions.of(code) || code;
  } catch {
    return code;
  }
};

// ---- filters ------------------------------------------------------------------
const chosen = { country: "", merchant: "", trade: "" };
// Index of a chosen value: -1 for all, null when this run does not have it.
const indexOf = (all, value) => (value ? (all.includes(value) ? all.indexOf(value) : null) : -1);
function filtersOf(run) {
  return {
    country: indexOf(run.countries, chosen.country),
    merchant: chosen.merchant ? (run.merchantAt.get(chosen.merchant) ?? null) : -1,
    trade: indexOf(run.trades, chosen.trade),
  };
}
// Whether a row of sites or pairs passes the filters.
function passes(run, table) {
  const { country, merchant, trade } = filtersOf(run);
  if (country === null || merchant === null || trade === null) return () => false;
  const of = trade < 0 ? null : run.map.trades.of;
  return (i) =>
    (country < 0 || table.country[i] === country) &&
    (merchant < 0 || table.merchant[i] === merchant) &&
    (!of || of[table.merchant[i]] === trade);
}
function left(run, table) {
  const at = [],
    pass = passes(run, table);
  for (let i = 0; i < table.country.length; i++) if (pass(i)) at.push(i);
  return at;
}

// ---- trades -------------------------------------------------------------------
const NO_TRADE = "everything",
  COLOURS = 8; // of the style sheet; further trades share one
const tradeName = (id) => (id === NO_TRADE ? "no trade" : id.replaceAll("_", " "));
const tradeOf = (run, merchant) => run.map.trades.of[merchant];
// All trades of a page with their outlets, most outlets first, and the colours of the first ones.
function rankTrades() {
  const totals = new Map();
  for (const { map, trades } of runs)
    trades.forEach((id, i) => totals.set(id, (totals.get(id) || 0) + map.trades.n[i]));
  const ranked = [...totals.keys()].sort(
    (a, b) => (a === NO_TRADE) - (b === NO_TRADE) || totals.get(b) - totals.get(a),
  );
  const coloured = ranked.filter((id) => id !== NO_TRADE).slice(0, COLOURS);
  for (const run of runs)
    run.paint = run.trades.map((id) =>
      coloured.includes(id) ? `--trade-${coloured.indexOf(id)}` : "--trade-other",
    );
  return ranked.map((id) => [id, totals.get(id)]);
}
// Outlets, merchants and countries of the whole run, not of what is drawn; null: not embedded.
function counts(run) {
  const pairs = run.map.pairs;
  if (pairs) {
    const at = left(run, pairs),
      different = (name) => new Set(at.map((i) => pairs[name][i])).size;
    return {
      outlets: at.reduce((sum, i) => sum + pairs.n[i], 0),
      merchants: different("merchant"),
      countries: different("country"),
    };
  }
  if (chosen.merchant || chosen.trade) return null;
  const all = Object.entries(run.map.sites_by_country).filter(
    ([code]) => !chosen.country || code === chosen.country,
  );
  return {
    outlets: all.reduce((sum, [, n]) => sum + n, 0),
    merchants: null,
    countries: all.length,
  };
}
// One outlet that is embedded, as the tables, the file and the reasons name it.
function outlet(run, i) {
  const s = run.sites,
    m = run.map;
  return {
    merchant: run.merchants[s.merchant[i]],
    number: String(m.merchants[s.merchant[i]]),
    key: m.keys && m.keys[i],
    country: run.countries[s.country[i]],
    order: s.order[i],
    lon: s.lon[i] / 1e6,
    lat: s.lat[i] / 1e6,
    tile: s.tile[i],
    trade: m.trades && run.trades[tradeOf(run, s.merchant[i])],
  };
}

// ---- state in the URL's fragment: #country=NG&merchant=7&trade=fuel&tiles=1&view=lat,lon,zoom ----
let following = false;
function writeState(view) {
  if (!following) return;
  const state = new URLSearchParams();
  if (chosen.country) state.set("country", chosen.country);
  if (chosen.merchant) state.set("merchant", chosen.merchant);
  if (chosen.trade) state.set("trade", chosen.trade);
  if (byId("tiles").checked) state.set("tiles", "1");
  if (byId("theme").dataset.chosen) state.set("theme", byId("theme").dataset.chosen);
  if (view)
    state.set("view", [view.lat.toFixed(4), view.lon.toFixed(4), view.zoom.toFixed(2)].join(","));
  history.replaceState(null, "", `#${state.toString().replaceAll("%2C", ",")}`);
}
function readState() {
  const state = new URLSearchParams(location.hash.slice(1));
  const view = (state.get("view") || "").split(",").map(Number);
  return {
    country: state.get("country") || "",
    merchant: state.get("merchant") || "",
    trade: state.get("trade") || "",
    tiles: state.has("tiles"),
    theme: state.get("theme"),
    view:
      view.length === 3 && view.every(Number.isFinite)
        ? { lat: view[0], lon: view[1], zoom: view[2] }
        : null,
  };
}
