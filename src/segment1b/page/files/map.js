"use strict";
// The map: a canvas in Web Mercator that d3-zoom moves; all maps of a page move together.

function startMap(run) {
  const canvas = (run.canvas = run.figure.querySelector("canvas"));
  run.box = run.figure.querySelector(".map");
  run.view = d3.zoomIdentity;
  run.zoom = d3
    .zoom()
    // Without Ctrl the wheel scrolls the page, and so does a single finger.
    .filter(
      (event) =>
        !selecting(event) &&
        !event.button &&
        (event.type === "wheel"
          ? event.ctrlKey || event.metaKey
          : event.type !== "touchstart" || event.touches.length > 1),
    )
    // Half a level at most, for one notch of a wheel; the steps of a touchpad are smaller.
    .wheelDelta((event) => Math.max(-0.5, Math.min(0.5, -0.02 * event.deltaY)))
    .on("zoom", ({ transform, sourceEvent }) => {
      run.view = transform;
      schedule(run);
      if (sourceEvent)
        for (const other of runs)
          if (other !== run) d3.select(other.canvas).call(other.zoom.transform, transform);
    })
    .on("end", ({ sourceEvent }) => {
      if (sourceEvent) writeState(viewOf(run));
    });
  d3.select(canvas).call(run.zoom).on("dblclick.zoom", null);
  for (const [name, factor] of [
    ["in", 2],
    ["out", 0.5],
  ])
    run.figure.querySelector(`.${name}`).addEventListener("click", () => {
      for (const each of runs) d3.select(each.canvas).call(each.zoom.scaleBy, factor);
      writeState(viewOf(run));
    });
  canvas.addEventListener("pointermove", (event) => hover(run, event));
  canvas.addEventListener("pointerleave", () => {
    run.figure.querySelector(".hover").hidden = true;
  });
  canvas.addEventListener("click", (event) => {
    const i = nearest(run, event);
    if (i >= 0 && !event.shiftKey) showReason(run, i);
  });
  boxSelection(run);
  new ResizeObserver(() => resize(run)).observe(run.box);
  resize(run);
}

function resize(run) {
  const width = run.box.clientWidth,
    height = run.box.clientHeight,
    ratio = window.devicePixelRatio || 1;
  if (!width || (run.width === width && run.height === height && run.ratio === ratio)) return;
  const view = run.width ? viewOf(run) : null;
  Object.assign(run, { width, height, ratio });
  run.canvas.width = Math.round(width * ratio);
  run.canvas.height = Math.round(height * ratio);
  // A whole world fits into the width; the closest view is of tens of metres.
  run.zoom
    .extent([
      [0, 0],
      [width, height],
    ])
    .translateExtent([
      [0, 0],
      [1, 1],
    ])
    .scaleExtent([Math.min(width, 1.2 * height), 2 ** 24]);
  if (view) setView(run, view);
}

// ---- views ------------------------------------------------------------------------
const viewOf = (run) => {
  const [x, y] = run.view.invert([run.width / 2, run.height / 2]);
  return { lat: latOf(y), lon: lonOf(x), zoom: Math.log2(run.view.k / 512) };
};
function setView(run, { lat, lon, zoom }) {
  const k = 512 * 2 ** zoom;
  const transform = d3.zoomIdentity
    .translate(run.width / 2 - k * worldX(lon), run.height / 2 - k * worldY(lat))
    .scale(k);
  d3.select(run.canvas).call(run.zoom.transform, transform);
  // A view outside the world is moved into it.
  d3.select(run.canvas).call(run.zoom.translateBy, 0, 0);
}
// The view in which a box of the world (west, north, east, south, in 0..1) fills most of the map.
function viewOfBox(run, [w, n, e, s]) {
  const k = Math.min(run.width / Math.max(e - w, 1e-5), run.height / Math.max(s - n, 1e-5)) * 0.92;
  return {
    lat: latOf((n + s) / 2),
    lon: lonOf((w + e) / 2),
    zoom: Math.log2(Math.min(k, 2 ** 20) / 512),
  };
}
function extentOf(xs, ys, at) {
  const box = [2, 2, -1, -1];
  for (const i of at) {
    box[0] = Math.min(box[0], xs[i]);
    box[1] = Math.min(box[1], ys[i]);
    box[2] = Math.max(box[2], xs[i]);
    box[3] = Math.max(box[3], ys[i]);
  }
  return at.length ? box : null;
}
// What is chosen in its whole: the country's largest piece, or the outlets that are left.
function home(run) {
  const frame = chosen.country && !chosen.merchant && run.map.frames[chosen.country];
  if (frame)
    return viewOfBox(run, [worldX(frame[0]), worldY(frame[3]), worldX(frame[2]), worldY(frame[1])]);
  const box = run.sites && extentOf(run.x, run.y, left(run, run.sites));
  return viewOfBox(run, box || [0, 0.05, 1, 0.72]);
}
