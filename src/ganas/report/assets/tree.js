// The tree of candidates of a growing run: generations from left to right, on a canvas, so that thousands stay smooth.
const ganasTree = (() => {
  "use strict";
  const COLUMN = 110, ROW = 14; // pixels between generations, and between leaves, before zooming
  const RAMP = ["--best", "--middle", "--worst"];

  const mixed = (one, other, share) => {
    const parts = (hex) => [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));
    const [a, b] = [parts(one), parts(other)];
    return `rgb(${a.map((value, i) => Math.round(value + (b[i] - value) * share)).join(",")})`;
  };

  return (figure, source) => {
    const canvas = figure.querySelector("canvas"), panel = figure.querySelector(".candidate");
    const show = figure.querySelector("[data-show]"), color = figure.querySelector("[data-color]");
    const find = figure.querySelector("[data-find]");
    const nodes = source.nodes.map((node) => ({ ...node, children: [] }));
    const byId = new Map(nodes.map((node) => [node.id, node]));
    const roots = [];
    for (const node of nodes) (byId.get(node.parent)?.children ?? roots).push(node);
    const largest = Math.max(1, ...nodes.map((node) => node.generator + node.discriminator));
    const folded = new Set();
    let placed = [], chosen = null, scale = 1, originX = 0, originY = 0, colors = {}, pending = false;

    // ── where everything is ─────────────────────────────────────────────────────────────────────────────────────────

    const shown = (node) => show.value === "all" || (show.value === "kept" ? node.kept || node.best : node.best);

    function place() {
      placed = [];
      let row = 0;
      const visit = (node, depth) => {
        const children = folded.has(node.id) ? [] : node.children.filter(shown);
        node.open = children;
        placed.push(node);
        node.x = depth * COLUMN;
        if (!children.length) { node.y = row++ * ROW; return; }
        for (const child of children) visit(child, depth + 1);
        node.y = (children[0].y + children.at(-1).y) / 2;
      };
      roots.filter(shown).forEach((node) => visit(node, 0));
    }

    function fit() {
      const width = canvas.clientWidth, height = canvas.clientHeight;
      const right = Math.max(1, ...placed.map((node) => node.x)), bottom = Math.max(1, ...placed.map((node) => node.y));
      scale = Math.min(2.5, (width - 90) / right, (height - 50) / bottom);
      stretch = Math.max(1, Math.min(12, (width - 90) / (right * scale)));
      originX = 40;
      originY = (height - bottom * scale) / 2;
      redraw();
    }
    let stretch = 1; // of x, so that a tall tree uses the width

    const atX = (node) => originX + node.x * scale * stretch, atY = (node) => originY + node.y * scale;
    const radius = (node) => (2 + 7 * Math.sqrt((node.generator + node.discriminator) / largest)) * Math.min(1.4, Math.max(0.45, Math.sqrt(scale)));

    // ── drawing ─────────────────────────────────────────────────────────────────────────────────────────────────────

    function restyle() {
      const style = getComputedStyle(document.documentElement), value = (name) => style.getPropertyValue(name).trim();
      colors = { ink: value("--ink"), soft: value("--soft"), line: value("--line"), accent: value("--accent"), bad: value("--bad"), ramp: RAMP.map(value) };
      redraw();
    }

    const spread = {};
    function share(node) { // 0 is best, 1 is worst; null: no score
      const value = node[color.value];
      if (typeof value !== "number") return null;
      if (color.value === "rank") return value;
      const all = (spread[color.value] ??= nodes.map((one) => one[color.value]).filter((one) => typeof one === "number").sort((a, b) => a - b));
      const low = all[Math.floor(all.length * 0.02)], high = all[Math.ceil((all.length - 1) * 0.98)];
      const part = high > low ? Math.min(1, Math.max(0, (value - low) / (high - low))) : 0.5;
      return color.value === "gain" ? 1 - part : part;
    }

    function fill(node) {
      const part = share(node);
      if (part === null) return colors.line;
      return part < 0.5 ? mixed(colors.ramp[0], colors.ramp[1], part * 2) : mixed(colors.ramp[1], colors.ramp[2], part * 2 - 1);
    }

    function redraw() {
      if (pending) return;
      pending = true;
      requestAnimationFrame(() => { pending = false; paint(); });
    }

    function paint() {
      const began = performance.now(), ratio = devicePixelRatio || 1;
      const width = canvas.clientWidth, height = canvas.clientHeight;
      if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
        canvas.width = Math.round(width * ratio);
        canvas.height = Math.round(height * ratio);
      }
      const pen = canvas.getContext("2d");
      pen.setTransform(ratio, 0, 0, ratio, 0, 0);
      pen.clearRect(0, 0, width, height);
      for (const best of [false, true]) {
        pen.beginPath();
        for (const node of placed) {
          for (const child of node.open) {
            if (Boolean(child.best && node.best) !== best) continue;
            const x0 = atX(node), y0 = atY(node), x1 = atX(child), y1 = atY(child);
            if (Math.max(y0, y1) < 0 || Math.min(y0, y1) > height || x1 < 0 || x0 > width) continue;
            pen.moveTo(x0, y0);
            pen.bezierCurveTo((x0 + x1) / 2, y0, (x0 + x1) / 2, y1, x1, y1);
          }
        }
        pen.strokeStyle = best ? colors.ink : colors.line;
        pen.lineWidth = best ? 2.2 : 1;
        pen.stroke();
      }
      for (const node of placed) {
        const x = atX(node), y = atY(node), r = radius(node);
        if (x < -20 || y < -20 || x > width + 20 || y > height + 20) continue;
        pen.beginPath();
        pen.arc(x, y, r, 0, 2 * Math.PI);
        pen.fillStyle = fill(node);
        pen.fill();
        if (node.kept || node === chosen || node.state === "failed") {
          pen.lineWidth = node === chosen ? 3 : 1.3;
          pen.strokeStyle = node === chosen ? colors.accent : node.state === "failed" ? colors.bad : colors.ink;
          pen.stroke();
        }
        if (folded.has(node.id)) {
          pen.fillStyle = colors.ink;
          pen.font = "11px system-ui";
          pen.fillText(`+${count(node)}`, x + r + 3, y + 4);
        } else if (scale > 0.85 && node.action) {
          pen.fillStyle = colors.soft;
          pen.font = "10.5px system-ui";
          pen.fillText(node.action, x + r + 3, y + 3.5);
        }
      }
      figure.dataset.paintMs = (performance.now() - began).toFixed(1);
      figure.dataset.painted = String(placed.length);
      figure.dataset.at = chosen ? `${atX(chosen)},${atY(chosen)}` : "";
      figure.dataset.scale = scale.toFixed(3);
    }

    const count = (node) => node.children.reduce((sum, child) => sum + 1 + count(child), 0);

    // ── one candidate ───────────────────────────────────────────────────────────────────────────────────────────────

    const text = (name, content, parent) => { const made = document.createElement(name); made.textContent = content; parent?.append(made); return made; };
    const digits = (value) => (typeof value === "number" ? Number(value.toPrecision(4)).toLocaleString("en", { maximumSignificantDigits: 5 }) : "");

    function choose(node) {
      chosen = node;
      figure.dataset.chosen = node?.id ?? "";
      panel.replaceChildren();
      if (!node) return redraw();
      text("h4", `${node.id} · ${node.action || (node.parent ? "trained on" : "base")}`, panel);
      const picture = source.pictures[node.id];
      if (picture) {
        const image = document.createElement("img");
        image.src = picture;
        image.alt = `Samples of candidate ${node.id}`;
        panel.append(image);
      }
      const list = text("dl", "", panel);
      const facts = {
        state: node.state + (node.role === "search" ? "" : `, ${node.role}`), generation: node.generation, resolution: `${node.resolution}²`,
        score: typeof node.score === "number" ? `${digits(node.start)} → ${digits(node.score)}` : "", "÷ ProgGAN": digits(node.normalized),
        images: node.images?.toLocaleString("en"), seconds: digits(node.seconds),
        generator: `${node.layers[0] || "base"} (${node.generator.toLocaleString("en")} parameters)`,
        discriminator: `${node.layers[1] || "base"} (${node.discriminator.toLocaleString("en")} parameters)`, error: node.error,
      };
      for (const [name, value] of Object.entries(facts)) {
        if (value !== "" && value !== undefined && value !== null) { text("dt", name, list); text("dd", value, list); }
      }
      const curves = source.curves[node.id];
      if (curves) for (const [name, points] of Object.entries(curves)) curve(name, points);
      redraw();
    }

    function curve(name, points) {
      if (points.length < 2) return;
      const xs = points.map((point) => point[0]), ys = points.map((point) => point[1]);
      const [low, high] = [Math.min(...ys), Math.max(...ys)], last = xs.at(-1) || 1;
      const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
      svg.setAttribute("viewBox", "0 0 100 40");
      svg.setAttribute("preserveAspectRatio", "none");
      svg.setAttribute("role", "img");
      svg.setAttribute("aria-label", `${name}, from ${digits(ys[0])} to ${digits(ys.at(-1))}`);
      const line = document.createElementNS("http://www.w3.org/2000/svg", "polyline");
      line.setAttribute("points", points.map(([x, y]) => `${(100 * x) / last},${38 - (36 * (y - low)) / (high - low || 1)}`).join(" "));
      svg.append(line);
      text("div", `${name}: ${digits(ys[0])} → ${digits(ys.at(-1))}, ${digits(low)} to ${digits(high)}`, panel);
      panel.append(svg);
    }

    // ── controls ────────────────────────────────────────────────────────────────────────────────────────────────────

    function zoom(factor, x = canvas.clientWidth / 2, y = canvas.clientHeight / 2) {
      const before = scale;
      scale = Math.min(8, Math.max(0.01, scale * factor));
      originX = x - ((x - originX) * scale) / before;
      originY = y - ((y - originY) * scale) / before;
      redraw();
    }

    function reveal(node) {
      const x = atX(node), y = atY(node), width = canvas.clientWidth, height = canvas.clientHeight;
      if (x < 20 || x > width - 40) originX += width / 2 - x;
      if (y < 20 || y > height - 20) originY += height / 2 - y;
    }

    function fold(node) {
      if (!node?.children.length) return;
      folded.has(node.id) ? folded.delete(node.id) : folded.add(node.id);
      place();
      redraw();
    }

    function walk(key) {
      if (!chosen) return placed[0];
      const siblings = (byId.get(chosen.parent)?.open ?? roots.filter(shown));
      const at = siblings.indexOf(chosen);
      return { ArrowLeft: byId.get(chosen.parent), ArrowRight: chosen.open[0], ArrowUp: siblings[at - 1], ArrowDown: siblings[at + 1] }[key];
    }

    const near = (event) => {
      const box = canvas.getBoundingClientRect(), x = event.clientX - box.left, y = event.clientY - box.top;
      let found = null, best = 14 ** 2;
      for (const node of placed) {
        const distance = (atX(node) - x) ** 2 + (atY(node) - y) ** 2;
        if (distance < best) [found, best] = [node, distance];
      }
      return found;
    };

    let drag = null;
    canvas.addEventListener("pointerdown", (event) => {
      drag = { x: event.clientX, y: event.clientY, left: originX, top: originY, moved: false };
      canvas.setPointerCapture(event.pointerId);
    });
    canvas.addEventListener("pointermove", (event) => {
      if (!drag) { canvas.style.cursor = near(event) ? "pointer" : "grab"; return; }
      const dx = event.clientX - drag.x, dy = event.clientY - drag.y;
      drag.moved ||= Math.hypot(dx, dy) > 4;
      if (drag.moved) { originX = drag.left + dx; originY = drag.top + dy; redraw(); }
    });
    canvas.addEventListener("pointerup", (event) => {
      if (drag && !drag.moved) { const node = near(event); if (node) choose(node); }
      drag = null;
    });
    canvas.addEventListener("pointercancel", () => { drag = null; });
    canvas.addEventListener("dblclick", (event) => fold(near(event)));
    canvas.addEventListener("wheel", (event) => {
      if (!event.ctrlKey && !event.metaKey && document.activeElement !== canvas) return; // the page scrolls
      event.preventDefault();
      const box = canvas.getBoundingClientRect();
      zoom(Math.exp(-event.deltaY / 300), event.clientX - box.left, event.clientY - box.top);
    }, { passive: false });
    canvas.addEventListener("keydown", (event) => {
      if (event.key.startsWith("Arrow")) {
        const node = walk(event.key);
        if (node) { choose(node); reveal(node); }
      } else if (event.key === "+" || event.key === "=") zoom(1.5);
      else if (event.key === "-") zoom(1 / 1.5);
      else if (event.key === "0") fit();
      else if (event.key === "Enter") fold(chosen);
      else return;
      event.preventDefault();
    });
    show.addEventListener("input", () => { place(); fit(); });
    color.addEventListener("input", redraw);
    find.addEventListener("input", () => {
      const wanted = find.value.trim().toLowerCase();
      const node = wanted && nodes.find((one) => one.id.startsWith(wanted) || (one.action ?? "").toLowerCase().includes(wanted));
      if (!node) return;
      if (!placed.includes(node)) { // hidden or folded away
        show.value = "all";
        folded.clear();
        place();
      }
      choose(node);
      reveal(node);
    });
    figure.querySelectorAll("[data-zoom]").forEach((button) => button.addEventListener("click", () => zoom(Number(button.dataset.zoom))));
    figure.querySelector("[data-fit]").addEventListener("click", fit);
    figure.querySelector("[data-fold]").addEventListener("click", () => fold(chosen));
    figure.addEventListener("restyle", restyle);
    new ResizeObserver(fit).observe(canvas);

    place();
    restyle();
    const best = nodes.filter((node) => node.best);
    if (best.length) choose(best.at(-1));
  };
})();
