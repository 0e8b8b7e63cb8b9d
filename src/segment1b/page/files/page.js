"use strict";
// Controls, charts and the start of the page.
const runs = [];

// ---- charts ------------------------------------------------------------------------
function chart(div) {
  const {
    marks,
    height = 300,
    ...options
  } = runs[Number(div.dataset.run)].charts[div.dataset.chart];
  const made = Plot.plot({
    ...options,
    width: div.clientWidth || 480,
    height,
    marginLeft: options.marginLeft || 48,
    marginBottom: 40,
    style: { fontSize: "12px", background: "none", overflow: "visible" },
    marks: marks.map(({ mark, length, options: channels }) => Plot[mark]({ length }, channels)),
  });
  const names = marks
    .filter(({ name }) => name)
    .map(({ name, mark, options: { fill, stroke } }) => {
      const item = element("li", name),
        swatch = element("span", "", { className: `swatch ${mark === "dot" ? "dot" : "line"}` });
      swatch.style.background = mark === "dot" ? fill : stroke;
      item.prepend(swatch);
      return item;
    });
  const legendOf = element("ul", "", { className: "legend" });
  legendOf.append(...(names.length > 1 ? names : []));
  div.replaceChildren(legendOf, made);
}

// ---- controls ------------------------------------------------------------------------
function choose({ country, merchant, trade, tiles }, views) {
  if (country !== undefined)
    chosen.country = runs.some((run) => run.countries.includes(country)) ? country : "";
  if (merchant !== undefined)
    chosen.merchant = runs.some((run) => run.merchantAt.has(merchant)) ? merchant : "";
  if (trade !== undefined)
    chosen.trade = runs.some((run) => run.trades.includes(trade)) ? trade : "";
  byId("country").value = chosen.country;
  byId("trade").value = chosen.trade;
  if (merchant !== undefined) {
    byId("merchant").value = merchant;
    const missing = Boolean(merchant) && !chosen.merchant;
    byId("merchant").setAttribute("aria-invalid", String(missing));
    byId("no-merchant").textContent = missing ? `There is no such merchant: ${merchant}` : "";
  }
  if (tiles !== undefined) byId("tiles").checked = tiles;
  byId("tiles").checked &&= Boolean(chosen.country);
  show(views);
}
function show(views = (run) => home(run)) {
  for (const run of runs) {
    run.told = "";
    setView(run, views(run));
    schedule(run);
  }
  writeState(viewOf(runs[0]));
}
const here = (run) => viewOf(run);

function controls() {
  const countries = [...new Set(runs.flatMap((run) => run.countries))].sort();
  const total = (code) => Math.max(...runs.map((run) => run.map.sites_by_country[code] || 0));
  for (const code of countries)
    byId("country").append(
      element(
        "option",
        `${code}${nameOf(code) === code ? "" : ` ${nameOf(code)}`} (${grouped(total(code))})`,
        { value: code },
      ),
    );
  const merchants = [...new Set(runs.flatMap((run) => run.merchants))];
  if (merchants.length <= 5000)
    byId("merchants").append(...merchants.map((value) => element("option", "", { value })));
  const trades = rankTrades();
  byId("trade-filter").hidden = !trades.length;
  for (const [value, n] of trades)
    byId("trade").append(element("option", `${tradeName(value)} (${grouped(n)})`, { value }));
  byId("trade").addEventListener("change", (event) => choose({ trade: event.target.value }));
  byId("filters").addEventListener("submit", (event) => event.preventDefault());
  byId("country").addEventListener("change", (event) => choose({ country: event.target.value }));
  byId("merchant").addEventListener("input", (event) =>
    choose({ merchant: event.target.value.trim() }),
  );
  byId("tiles").addEventListener("change", (event) => {
    if (!event.target.checked || chosen.country) return show(here);
    const largest = countries.reduce(
      (best, code) => (total(code) > total(best) ? code : best),
      countries[0],
    );
    choose({ country: largest });
    byId("tiles").checked = true;
    return show();
  });
  byId("select").addEventListener("click", (event) => {
    const on = event.target.getAttribute("aria-pressed") !== "true";
    event.target.setAttribute("aria-pressed", String(on));
    document.body.classList.toggle("boxing", on);
  });
  byId("list").addEventListener("click", () =>
    runs.forEach((run) => run.sites && showSelection(run, run.inView)),
  );
  byId("reset").addEventListener("click", () =>
    choose({ country: "", merchant: "", trade: "", tiles: false }),
  );
  byId("theme").addEventListener("click", () => {
    byId("theme").dataset.chosen = dark() ? "light" : "dark";
    theme(byId("theme").dataset.chosen);
    redraw();
    writeState(viewOf(runs[0]));
  });
  // A link to a section keeps the state that the fragment has.
  for (const link of document.querySelectorAll("nav a"))
    link.addEventListener("click", (event) => {
      event.preventDefault();
      document.querySelector(link.getAttribute("href")).scrollIntoView();
    });
  addEventListener("hashchange", () => {
    if (location.hash.includes("=")) apply();
  });
}
function theme(name) {
  document.documentElement.dataset.theme = name;
  byId("theme").textContent = name === "dark" ? "Light" : "Dark";
  byId("theme").setAttribute("aria-pressed", String(name === "dark"));
}
function apply() {
  const state = readState();
  if (["dark", "light"].includes(state.theme)) {
    byId("theme").dataset.chosen = state.theme;
    theme(state.theme);
  }
  choose(state, state.view ? () => state.view : undefined);
}

async function start() {
  theme(matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
  const scripts = [...document.querySelectorAll("script.world")];
  runs.push(
    ...(await Promise.all(scripts.map((script) => unpack(script.textContent)))).map(prepare),
  );
  runs.forEach(startMap);
  controls();
  apply();
  runs.forEach(draw);
  performance.mark("drawn");
  following = true;
  // The map is on the screen before the rest is made.
  await new Promise((done) => setTimeout(done));
  runs.forEach(showTables);
  const charts = [...document.querySelectorAll(".chart")];
  const sizes = new Map();
  const observer = new ResizeObserver((entries) => {
    for (const { target } of entries)
      if (sizes.get(target) !== target.clientWidth) {
        sizes.set(target, target.clientWidth);
        chart(target);
      }
  });
  charts.forEach((div) => {
    sizes.set(div, div.clientWidth);
    chart(div);
    observer.observe(div);
  });
  document.documentElement.dataset.ready = "yes";
}

start().catch((error) => {
  const note = byId("failed");
  note.textContent =
    `Map, charts and tables could not be drawn (${error}). ` +
    "A current browser is needed; sentences, lineage and checks are below.";
  note.hidden = false;
  throw error;
});
