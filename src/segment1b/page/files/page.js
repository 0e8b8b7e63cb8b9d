"use strict";
(() => {
  const byId = (id) => document.getElementById(id);
  byId("scriptless").remove();
  const worlds = [...document.querySelectorAll("script.world")].map((s) => JSON.parse(s.textContent));
  const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const NEAR = 3.4; // zoom from which single outlets are drawn
  const FEW = 4000; // outlets that are drawn one by one at any zoom
  // By default the library's toolbar offers to upload the chart and links to its maker.
  const OFFLINE = { responsive: true, displaylogo: false, showSendToCloud: false, plotlyServerURL: "" };

  const KINDS = { f4: Float32Array, f8: Float64Array, u1: Uint8Array, u2: Uint16Array, u4: Uint32Array, u8: BigUint64Array };
  const unpack = (text, kind) => {
    const raw = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
    return new KINDS[kind](raw.buffer);
  };

  const unpackAll = (texts, kinds) =>
    Object.fromEntries(Object.entries(kinds).map(([name, kind]) => [name, unpack(texts[name], kind)]));

  const runs = worlds.map((world, number) => {
    const m = world.map;
    const run = { number, charts: world.charts, map: m, div: byId(`map-${number}`), fresh: true };
    if (m.sites) {
      run.merchants = Array.from(unpack(m.merchants, "u8"), String);
      run.sites = unpackAll(m.sites, { lon: "f4", lat: "f4", country: "u2", merchant: "u4", order: "u4", tile: "f8" });
      run.pairs = m.pairs && unpackAll(m.pairs, { merchant: "u4", country: "u2", n: "u4" });
      run.bins = unpackAll(m.bins, { lon: "f4", lat: "f4", country: "u2", n: "u4" });
    }
    return run;
  });

  // ---- filters ---------------------------------------------------------------
  const chosen = { country: "", merchant: "" };
  // Indices of the chosen country and merchant: -1 for all, null when this run does not have it.
  function filtersOf(run) {
    const place = (list, value) => (value ? (list.indexOf(value) < 0 ? null : list.indexOf(value)) : -1);
    return { country: place(run.map.countries, chosen.country), merchant: place(run.merchants, chosen.merchant) };
  }
  // Rows of sites or pairs that pass the filters.
  function left(run, table) {
    const at = [], { country, merchant } = filtersOf(run);
    if (country === null || merchant === null) return at;
    for (let i = 0; i < table.country.length; i++)
      if ((country < 0 || table.country[i] === country) && (merchant < 0 || table.merchant[i] === merchant)) at.push(i);
    return at;
  }
  const select = (run) => (run.sites ? left(run, run.sites) : []);
  // Outlets, merchants and countries of the whole run, not of what is drawn; null: not embedded.
  function counts(run) {
    if (run.pairs) {
      const at = left(run, run.pairs), different = (name) => new Set(at.map((i) => run.pairs[name][i])).size;
      return { outlets: at.reduce((sum, i) => sum + run.pairs.n[i], 0), merchants: different("merchant"), countries: different("country") };
    }
    if (chosen.merchant) return null;
    const own = Object.entries(run.map.sites_by_country).filter(([code]) => !chosen.country || code === chosen.country);
    return { outlets: own.reduce((sum, [, n]) => sum + n, 0), merchants: null, countries: own.length };
  }

  // ---- traces -----------------------------------------------------------------
  function points(run, at) {
    const s = run.sites, take = (name) => at.map((i) => s[name][i]);
    return {
      type: "scattermap", mode: "markers", name: "outlets", lon: take("lon"), lat: take("lat"),
      customdata: at.map((i) => [run.merchants[s.merchant[i]], s.order[i], s.tile[i], run.map.countries[s.country[i]]]),
      hovertemplate: "merchant %{customdata[0]}, outlet %{customdata[1]}<br>%{customdata[3]}, tile %{customdata[2]}<br>%{lat:.4f}, %{lon:.4f}<extra></extra>",
      marker: { size: byId("tiles").checked ? 4 : at.length > FEW ? 5 : 7, color: dark() ? "#f0b43c" : "#c2410c", opacity: at.length > FEW ? 0.55 : 0.8 },
      showlegend: false,
    };
  }
  // The same density has the same colour at any width and zoom: z is divided by how many bins lie
  // within the kernel (a Gaussian of three sigmas, as the map draws it), and the full tone is
  // where all of them are as full as the fullest bins of this run.
  const BIN_DEG = 0.5;
  const radiusAt = (zoom) => Math.max(5, (2 * BIN_DEG * 512 * 2 ** zoom) / 360);
  function fullTone(run, radius, zoom) {
    run.levels ??= Float64Array.from(run.bins.n, Math.log1p).sort();
    const high = run.levels[Math.floor(0.98 * (run.levels.length - 1))] || 1;
    const across = (radius * 360) / (BIN_DEG * 512 * 2 ** zoom);
    return high * Math.max(1, 0.28 * across * across);
  }
  function density(run, zoom) {
    const b = run.bins, at = [], radius = radiusAt(zoom);
    const country = chosen.country ? run.map.countries.indexOf(chosen.country) : -1;
    for (let i = 0; i < b.lon.length; i++) if (country < 0 || b.country[i] === country) at.push(i);
    return {
      type: "densitymap", name: "density", lon: at.map((i) => b.lon[i]), lat: at.map((i) => b.lat[i]),
      z: at.map((i) => Math.log1p(b.n[i])), radius, zmin: 0, zmax: fullTone(run, radius, zoom), showscale: false, hoverinfo: "skip",
      colorscale: dark()
        ? [[0, "rgba(240,180,60,0)"], [0.15, "rgba(200,110,40,.55)"], [0.5, "rgba(240,180,60,.9)"], [1, "#fff6d5"]]
        : [[0, "rgba(230,159,0,0)"], [0.15, "rgba(230,159,0,.55)"], [0.5, "rgba(213,94,0,.85)"], [1, "#6b1d00"]],
    };
  }
  function tiles(run) {
    const own = run.map.tiles && run.map.tiles.by_country[chosen.country];
    if (!own || !byId("tiles").checked) return null;
    const g = run.map.tiles.grid, ids = unpack(own.ids, g.wide ? "f8" : "u4"), level = unpack(own.level, "u1");
    const features = [], z = [], text = [];
    ids.forEach((id, i) => {
      const row = Math.floor(id / g.ncols), col = id - row * g.ncols;
      // Slightly wider, so that there is no seam between neighbours.
      const w = g.x0 + (col - 0.02) * g.a, e = w + 1.04 * g.a, n = g.y0 - (row - 0.02) * g.b, s = n - 1.04 * g.b;
      features.push({ type: "Feature", id: i, geometry: { type: "Polygon", coordinates: [[[w, s], [e, s], [e, n], [w, n], [w, s]]] }, properties: {} });
      z.push(level[i] / 63.75 - 4);
      text.push(String(id));
    });
    return {
      type: "choroplethmap", geojson: { type: "FeatureCollection", features }, locations: features.map((f) => f.id), z, text,
      zmin: -4, zmax: 0, colorscale: dark() ? [[0, "#17372f"], [1, "#a5f3d8"]] : [[0, "#d5ece4"], [1, "#00463a"]], marker: { opacity: 1, line: { width: 0 } },
      hovertemplate: "tile %{text}<br>10^%{z:.1f} of the heaviest<extra></extra>", showlegend: false,
      colorbar: { title: { text: "weight, heaviest = 1", side: "right" }, tickvals: [-4, -3, -2, -1, 0], ticktext: ["1/10,000", "1/1,000", "1/100", "1/10", "1"], thickness: 10, len: 0.6, x: 0.99, xanchor: "right", bgcolor: css("--card"), font: { color: css("--text") } },
    };
  }

  // One object per theme: a new one makes the map reload.
  const seas = {};
  function sea() {
    const name = dark() ? "dark" : "light";
    seas[name] ??= { id: name, version: 8, sources: {}, layers: [{ id: "sea", type: "background", paint: { "background-color": css("--sea") } }] };
    return seas[name];
  }
  const dark = () => document.documentElement.dataset.theme === "dark";
  function mapLayout(run, view) {
    const source = run.map.outlines;
    // Outer rings only: shores of lakes would darken the north, and an enclave has its own outline.
    run.borders ??= { type: "FeatureCollection", features: source.features.map((f) => ({ ...f, geometry: { type: "MultiPolygon", coordinates: f.geometry.coordinates.map((piece) => [piece[0]]) } })) };
    return {
      margin: { l: 0, r: 0, t: 0, b: 0 }, paper_bgcolor: css("--sea"), font: { color: css("--text") }, showlegend: false,
      hoverlabel: { font: { family: "inherit" } },
      map: {
        style: sea(),
        center: view.center, zoom: view.zoom,
        layers: [
          { sourcetype: "geojson", source, type: "fill", color: css("--land"), below: "traces" },
          { sourcetype: "geojson", source: run.borders, type: "line", color: css("--border"), opacity: 0.7, line: { width: 0.6 }, below: "traces" },
        ],
      },
    };
  }
  function box(country) {
    const all = runs.flatMap((run) => run.map.outlines.features.filter((f) => f.id === country));
    if (!all.length) return null;
    // The larger side of a country on both sides of the date line.
    let best = null;
    for (const piece of all[0].geometry.coordinates) {
      let [w, s, e, n] = [180, 90, -180, -90];
      for (const [x, y] of piece[0]) { w = Math.min(w, x); e = Math.max(e, x); s = Math.min(s, y); n = Math.max(n, y); }
      const size = (e - w) * (n - s);
      if (!best || size > best.size) best = { size, w, s, e, n };
    }
    return best;
  }
  function home(run) {
    const width = run.div.clientWidth || 800, height = run.div.clientHeight || 500;
    const zoom = Math.max(-0.3, Math.log2(width / 560));
    // The map ends at 58 degrees south, above Antarctica.
    const south = mercator(-58), half = (height * Math.PI) / (512 * 2 ** zoom);
    const middle = Math.max(south + half, mercator(22));
    return { center: { lon: 10, lat: (2 * Math.atan(Math.exp(Math.min(middle, mercator(50)))) - Math.PI / 2) * (180 / Math.PI) }, zoom };
  }
  const mercator = (lat) => Math.log(Math.tan(Math.PI / 4 + (lat * Math.PI) / 360));
  function viewOf(run) {
    const b = chosen.country && box(chosen.country);
    if (!b) return home(run);
    // At zoom 0 the world is 512 pixels wide, and as high between the 85th parallels.
    const north = mercator(Math.min(b.n, 84)), south = mercator(Math.max(b.s, -84));
    const wide = Math.log2(((run.div.clientWidth || 800) * 360) / (512 * Math.max(b.e - b.w, 0.3)));
    const high = Math.log2(((run.div.clientHeight || 500) * 2 * Math.PI) / (512 * Math.max(north - south, 0.005)));
    const lat = (2 * Math.atan(Math.exp((north + south) / 2)) - Math.PI / 2) * (180 / Math.PI);
    return { center: { lon: (b.w + b.e) / 2, lat }, zoom: Math.min(9, wide, high) - 0.25 };
  }

  const canDraw = Boolean(document.createElement("canvas").getContext("webgl2"));

  // ---- drawing ------------------------------------------------------------------
  function caption(run, at, near) {
    const out = byId(`shown-${run.number}`);
    if (!run.sites) { out.textContent = "No outlets are published."; return; }
    const n = (v) => v.toLocaleString("en"), of = (v, one, more) => `${n(v)} ${v === 1 ? one : more}`;
    const all = counts(run), every = run.map.sites.every, said = [];
    const kind = near ? "points" : "density";
    if (!all) said.push(`${of(at.length, "outlet", "outlets")} drawn as points; this run has too many merchants for the file to count the others of this one.`);
    else {
      const who = all.merchants === null ? "" : ` of ${of(all.merchants, "merchant", "merchants")}`;
      said.push(`${of(all.outlets, "outlet", "outlets")}${who} in ${of(all.countries, "country", "countries")}, drawn as ${kind}.`);
    }
    if (every > 1) said.push(near ? `One of every ${every} is embedded: ${of(at.length, "point is", "points are")} drawn.` : "The density counts all.");
    const own = chosen.country && byId("tiles").checked && run.map.tiles && run.map.tiles.by_country[chosen.country];
    if (own) said.push(`Tiles: the heaviest ${n(unpack(own.level, "u1").length)}, with ${(100 * own.share).toFixed(1)} % of the country's weight.`);
    out.textContent = said.join(" ");
  }
  // Draws one after the other: the library refuses a new one before the last has ended.
  function draw(run, view) {
    run.wanted = view;
    run.drawing = (run.drawing || Promise.resolve()).then(() => {
      const next = run.wanted;
      run.wanted = null;
      return next ? drawNow(run, next) : undefined;
    });
    return run.drawing;
  }
  const isNear = (at, view) => Boolean(chosen.merchant) || at.length <= FEW || view.zoom >= NEAR;
  function drawNow(run, view) {
    const at = select(run), traces = [], near = isNear(at, view);
    run.near = near;
    run.drawnAt = view.zoom;
    const t = tiles(run);
    if (t) traces.push(t);
    if (run.sites) traces.push(near ? points(run, at) : density(run, view.zoom));
    if (!traces.length) traces.push({ type: "scattermap", lon: [], lat: [], showlegend: false });
    caption(run, at, near);
    if (!canDraw) {
      run.div.textContent = "The map needs WebGL, which this browser does not provide. The charts and numbers below are complete.";
      return Promise.resolve();
    }
    const config = { ...OFFLINE, scrollZoom: true, modeBarButtonsToRemove: ["select2d", "lasso2d", "toImage"] };
    if (!run.fresh) return Plotly.react(run.div, traces, mapLayout(run, view), config);
    run.fresh = false;
    // Without Ctrl the wheel scrolls the page.
    run.wheel ??= (event) => { if (!event.ctrlKey && !event.metaKey) event.stopPropagation(); };
    run.div.addEventListener("wheel", run.wheel, { capture: true, passive: true });
    Plotly.purge(run.div);
    return Plotly.newPlot(run.div, traces, mapLayout(run, view), config).then(() => follow(run));
  }
  const viewNow = (run) => {
    if (run.wanted) return run.wanted;
    const m = run.div._fullLayout && run.div._fullLayout.map;
    return m ? { center: { lon: m.center.lon, lat: m.center.lat }, zoom: m.zoom } : home(run);
  };
  let linked = false;
  function follow(run) {
    run.div.on("plotly_relayout", () => {
      const view = viewNow(run);
      const near = isNear(select(run), view);
      if (near !== run.near || (!near && Math.abs(view.zoom - run.drawnAt) > 0.3)) draw(run, view);
      if (runs.length < 2 || linked) return;
      linked = true;
      Promise.all(runs.filter((other) => other !== run).map((other) => draw(other, view))).finally(() => { linked = false; });
    });
  }

  function axisColours() {
    const axis = { gridcolor: css("--line"), zerolinecolor: css("--line"), linecolor: css("--border"), tickcolor: css("--border") };
    return { paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", font: { color: css("--text"), family: "system-ui, sans-serif", size: 13 }, axis };
  }
  const blue = () => (dark() ? "#56B4E9" : "#0072B2");
  function chart(div) {
    const source = runs[Number(div.dataset.run)].charts[div.dataset.chart];
    const { axis, ...colours } = axisColours();
    const layout = structuredClone({ ...source.layout, ...colours });
    for (const name of ["xaxis", "yaxis", "yaxis2"]) if (layout[name]) layout[name] = { ...layout[name], ...axis };
    const data = structuredClone(source.data);
    for (const trace of data)
      for (const part of [trace.marker, trace.line]) if (part && part.color === "#0072B2") part.color = blue();
    return Plotly.react(div, data, layout, { ...OFFLINE, displayModeBar: false });
  }

  const drawAll = (viewFor) => Promise.all(runs.map((run) => draw(run, viewFor(run))));
  function theme(name) {
    document.documentElement.dataset.theme = name;
    byId("theme").textContent = name === "dark" ? "Light" : "Dark";
    byId("theme").setAttribute("aria-pressed", String(name === "dark"));
  }

  // ---- controls --------------------------------------------------------------------
  const countries = [...new Set(runs.flatMap((run) => run.map.countries))].sort();
  const nameOf = (code) => { try { return new Intl.DisplayNames(["en"], { type: "region" }).of(code); } catch { return code; } };
  const total = (code) => Math.max(...runs.map((run) => run.map.sites_by_country[code] || 0));
  for (const code of countries) {
    const option = document.createElement("option");
    option.value = code;
    const label = nameOf(code);
    option.textContent = `${code}${label === code ? "" : " " + label} (${total(code).toLocaleString("en")})`;
    byId("country").append(option);
  }
  const merchants = runs[0].merchants || [];
  if (merchants.length <= 5000)
    for (const merchant of merchants) {
      const option = document.createElement("option");
      option.value = merchant;
      byId("merchants").append(option);
    }
  const known = (merchant) => runs.some((run) => run.sites && run.merchants.includes(merchant));
  byId("country").addEventListener("change", (event) => {
    chosen.country = event.target.value;
    byId("tiles").checked = Boolean(chosen.country) && byId("tiles").checked;
    drawAll(viewOf);
  });
  byId("merchant").addEventListener("input", (event) => {
    const merchant = event.target.value.trim();
    event.target.setAttribute("aria-invalid", String(Boolean(merchant) && !known(merchant)));
    chosen.merchant = merchant;
    if (!merchant || known(merchant)) drawAll(viewNow);
  });
  byId("tiles").addEventListener("change", () => {
    if (byId("tiles").checked && !chosen.country) {
      chosen.country = countries.reduce((best, code) => (total(code) > total(best) ? code : best), countries[0]);
      byId("country").value = chosen.country;
      drawAll(viewOf);
    } else drawAll(viewNow);
  });
  byId("reset").addEventListener("click", () => {
    chosen.country = chosen.merchant = "";
    byId("country").value = byId("merchant").value = "";
    byId("tiles").checked = false;
    drawAll(home);
  });
  byId("theme").addEventListener("click", () => {
    const views = runs.map(viewNow);
    theme(dark() ? "light" : "dark");
    // A map keeps its background, so it is created again.
    runs.forEach((run) => { run.fresh = true; });
    drawAll((run) => views[run.number]);
    document.querySelectorAll(".chart").forEach(chart);
  });

  // In print a drawing wider than the sheet is scaled down.
  const SHEET = 620;
  const drawings = () => document.querySelectorAll(".chart, .map");
  window.addEventListener("beforeprint", () => {
    for (const div of drawings()) div.style.zoom = Math.min(1, (document.body.classList.contains("two") ? SHEET / 2.2 : SHEET) / div.clientWidth);
  });
  window.addEventListener("afterprint", () => drawings().forEach((div) => { div.style.zoom = ""; }));

  theme(matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
  const charts = [...document.querySelectorAll(".chart")].map(chart);
  Promise.all([drawAll(home), ...charts]).then(() => {
    document.documentElement.dataset.ready = "yes";
  });
})();
