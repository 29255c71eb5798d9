// What a page does in the browser: plots, tables of their data, sliders, and, when watched, newer versions of itself.
// Rows and specs come from the JSON block; text from them only ever becomes text nodes.
(() => {
  "use strict";
  const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const LIGHT = ["#1f5fbf", "#c2410c", "#12713c", "#7c3aed", "#b4236b", "#0891a5", "#a16207", "#4b5563", "#65a30d", "#be9bff", "#f472b6", "#1e293b"];
  const DARK = ["#86b4f5", "#f59e6b", "#6fd39b", "#b9a1f7", "#f28cb8", "#67d2e4", "#f0b958", "#b6bfca", "#bef264", "#6d5bd0", "#be185d", "#f8fafc"];
  const MOST_ROWS = 300; // of a table on the page; the CSV has all
  const PAPER = { "--ink": "#000", "--soft": "#333", "--line": "#bbb" };
  let data = {};
  let printing = false;

  const element = (name, text, attributes = {}) => {
    const made = document.createElement(name);
    if (text !== undefined && text !== null) made.textContent = text;
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    return made;
  };

  const number = (value) => (typeof value !== "number" ? value ?? "" :
    Number.isInteger(value) ? value.toLocaleString("en") : Number(value.toPrecision(5)).toString());

  // ── plots ─────────────────────────────────────────────────────────────────────────────────────────────────────────

  function theme() {
    const [ink, soft, line] = Object.keys(PAPER).map((name) => (printing ? PAPER[name] : css(name)));
    const category = dark.matches && !printing ? DARK : LIGHT;
    const text = { labelColor: soft, titleColor: soft, labelFont: "system-ui", titleFont: "system-ui", titleFontWeight: 500 };
    return {
      background: "transparent", font: "system-ui", aria: false,
      view: { stroke: "transparent" },
      axis: { ...text, gridColor: line, domainColor: line, tickColor: line, labelFontSize: 11, titleFontSize: 12, labelSeparation: 5 },
      legend: { ...text, labelFontSize: 12, titleFontSize: 12, orient: "bottom", columns: innerWidth < 600 ? 2 : 5, symbolLimit: 40, symbolOpacity: 1 },
      header: text, title: { color: ink },
      range: { category, ramp: { scheme: "viridis" } },
      mark: { color: category[0] }, text: { color: soft }, rule: { color: soft }, line: { clip: true },
    };
  }

  const objects = (chart) => chart.rows.map((row) => Object.fromEntries(chart.columns.map((name, i) => [name, row[i]])));

  // The exponential moving average of each series, corrected for its start.
  function smoothed(rows, weight) {
    const state = new Map();
    return rows.map((row) => {
      if (typeof row.value !== "number") return { ...row, smoothed: row.value };
      const before = state.get(row.series) ?? { sum: 0, norm: 0 };
      const next = { sum: before.sum * weight + row.value, norm: before.norm * weight + 1 };
      state.set(row.series, next);
      return { ...row, smoothed: next.sum / next.norm };
    });
  }

  function selected(chart, figure) {
    let rows = objects(chart);
    for (const picker of figure.querySelectorAll("[data-picker]")) {
      if (picker.value !== "") rows = rows.filter((row) => String(row[picker.dataset.picker]) === picker.value);
    }
    const slider = figure.querySelector("[data-smoothing]");
    return smoothed(rows, slider ? slider.value / 100 : 0);
  }

  const nothing = { load: () => Promise.reject(new Error("pages load nothing")), sanitize: () => Promise.reject(new Error("no links")) };

  async function draw(figure) {
    const chart = data[figure.dataset.chart];
    if (!chart) return;
    figure.dataset.drawn = "";
    const spec = { ...chart.spec, data: { name: "rows", values: selected(chart, figure) }, autosize: { type: "fit-x", contains: "padding" }, config: theme() };
    const plot = figure.querySelector(".plot");
    const compiled = vegaLite.compile(spec, { logger: vega.logger(vega.Error) }).spec;
    const view = new vega.View(vega.parse(compiled, null, { ast: true }), {
      expr: vegaInterpreter.expressionInterpreter, renderer: "svg", container: plot, hover: true, loader: nothing,
      tooltip: tooltip, logger: vega.logger(vega.Error),
    });
    figure.vegaView?.finalize();
    figure.vegaView = view;
    await view.runAsync();
    plot.querySelector("svg")?.setAttribute("aria-hidden", "true"); // the plot has a label, and its data as a table
  }

  function tooltip(_handler, event, _item, value) {
    let tip = document.querySelector(".tip");
    if (value === null || value === undefined || value === "") { tip?.remove(); return; }
    if (!tip) document.body.append(tip = element("div", undefined, { class: "tip", role: "tooltip" }));
    const entries = typeof value === "object" ? Object.entries(value) : [["", value]];
    tip.replaceChildren(...entries.map(([name, text]) => {
      const line = element("div");
      const shown = name === "picture" && [...document.querySelectorAll("img[data-picture]")].find((one) => one.dataset.picture === String(text));
      if (shown) line.append(element("img", undefined, { src: shown.src, alt: "" }));
      if (name) line.append(element("b", name));
      line.append(document.createTextNode(String(text)));
      return line;
    }));
    tip.style.left = `${Math.min(event.clientX + 14, innerWidth - tip.offsetWidth - 8)}px`;
    tip.style.top = `${Math.min(event.clientY + 14, innerHeight - tip.offsetHeight - 8)}px`;
  }

  // ── data as tables and CSV ────────────────────────────────────────────────────────────────────────────────────────

  const quoted = (value) => {
    const text = value === null || value === undefined ? "" : String(value);
    const safe = typeof value === "string" && /^[=+@\-\t]/.test(text) ? `'${text}` : text; // spreadsheets run formulas
    return /[",\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
  };

  function fill(details) {
    if (!details.open || details.querySelector("table")) return;
    const figure = details.closest("figure");
    const source = data[figure.dataset.chart ?? figure.dataset.tree];
    const { columns, rows } = source.nodes ? flat(source.nodes) : source;
    const save = element("button", "Save as CSV", { type: "button" });
    save.addEventListener("click", () => {
      const lines = [columns, ...rows].map((row) => row.map(quoted).join(","));
      const link = element("a", "", { download: `${figure.dataset.chart ?? figure.dataset.tree}.csv` });
      link.href = URL.createObjectURL(new Blob([lines.join("\n") + "\n"], { type: "text/csv" }));
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 1000);
    });
    const table = element("table"), head = element("tr"), body = element("tbody");
    head.append(...columns.map((name) => element("th", name, { scope: "col" })));
    for (const row of rows.slice(0, MOST_ROWS)) {
      const line = element("tr");
      line.append(...row.map((value) => element("td", number(value), typeof value === "number" ? { class: "number" } : {})));
      body.append(line);
    }
    table.append(element("thead"), body);
    table.tHead.append(head);
    const scroll = element("div", undefined, { class: "scroll", tabindex: "0", role: "region", "aria-label": `Data: ${figure.querySelector("h3").textContent}` });
    scroll.append(table);
    details.append(save, scroll);
    if (rows.length > MOST_ROWS) details.append(element("p", `The first ${MOST_ROWS} rows of ${rows.length}; the CSV has all.`));
  }

  function flat(nodes) {
    const columns = ["id", "parent", "action", "generation", "state", "role", "kept", "resolution", "score", "normalized", "start", "seconds", "images", "generator", "discriminator"];
    return { columns, rows: nodes.map((node) => columns.map((name) => node[name] ?? null)) };
  }

  // ── pictures ──────────────────────────────────────────────────────────────────────────────────────────────────────

  function timeline(figure) {
    const slider = figure.querySelector("input[type=range]"), image = figure.querySelector(".grid img");
    const output = figure.querySelector("output"), play = figure.querySelector("[data-play]");
    const frames = figure.querySelector("template").content.querySelectorAll("img");
    const title = figure.querySelector("h3").textContent;
    const show = () => {
      const frame = frames[Number(slider.value)];
      image.src = frame.getAttribute("src");
      output.textContent = frame.dataset.label;
      image.alt = `${title}, ${frame.dataset.label}`;
      slider.setAttribute("aria-valuetext", frame.dataset.label);
    };
    let timer = null;
    const stop = () => { clearInterval(timer); timer = null; play.textContent = "Play"; play.setAttribute("aria-pressed", "false"); };
    play.addEventListener("click", () => {
      if (timer) return stop();
      if (Number(slider.value) === frames.length - 1) slider.value = 0;
      play.textContent = "Pause";
      play.setAttribute("aria-pressed", "true");
      show();
      timer = setInterval(() => {
        slider.value = Number(slider.value) + 1;
        show();
        if (Number(slider.value) >= frames.length - 1 || !figure.isConnected) stop();
      }, 600);
    });
    slider.addEventListener("input", show);
    show();
  }

  function wipe(figure) {
    const stage = figure.querySelector(".stage"), slider = figure.querySelector("input[type=range]");
    const choice = figure.querySelector("select");
    const pairs = figure.querySelector("template").content.querySelectorAll("div");
    const cut = () => stage.style.setProperty("--cut", `${slider.value}%`);
    const move = (event) => {
      const box = stage.getBoundingClientRect();
      slider.value = Math.round((100 * (event.clientX - box.left)) / box.width);
      cut();
    };
    stage.addEventListener("pointermove", (event) => { if (event.pointerType === "mouse" || event.buttons) move(event); });
    stage.addEventListener("pointerdown", move);
    slider.addEventListener("input", cut);
    const show = () => {
      const [before, after] = pairs[Number(choice.value)].querySelectorAll("img");
      stage.querySelector(".before").src = before.getAttribute("src");
      stage.querySelector(".after").src = after.getAttribute("src");
    };
    choice.addEventListener("change", show);
    cut();
    show();
  }

  // ── the page ──────────────────────────────────────────────────────────────────────────────────────────────────────

  function start() {
    data = JSON.parse(document.getElementById("data").textContent);
    const seen = new IntersectionObserver((entries) => {
      for (const entry of entries) {
        if (entry.isIntersecting && !("drawn" in entry.target.dataset)) draw(entry.target);
      }
    }, { rootMargin: "300px" });
    for (const figure of document.querySelectorAll("[data-chart]")) {
      seen.observe(figure);
      for (const control of figure.querySelectorAll("[data-picker], [data-smoothing]")) control.addEventListener("input", () => draw(figure));
    }
    document.querySelectorAll("[data-tree]").forEach((figure) => ganasTree(figure, data[figure.dataset.tree]));
    document.querySelectorAll(".timeline").forEach(timeline);
    document.querySelectorAll(".wipe").forEach(wipe);
    document.querySelectorAll("[data-rows]").forEach((details) => details.addEventListener("toggle", () => fill(details)));
    document.querySelectorAll("[data-copy]").forEach((button) => button.addEventListener("click", async () => {
      const text = button.dataset.copy;
      try { await navigator.clipboard.writeText(text); } catch {
        getSelection().selectAllChildren(button.previousElementSibling); // without permission: selected, to be copied
        document.execCommand("copy");
      }
      button.textContent = "Copied";
      setTimeout(() => { button.textContent = "Copy"; }, 1500);
    }));
  }

  const drawAll = () => Promise.all([...document.querySelectorAll("[data-chart]")].map(draw));
  dark.addEventListener("change", () => {
    drawAll();
    document.querySelectorAll("[data-tree]").forEach((figure) => figure.dispatchEvent(new Event("restyle")));
  });
  for (const name of ["beforeprint", "afterprint"]) {
    addEventListener(name, () => { printing = name === "beforeprint"; return drawAll(); });
  }

  // Plots that nobody has scrolled to yet, one whenever there is time.
  function drawRest() {
    const figure = document.querySelector("[data-chart]:not([data-drawn])");
    if (figure) draw(figure).then(() => requestIdleCallback(drawRest));
  }

  // ── a watched run ─────────────────────────────────────────────────────────────────────────────────────────────────

  // Replaces the content by a newer one, and keeps what the reader chose, opened and scrolled to.
  function replace(text) {
    const fresh = new DOMParser().parseFromString(text, "text/html");
    const controls = [...document.querySelectorAll("select[id], input[id]")].map((one) => [one.id, one.value, one.value === one.max]);
    const open = [...document.querySelectorAll("details[open][id]")].map((one) => one.id);
    const focused = document.activeElement?.id, position = [scrollX, scrollY];
    document.title = fresh.title;
    document.querySelectorAll("[data-chart]").forEach((figure) => figure.vegaView?.finalize());
    for (const name of ["header", "main", "#data"]) document.querySelector(name).replaceWith(fresh.querySelector(name));
    for (const [id, value, last] of controls) {
      const control = document.getElementById(id);
      if (control && !(last && control.type === "range" && id.endsWith("-time"))) control.value = value;
      if (control?.tagName === "SELECT" && control.selectedIndex < 0) control.selectedIndex = 0;
    }
    start();
    open.forEach((id) => { const details = document.getElementById(id); if (details) details.open = true; });
    if (focused) document.getElementById(focused)?.focus({ preventScroll: true });
    scrollTo(...position);
  }

  async function watch() {
    let version = document.body.dataset.watched;
    for (;;) {
      const live = document.getElementById("live");
      try {
        const answer = await fetch(location.pathname + location.search, { headers: { "If-None-Match": version }, cache: "no-store" });
        if (answer.status === 200) {
          replace(await answer.text());
          version = answer.headers.get("ETag");
        } else if (answer.status !== 304) {
          throw new Error(String(answer.status));
        }
        document.getElementById("live").textContent = "live";
        document.getElementById("live").classList.remove("stale");
      } catch {
        live.textContent = "no answer from ganas watch";
        live.classList.add("stale");
      }
      await new Promise((done) => setTimeout(done, document.hidden ? 15000 : 2000));
    }
  }

  start();
  addEventListener("load", () => setTimeout(() => ("requestIdleCallback" in window ? requestIdleCallback(drawRest) : 0), 1000));
  if ("watched" in document.body.dataset) watch();
})();
