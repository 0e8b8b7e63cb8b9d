"use strict";
// Draws the map: land, tiles, density or points, names, scale bar, legend and the line below it.
const MANY = 4000; // outlets in view above which their density is drawn
const LEVELS = [1, 3, 10, 30, 100, 300, 1000, 3000, 10000, 30000];
const PLACES = 30; // names of places at most, and the share of the world within which they are
const PLACES_WITHIN = 0.25;
const RAMP = {
  light: ["#fbe0a8", "#f0a830", "#d5600b", "#96330a", "#4f1600"],
  dark: ["#5c3a10", "#a3601a", "#e08f2c", "#ffc766", "#fff6d5"],
};
const dark = () => document.documentElement.dataset.theme === "dark";

function schedule(run) {
  run.frame ??= requestAnimationFrame(() => {
    run.frame = null;
    draw(run);
  });
}
const redraw = () => runs.forEach(schedule);

function draw(run) {
  // Long outlines are drawn faster by the processor than by most graphics drivers.
  const c = run.canvas.getContext("2d", { willReadFrequently: true }),
    { x, y, k } = run.view,
    { width, height, ratio } = run;
  const world = [-x / k, -y / k, (width - x) / k, (height - y) / k];
  const seen = (box) =>
    box[2] >= world[0] && box[0] <= world[2] && box[3] >= world[1] && box[1] <= world[3];
  const inWorld = () => c.setTransform(k * ratio, 0, 0, k * ratio, x * ratio, y * ratio);
  const inPixels = () => c.setTransform(ratio, 0, 0, ratio, 0, 0);
  inPixels();
  c.fillStyle = css("--sea");
  c.fillRect(0, 0, width, height);
  inWorld();
  c.fillStyle = css("--land");
  const shapes = run.paths
    .filter((country) => seen(country.box))
    .map((country) => (k < 4000 ? country.coarse : country.fine));
  for (const { shape } of shapes) c.fill(shape, "evenodd");
  inPixels();
  const inView = visible(run, world),
    near = Boolean(chosen.merchant || chosen.trade) || inView.length <= MANY;
  const tiled = drawTiles(run, c);
  const classes = !near && run.sites ? drawDensity(run, c) : null;
  inWorld();
  c.strokeStyle = css("--border");
  c.lineWidth = 0.7 / k;
  for (const { border } of shapes) c.stroke(border);
  inPixels();
  if (near) drawPoints(run, c, inView);
  drawNames(run, c);
  drawScale(run);
  Object.assign(run, { near, inView });
  const state = [
    near,
    tiled,
    classes && classes.length,
    chosen.country,
    chosen.merchant,
    chosen.trade,
    run.placed,
    dark(),
  ].join();
  if (state !== run.told) {
    run.told = state;
    legend(run, near, tiled, classes);
    caption(run, near, tiled);
  }
}

// Embedded sites that pass the filters and are in view.
function visible(run, [w, n, e, s]) {
  const at = [];
  if (!run.sites) return at;
  const pass = passes(run, run.sites);
  for (let i = 0; i < run.x.length; i++)
    if (
      run.x[i] >= w &&
      run.x[i] <= e &&
      run.y[i] >= n &&
      run.y[i] <= s &&
      pass(i)
    )
      at.push(i);
  return at;
}

const colour = (i, of) =>
  d3.interpolateRgbBasis(RAMP[dark() ? "dark" : "light"])(i / Math.max(1, of - 1));
// Bins by class of their number of outlets; returns the least number of each class.
function drawDensity(run, c) {
  const b = run.map.bins,
    { x, y, k } = run.view,
    country = filtersOf(run).country;
  run.most ??= b.n.reduce((most, n) => Math.max(most, n), 1);
  const levels = LEVELS.filter((level) => level <= run.most),
    tens = (level) => Number.isInteger(Math.log10(level));
  const classes = levels.length > 6 ? levels.filter(tens) : levels;
  const paths = classes.map(() => new Path2D());
  for (let i = 0; i < b.x.length; i++) {
    if (country >= 0 && b.country[i] !== country) continue;
    const west = x + k * worldX(b.x[i] * b.degrees),
      east = x + k * worldX((b.x[i] + 1) * b.degrees);
    const north = y + k * worldY((b.y[i] + 1) * b.degrees),
      south = y + k * worldY(b.y[i] * b.degrees);
    if (east < 0 || west > run.width || south < 0 || north > run.height) continue;
    paths[d3.bisectRight(classes, b.n[i]) - 1].rect(
      west,
      north,
      Math.max(2, east - west + 0.3),
      Math.max(2, south - north + 0.3),
    );
  }
  paths.forEach((path, i) => {
    c.fillStyle = colour(i, classes.length);
    c.fill(path);
  });
  return classes;
}

function drawTiles(run, c) {
  const all = run.map.tiles,
    mine = all && byId("tiles").checked && all.by_country[chosen.country];
  if (!mine) return null;
  const g = all.grid,
    { x, y, k } = run.view,
    tone = d3.interpolateRgb(...(dark() ? ["#17372f", "#a5f3d8"] : ["#d5ece4", "#00463a"]));
  for (let i = 0; i < mine.row.length; i++) {
    const lon = g.x0 + mine.column[i] * g.a,
      lat = g.y0 - mine.row[i] * g.b;
    const west = x + k * worldX(lon),
      east = x + k * worldX(lon + g.a),
      north = y + k * worldY(lat),
      south = y + k * worldY(lat - g.b);
    if (east < 0 || west > run.width || south < 0 || north > run.height) continue;
    c.fillStyle = tone(mine.level[i] / 255);
    c.fillRect(west, north, Math.max(1, east - west + 0.3), Math.max(1, south - north + 0.3));
  }
  return { n: mine.row.length, share: mine.share, tone };
}

const radiusOf = (n) => (n > 1500 ? 2.6 : n > 300 ? 3.4 : 4.5);
// The picture of a point in a colour of the style sheet.
function markerOf(ratio, radius, size, paint) {
  const marker = document.createElement("canvas");
  marker.width = marker.height = Math.ceil(size * ratio);
  const m = marker.getContext("2d");
  m.scale(ratio, ratio);
  m.beginPath();
  m.arc(size / 2, size / 2, radius, 0, 2 * Math.PI);
  m.fillStyle = css(paint);
  m.fill();
  m.lineWidth = 1.2;
  m.strokeStyle = css("--outline");
  m.stroke();
  return marker;
}
function drawPoints(run, c, at) {
  const radius = radiusOf(at.length),
    { x, y, k } = run.view,
    size = 2 * radius + 3;
  const markers = (run.trades.length ? run.paint : ["--point"]).map((paint) =>
    markerOf(run.ratio, radius, size, paint),
  );
  for (const i of at)
    c.drawImage(
      markers[run.trades.length ? tradeOf(run, run.sites.merchant[i]) : 0],
      x + k * run.x[i] - size / 2,
      y + k * run.y[i] - size / 2,
      size,
      size,
    );
  if (run.told && run.reason >= 0) {
    c.beginPath();
    c.arc(x + k * run.x[run.reason], y + k * run.y[run.reason], radius + 5, 0, 2 * Math.PI);
    c.lineWidth = 2.5;
    c.strokeStyle = css("--accent");
    c.stroke();
  }
}

// Writes a name with its middle at x, y, unless it leaves the map or covers another.
function writeName(run, c, text, x, y, taken) {
  if (x < 0 || x > run.width || y < 9 || y > run.height - 9) return false;
  const half = c.measureText(text).width / 2 + 4,
    box = [x - half, y - 9, x + half, y + 9];
  if (
    box[0] < 0 ||
    box[2] > run.width ||
    taken.some((b) => b[0] < box[2] && b[2] > box[0] && b[1] < box[3] && b[3] > box[1])
  )
    return false;
  taken.push(box);
  c.strokeText(text, x, y);
  c.fillText(text, x, y);
  return true;
}

// Names of countries, those with most outlets first, then of the largest places in view.
function drawNames(run, c) {
  const taken = [],
    { x, y, k } = run.view;
  run.ranked ??= Object.keys(run.map.frames).sort(
    (a, b) => (run.map.sites_by_country[b] || 0) - (run.map.sites_by_country[a] || 0),
  );
  c.font = "600 12px system-ui, sans-serif";
  c.textAlign = "center";
  c.textBaseline = "middle";
  c.lineJoin = "round";
  c.lineWidth = 3;
  c.strokeStyle = css("--halo");
  c.fillStyle = css("--text");
  for (const code of run.ranked) {
    const [w, s, e, n] = run.map.frames[code],
      wide = k * (worldX(e) - worldX(w));
    if (c.measureText(nameOf(code)).width > wide * 0.95 && code !== chosen.country) continue;
    const middle = x + (k * (worldX(w) + worldX(e))) / 2,
      line = y + (k * (worldY(n) + worldY(s))) / 2;
    writeName(run, c, nameOf(code), middle, line, taken);
  }
  run.placed = run.width / k < PLACES_WITHIN && drawPlaces(run, c, taken);
}

// Returns whether there is room for any.
function drawPlaces(run, c, taken) {
  const { name, lon, lat } = run.map.places,
    { x, y, k } = run.view;
  let written = 0;
  c.font = "11px system-ui, sans-serif";
  for (let i = 0; i < name.length && written < PLACES; i++) {
    const east = x + k * worldX(lon[i] / 1e3),
      south = y + k * worldY(lat[i] / 1e3);
    if (writeName(run, c, name[i], east, south, taken)) written++;
  }
  return written > 0;
}

function drawScale(run) {
  const perPixel = (40_075_017 * Math.cos(viewOf(run).lat * RAD)) / run.view.k,
    most = perPixel * 110;
  const power = 10 ** Math.floor(Math.log10(most)),
    metres = power * [5, 2, 1].find((step) => step * power <= most);
  const bar = run.figure.querySelector(".scale");
  bar.style.width = `${metres / perPixel}px`;
  bar.firstElementChild.textContent =
    metres < 1000 ? `${metres} m` : `${grouped(metres / 1000)} km`;
}

function tradeLegend(run, swatch) {
  const shown = run.trades.filter((id) => !chosen.trade || id === chosen.trade);
  const other = shown.filter((id) => run.paint[run.trades.indexOf(id)] === "--trade-other");
  for (const id of shown)
    if (!other.includes(id)) swatch(css(run.paint[run.trades.indexOf(id)]), tradeName(id), "dot");
  if (other.length)
    swatch(
      css("--trade-other"),
      other.length > 1 || !other.includes(NO_TRADE) ? "other" : tradeName(NO_TRADE),
      "dot",
    );
}

// ---- legend and caption -------------------------------------------------------------
function legend(run, near, tiled, classes) {
  const items = [],
    swatch = (paint, text, kind = "") => {
      const item = document.createElement("li"),
        mark = document.createElement("span");
      mark.className = `swatch ${kind}`;
      mark.style.background = paint;
      item.append(mark, text);
      items.push(item);
    };
  const note = (text) => {
    const item = document.createElement("li");
    item.textContent = text;
    items.push(item);
  };
  if (classes) {
    note(`outlets in a cell of ${run.map.bins.degrees}°`);
    classes.forEach((low, i) => {
      const high = classes[i + 1] ? classes[i + 1] - 1 : run.most;
      swatch(
        colour(i, classes.length),
        low >= high ? grouped(low) : `${grouped(low)} to ${grouped(high)}`,
      );
    });
  } else if (near && run.trades.length) tradeLegend(run, swatch);
  else if (near && run.sites) swatch(css("--point"), "an outlet", "dot");
  if (tiled) {
    note("weight of a tile, heaviest = 1");
    [
      [0, "1/10,000"],
      [0.5, "1/100"],
      [1, "1"],
    ].forEach(([level, text]) => swatch(tiled.tone(level), text));
  }
  run.figure.querySelector(".legend").replaceChildren(...items);
}

function caption(run, near, tiled) {
  const out = byId(`shown-${run.number}`);
  if (!run.sites) {
    out.textContent = "No outlets are published.";
    return;
  }
  const all = counts(run),
    every = run.sites.every,
    embedded = left(run, run.sites).length,
    sentences = [];
  if (!all)
    sentences.push(
      `${counted(embedded, "outlet", "outlets")} drawn as points; ` +
        "this run has too many merchants for the file to count the others.",
    );
  else {
    const who =
      all.merchants === null ? "" : ` of ${counted(all.merchants, "merchant", "merchants")}`;
    sentences.push(
      `${counted(all.outlets, "outlet", "outlets")}${who} in ` +
        `${counted(all.countries, "country", "countries")}, ` +
        `drawn as ${near ? "points" : "density"}.`,
    );
  }
  if (every > 1)
    sentences.push(
      near
        ? `One of every ${every} is embedded: ${counted(embedded, "point", "points")} of these.`
        : "The density counts all.",
    );
  if (tiled)
    sentences.push(
      `Tiles: the heaviest ${grouped(tiled.n)}, ` +
        `with ${(100 * tiled.share).toFixed(1)} % of the country's weight.`,
    );
  if (run.placed) sentences.push("Place names: GeoNames, CC BY 4.0, rounded.");
  if (run.map.problem) sentences.push(run.map.problem);
  out.textContent = sentences.join(" ");
}
