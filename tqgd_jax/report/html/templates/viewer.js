"use strict";
(() => {
  const one = (id) => document.getElementById(id);
  const all = (selector) => [...document.querySelectorAll(selector)];
  const data = JSON.parse(one("data").textContent);
  const stage = one("stage"), canvas = one("canvas"), pen = canvas.getContext("2d");
  const [dy, dx] = data.spacing;
  const last = data.slices.length - 1;
  const KEPT_BYTES = 400e6; // of decoded slices
  const AHEAD = 6; // slices decoded before they are asked for, on both sides
  const GAP = 4; // px that outlines stand off a lesion

  // What is shown. Centre in px of the slice; zoom 1 shows the whole of it.
  const view = { z: 0, low: 0, high: 255, zoom: 1, x: 0, y: 0, lesion: 0, drawn: -1 };
  if (data.presets.length) [, view.low, view.high] = data.presets[0];

  // Slices: decoded when they are first needed. A code is a grey level of an 8-bit PNG.
  const decoded = new Map();
  const decode = (z) => {
    if (!decoded.has(z)) {
      decoded.set(z, (async () => {
        const image = new Image();
        image.src = `data:image/png;base64,${one(`png-${z}`).textContent}`;
        await image.decode();
        const { width, height } = image;
        const scratch = Object.assign(document.createElement("canvas"), { width, height }).getContext("2d", { willReadFrequently: true });
        scratch.drawImage(image, 0, 0);
        const rgba = scratch.getImageData(0, 0, width, height);
        if (!data.scan) return { width, height, rgba };
        const codes = new Uint8Array(width * height);
        for (let i = 0; i < codes.length; i++) codes[i] = rgba.data[4 * i];
        return { width, height, codes };
      })());
    }
    return decoded.get(z);
  };
  const forget = () => {
    const { width, height } = data.slices[view.z];
    const kept = Math.max(2 * AHEAD + 1, Math.floor(KEPT_BYTES / (width * height * (data.scan ? 1 : 4))));
    const far = [...decoded.keys()].sort((a, b) => Math.abs(b - view.z) - Math.abs(a - view.z));
    for (const z of far.slice(0, Math.max(0, far.length - kept))) decoded.delete(z);
  };

  // Hounsfield units of a code: from, and up to but not with.
  const range = (code) => [code ? data.edges[code - 1] : -Infinity, data.edges[code] ?? Infinity];
  const middle = (code) => {
    const [from, to] = range(code);
    if (from === -Infinity) return -1000; // air
    return to === Infinity ? from : (from + to - 1) / 2;
  };
  const greys = () => {
    const table = new Uint32Array(256);
    for (let code = 0; code < 256; code++) {
      const share = (middle(code) - view.low) / Math.max(1, view.high - view.low);
      const grey = Math.round(255 * Math.min(1, Math.max(0, share)));
      table[code] = (255 << 24) | (grey << 16) | (grey << 8) | grey;
    }
    return table;
  };

  // Where a pixel of the slice lies on the canvas, in its px.
  const fit = () => {
    const { width, height } = data.slices[view.z];
    const scale = view.zoom * Math.min(canvas.width / (width * dx), canvas.height / (height * dy));
    const sx = scale * dx, sy = scale * dy;
    return { sx, sy, left: canvas.width / 2 - view.x * sx, top: canvas.height / 2 - view.y * sy };
  };
  const centre = () => {
    const { width, height } = data.slices[view.z];
    const half = 0.5 / view.zoom;
    view.x = Math.min(width * (1 - half), Math.max(width * half, view.x));
    view.y = Math.min(height * (1 - half), Math.max(height * half, view.y));
  };

  let waiting = false;
  const draw = () => {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(async () => {
      waiting = false;
      const z = view.z;
      const slice = await decode(z);
      if (z !== view.z) return; // scrolled on meanwhile
      paint(slice);
      view.drawn = z;
      stage.dataset.drawn = z;
      for (let k = 1; k <= AHEAD; k++) {
        if (z + k <= last) decode(z + k);
        if (z - k >= 0) decode(z - k);
      }
      forget();
    });
  };

  const layer = document.createElement("canvas"), over = document.createElement("canvas");
  const paint = (slice) => {
    const ratio = window.devicePixelRatio || 1;
    canvas.width = Math.round(stage.clientWidth * ratio);
    canvas.height = Math.round(stage.clientHeight * ratio);
    layer.width = slice.width;
    layer.height = slice.height;
    let shown = slice.rgba;
    if (data.scan) {
      shown = new ImageData(slice.width, slice.height);
      const pixels = new Uint32Array(shown.data.buffer), table = greys();
      for (let i = 0; i < pixels.length; i++) pixels[i] = table[slice.codes[i]];
    }
    layer.getContext("2d").putImageData(shown, 0, 0);
    const { width, height } = data.slices[view.z];
    const { sx, sy, left, top } = fit();
    pen.imageSmoothingEnabled = sx < 6 * ratio; // far in, pixels are shown as they are
    pen.drawImage(layer, left, top, slice.width * data.binned * sx, slice.height * data.binned * sy);
    if (one("lesions")?.checked) lesions(width, height, left, top, sx, sy);
    if (one("boxes").checked) boxes(left, top, sx, sy, ratio);
    if (data.scan) marks(ratio, sx);
    stamp(ratio);
  };
  const lesions = (width, height, left, top, sx, sy) => {
    const runs = data.runs[view.z];
    if (!runs) return;
    over.width = width;
    over.height = height;
    const brush = over.getContext("2d");
    for (const [lesion, y, from, to] of runs) {
      const [r, g, b] = data.colours[lesion - 1];
      brush.fillStyle = `rgb(${r} ${g} ${b} / 55%)`;
      brush.fillRect(from, y, to - from, 1);
    }
    pen.imageSmoothingEnabled = false;
    pen.drawImage(over, left, top, width * sx, height * sy);
  };
  const text = (words, x, y, ratio, align = "left", colour = "#fff") => {
    pen.font = `600 ${13 * ratio}px system-ui, sans-serif`;
    pen.textAlign = align;
    pen.lineWidth = 3 * ratio;
    pen.strokeStyle = "#000";
    pen.strokeText(words, x, y);
    pen.fillStyle = colour;
    pen.fillText(words, x, y);
  };
  const boxes = (left, top, sx, sy, ratio) => {
    const gap = GAP * ratio, { seen: [l, t, r, b], width, height } = data.slices[view.z];
    if (r - l < width || b - t < height) { // what the detector looked at
      pen.lineWidth = ratio;
      pen.strokeStyle = "#b9bec4";
      pen.setLineDash([4 * ratio, 4 * ratio]);
      pen.strokeRect(left + l * sx, top + t * sy, (r - l) * sx, (b - t) * sy);
      pen.setLineDash([]);
    }
    for (const [z, x0, y0, x1, y1, score, lesion] of data.boxes) {
      if (z !== view.z) continue;
      const [r, g, b] = data.colours[lesion - 1];
      const colour = `rgb(${r} ${g} ${b})`;
      const x = left + x0 * sx - gap, y = top + y0 * sy - gap;
      const wide = (x1 - x0) * sx + 2 * gap, high = (y1 - y0) * sy + 2 * gap;
      pen.lineWidth = (lesion === view.lesion ? 3 : 1.5) * ratio;
      pen.strokeStyle = colour;
      pen.strokeRect(x, y, wide, high);
      text(`${lesion}: ${score.toFixed(2)}`, x + wide + gap, y + 4 * ratio, ratio);
    }
  };
  // The patient's right is on the left, the front on top, as radiologists look at slices.
  const marks = (ratio, sx) => {
    pen.textBaseline = "middle";
    const { width, height } = canvas;
    text("R", 10 * ratio, height / 2, ratio);
    text("L", width - 10 * ratio, height / 2, ratio, "right");
    text("A", width / 2, 14 * ratio, ratio, "center");
    text("P", width / 2, height - 30 * ratio, ratio, "center");
    const px = sx / dx; // of a mm
    const mm = [100, 50, 20, 10, 5, 2].find((size) => size * px < width / 3) ?? 1;
    const y = height - 14 * ratio, x = 10 * ratio;
    pen.fillStyle = "#fff";
    pen.fillRect(x, y, mm * px, 2 * ratio);
    text(`${mm} mm`, x, y - 10 * ratio, ratio);
  };
  const stamp = (ratio) => {
    pen.textBaseline = "alphabetic";
    text("Not a medical device", canvas.width - 10 * ratio, canvas.height - 10 * ratio, ratio, "right", "#ffb4ac");
    if (data.scan) text(`HU ${view.low} to ${view.high}`, canvas.width - 10 * ratio, 20 * ratio, ratio, "right");
    text(name(view.z), 10 * ratio, 20 * ratio, ratio);
  };

  // Text, controls.
  const name = (z) => {
    const { name: words, mm } = data.slices[z];
    return data.scan ? `slice ${z} of 0 to ${last}, z ${mm.toFixed(1)} mm` : words;
  };
  const numbers = new Map();
  data.boxes.forEach(([z]) => numbers.set(z, (numbers.get(z) ?? 0) + 1));
  const findings = [...numbers.keys()].sort((a, b) => a - b);
  const tell = (more = "") => {
    const count = numbers.get(view.z) ?? 0;
    const words = count === 1 ? "1 box" : `${count || "no"} boxes`;
    one("where").textContent = `${name(view.z)}: ${words}${more}`;
  };
  const show = () => {
    centre();
    one("slice").value = view.z;
    one("slice").setAttribute("aria-valuetext", name(view.z));
    stage.classList.toggle("zoomed", view.zoom > 1);
    stage.dataset.zoom = view.zoom;
    if (data.scan) {
      one("low").value = view.low;
      one("high").value = view.high;
    }
    all("[data-preset]").forEach((button) => {
      const [, low, high] = data.presets[button.dataset.preset];
      button.setAttribute("aria-pressed", low === view.low && high === view.high);
    });
    all("#lesion-table tbody tr").forEach((row) => {
      if (Number(row.dataset.lesion) === view.lesion) row.setAttribute("aria-current", "true");
      else row.removeAttribute("aria-current");
    });
    tell();
    draw();
  };
  const go = (z) => { view.z = Math.min(last, Math.max(0, z)); show(); };
  const zoom = (factor) => { view.zoom = Math.min(16, Math.max(1, view.zoom * factor)); show(); };
  const whole = () => { view.zoom = 1; show(); };
  const preset = (k) => { if (data.presets[k]) { [, view.low, view.high] = data.presets[k]; show(); } };
  const finding = (step) => {
    const next = step > 0 ? findings.find((z) => z > view.z) : findings.findLast((z) => z < view.z);
    if (next !== undefined) go(next);
  };
  const jump = (lesion) => {
    const [z, x0, y0, x1, y1] = data.lesions[lesion - 1];
    view.lesion = lesion;
    view.zoom = Math.max(view.zoom, 3);
    view.x = (x0 + x1) / 2;
    view.y = (y0 + y1) / 2;
    go(z);
  };
  const toggle = (id) => { const box = one(id); if (box) { box.checked = !box.checked; draw(); } };

  const actions = {
    previous: () => finding(-1), next: () => finding(1), in: () => zoom(1.5), out: () => zoom(1 / 1.5), whole,
  };
  all("[data-do]").forEach((button) => button.addEventListener("click", actions[button.dataset.do]));
  all("[data-preset]").forEach((button) => button.addEventListener("click", () => preset(button.dataset.preset)));
  all("#lesion-table tbody tr").forEach((row) => {
    const lesion = Number(row.dataset.lesion);
    row.querySelector("i").style.background = `rgb(${data.colours[lesion - 1].join(" ")})`;
    row.addEventListener("click", () => jump(lesion));
  });
  ["boxes", "lesions"].forEach((id) => one(id)?.addEventListener("change", draw));
  ["low", "high"].forEach((id) => one(id)?.addEventListener("change", () => {
    const value = one(id).valueAsNumber;
    if (Number.isFinite(value)) view[id] = value;
    show();
  }));
  one("slice").addEventListener("input", () => go(one("slice").valueAsNumber));
  for (const z of findings) {
    const tick = document.createElement("i");
    tick.style.left = `${last ? (100 * z) / last : 0}%`;
    one("ticks").append(tick);
  }

  // Wheel: a notch of a mouse is a slice; the small steps of a touchpad add up to one.
  let turned = 0;
  stage.addEventListener("wheel", (event) => {
    event.preventDefault();
    if (event.ctrlKey || event.metaKey) {
      zoom(event.deltaY < 0 ? 1.25 : 0.8);
      return;
    }
    turned += event.deltaMode ? 100 * event.deltaY : event.deltaY;
    const steps = Math.trunc(turned / 60) || (Math.abs(event.deltaY) >= 60 ? Math.sign(event.deltaY) : 0);
    if (!steps) return;
    turned = 0;
    go(view.z - Math.sign(steps) * Math.min(3, Math.abs(steps)));
  }, { passive: false });

  const keys = {
    ArrowUp: () => go(view.z + 1), ArrowDown: () => go(view.z - 1),
    ArrowRight: () => go(view.z + 1), ArrowLeft: () => go(view.z - 1),
    PageUp: () => go(view.z + 10), PageDown: () => go(view.z - 10), Home: () => go(0), End: () => go(last),
    n: () => finding(1), p: () => finding(-1), b: () => toggle("boxes"), l: () => toggle("lesions"),
    "+": () => zoom(1.5), "-": () => zoom(1 / 1.5), 0: whole,
    1: () => preset(0), 2: () => preset(1), 3: () => preset(2), 4: () => preset(3),
  };
  document.addEventListener("keydown", (event) => {
    const typing = event.target.matches?.("input[type=number]");
    const moved = event.key.length > 1 && event.target.matches?.("input, .scroll"); // has a use there
    const action = keys[event.key];
    if (!action || typing || moved || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    action();
  });

  // Dragging: through the slices, or, zoomed in, the image.
  let drag = null;
  const PX_A_SLICE = 6;
  stage.addEventListener("pointerdown", (event) => {
    stage.setPointerCapture(event.pointerId);
    drag = { x: event.clientX, y: event.clientY, z: view.z, at: [view.x, view.y] };
  });
  stage.addEventListener("pointermove", (event) => {
    if (!drag) { point(event); return; }
    const ratio = window.devicePixelRatio || 1, { sx, sy } = fit();
    if (view.zoom > 1) {
      view.x = drag.at[0] - ((event.clientX - drag.x) * ratio) / sx;
      view.y = drag.at[1] - ((event.clientY - drag.y) * ratio) / sy;
      show();
    } else {
      go(drag.z - Math.round((event.clientY - drag.y) / PX_A_SLICE));
    }
  });
  for (const end of ["pointerup", "pointercancel"]) stage.addEventListener(end, () => { drag = null; });
  stage.addEventListener("dblclick", whole);

  // The value under the mouse.
  const point = async (event) => {
    const slice = await decode(view.z);
    const place = canvas.getBoundingClientRect(), ratio = window.devicePixelRatio || 1;
    const { sx, sy, left, top } = fit(), { width, height } = data.slices[view.z];
    const x = Math.floor(((event.clientX - place.left) * ratio - left) / sx);
    const y = Math.floor(((event.clientY - place.top) * ratio - top) / sy);
    if (x < 0 || y < 0 || x >= width || y >= height) { tell(); return; }
    let value = "";
    if (data.scan) {
      const at = Math.floor(y / data.binned) * slice.width + Math.floor(x / data.binned);
      const [from, to] = range(slice.codes[at]);
      if (from === -Infinity) value = `, below ${to} HU`;
      else value = to === Infinity ? `, ${from} HU and more` : `, ${from} to ${to - 1} HU`;
    }
    tell(`; x ${x}, y ${y}${value}`);
  };
  stage.addEventListener("pointerleave", () => tell());
  new ResizeObserver(draw).observe(stage);

  // At first: the slice of the most confident finding, else the middle one.
  const best = data.boxes.reduce((a, b) => (a && a[5] >= b[5] ? a : b), null);
  view.z = best ? best[0] : Math.floor(last / 2);
  view.x = data.slices[view.z].width / 2;
  view.y = data.slices[view.z].height / 2;
  show();
})();
