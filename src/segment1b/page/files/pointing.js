"use strict";
// Pointing at an outlet and selecting a box on the map.
const HIT = 9; // pixels around an outlet in which a click is meant for it

function nearest(run, event) {
  if (!run.near) return -1;
  const { x, y, k } = run.view;
  let best = -1,
    least = (radiusOf(run.inView.length) + HIT) ** 2;
  for (const i of run.inView) {
    const away = (x + k * run.x[i] - event.offsetX) ** 2 + (y + k * run.y[i] - event.offsetY) ** 2;
    if (away < least) {
      least = away;
      best = i;
    }
  }
  return best;
}
function hover(run, event) {
  const note = run.figure.querySelector(".hover"),
    i = event.buttons ? -1 : nearest(run, event);
  note.hidden = i < 0;
  run.canvas.classList.toggle("pointing", i >= 0);
  if (i < 0) return;
  const o = outlet(run, i);
  note.textContent = `merchant ${o.merchant}, ${o.key ? o.key : `outlet ${o.order}`}, ${o.country}`;
  if (o.trade) note.textContent += `, ${tradeName(o.trade)}`;
  const most = Math.max(0, run.width - note.offsetWidth - 4);
  note.style.left = `${Math.min(event.offsetX + 12, most)}px`;
  note.style.top = `${Math.min(event.offsetY + 12, run.height - 34)}px`;
}

const selecting = (event) =>
  event.shiftKey || byId("select").getAttribute("aria-pressed") === "true";
function boxSelection(run) {
  let start = null,
    frame = null;
  const corner = (event) => {
    const box = run.canvas.getBoundingClientRect();
    return [
      Math.max(0, Math.min(run.width, event.clientX - box.left)),
      Math.max(0, Math.min(run.height, event.clientY - box.top)),
    ];
  };
  run.canvas.addEventListener("pointerdown", (event) => {
    if (!selecting(event) || event.button) return;
    start = corner(event);
    run.canvas.setPointerCapture(event.pointerId);
    frame = document.createElement("div");
    frame.className = "selecting";
    run.box.append(frame);
  });
  run.canvas.addEventListener("pointermove", (event) => {
    if (!start) return;
    const [x, y] = corner(event);
    Object.assign(frame.style, {
      left: `${Math.min(x, start[0])}px`,
      top: `${Math.min(y, start[1])}px`,
      width: `${Math.abs(x - start[0])}px`,
      height: `${Math.abs(y - start[1])}px`,
    });
  });
  const end = (event) => {
    if (!start) return;
    const [x, y] = corner(event),
      [x0, y0] = start;
    frame.remove();
    start = null;
    if (event.type === "pointerup" && Math.abs(x - x0) > 3 && Math.abs(y - y0) > 3) {
      const [w, n] = run.view.invert([Math.min(x, x0), Math.min(y, y0)]),
        [e, s] = run.view.invert([Math.max(x, x0), Math.max(y, y0)]);
      showSelection(run, visible(run, [w, n, e, s]));
    }
  };
  run.canvas.addEventListener("pointerup", end);
  run.canvas.addEventListener("pointercancel", end);
}
