// The stage: shows a clip frame by frame, takes clicks and brush strokes, plays, and shows the live preview.
// The server sends one state object (see render.stage); the browser asks for small pictures by address and composes the
// views itself, so that scrubbing, playing, views and opacity need no round trip.
// Events to the server: 'edit' (a click or a stroke), 'seek' (the frame that is looked at), 'order' (objects, undo, clear).
const $ = (selector) => element.querySelector(selector);
const screen_ = $(".stm-screen"), canvas = $(".stm-canvas"), ink = $(".stm-ink"), dots = $(".stm-dots");
const live = $(".stm-live"), slider = $(".stm-slider");
const ui = { mode: "add", view: "overlay", opacity: 0.5, radius: 14, frame: 0, playing: null, stroke: null };
let state = {}, times = [], pictures = new Map(), drawn = 0, seekTimer = null, waiting = 0, shown = "";

// pictures ------------------------------------------------------------------------------------------------
function load(url) {
  if (!url) return Promise.resolve(null);
  if (pictures.has(url)) return pictures.get(url);
  if (pictures.size > 160) pictures.delete(pictures.keys().next().value);
  const picture = new Promise((done) => {
    const image = new Image();
    image.onload = () => done(image);
    image.onerror = () => { pictures.delete(url); done(null); };
    image.src = url;
  });
  pictures.set(url, picture);
  return picture;
}
const number = (index) => String(index).padStart(5, "0");
const file = (kind, index, extension) =>
  `${window.gradio_config?.root ?? ""}/gradio_api/file=${state.folder}/${kind}/${number(index)}.${extension}`;
const has = (ranges, index) => (ranges || []).some(([from, to]) => index >= from && index < to);

function photoOf(index) {
  if (has(state.sharp, index) && !ui.playing) return file("sharp", index, "png");
  if (has(state.proxies, index)) return file("proxy", index, "jpg");
  return null;
}
function maskOf(index) {
  if (state.marks && index === state.frame) return state.marks;
  if (has(state.masked, index)) return `${file("masks", index, "png")}?v=${state.revision}`;
  return null;
}
const lighter = (abgr) => (abgr | 0xff404040) >>> 0;   // so that dark colours stand out on dark pictures
const layers = new WeakMap();   // mask picture -> canvas with a transparent background and a sharp outline
function layer(image) {
  if (layers.has(image)) return layers.get(image);
  const out = new OffscreenCanvas(image.naturalWidth, image.naturalHeight);
  const context = out.getContext("2d", { willReadFrequently: true });
  context.drawImage(image, 0, 0);
  const pixels = context.getImageData(0, 0, out.width, out.height), color = new Uint32Array(pixels.data.buffer);
  const width = out.width, source = color.slice(), black = 0xff000000;
  for (let i = 0; i < color.length; i++) color[i] = source[i] === black ? 0 : source[i];
  context.putImageData(pixels, 0, 0);
  const edge = new OffscreenCanvas(width, out.height), edgeContext = edge.getContext("2d");
  const line = edgeContext.createImageData(width, out.height), outline = new Uint32Array(line.data.buffer);
  for (let i = 0; i < source.length; i++) {
    if (source[i] === black) continue;
    if (source[i - 1] !== source[i] || source[i + 1] !== source[i] || source[i - width] !== source[i] || source[i + width] !== source[i])
      outline[i] = lighter(source[i]);
  }
  edgeContext.putImageData(line, 0, 0);
  layers.set(image, { fill: out, edge });
  return layers.get(image);
}

// drawing -------------------------------------------------------------------------------------------------
async function draw() {
  if (!state.clip) return;
  const turn = ++drawn, index = ui.frame;
  const [photo, mask] = await Promise.all([load(photoOf(index)), load(maskOf(index))]);
  if (turn !== drawn || !photo) return;
  const { width, height } = state, wide = ui.view === "side";
  canvas.width = wide ? width * 2 : width;
  canvas.height = height;
  paint(canvas.getContext("2d"), photo, mask && layer(mask), width, height);
  shown = `${state.clip}:${index}:${state.revision}:${mask ? mask.src.length : 0}`;
  canvas.dataset.shown = index;
  canvas.dataset.masked = mask ? "1" : "";
  canvas.setAttribute("aria-label", `Frame ${index}` + (mask ? ", with its mask" : ""));
  showDots();
  document.dispatchEvent(new CustomEvent("stm-frame", { detail: index }));
}
function paint(context, photo, mask, width, height) {
  if (ui.view === "mask") {
    context.fillStyle = "#000";
    context.fillRect(0, 0, width, height);
    if (mask) context.drawImage(mask.fill, 0, 0, width, height);
    return;
  }
  if (ui.view === "cutout") {
    if (mask) context.drawImage(mask.fill, 0, 0, width, height);
    context.globalCompositeOperation = "source-in";
    context.drawImage(photo, 0, 0, width, height);
    context.globalCompositeOperation = "source-over";
    return;
  }
  let left = 0;
  if (ui.view === "side") { context.drawImage(photo, 0, 0, width, height); left = width; }
  context.drawImage(photo, left, 0, width, height);
  if (!mask) return;
  context.globalAlpha = ui.opacity;
  context.drawImage(mask.fill, left, 0, width, height);
  context.globalAlpha = 1;
  context.drawImage(mask.edge, left, 0, width, height);
}
function showDots() {
  if (!state.clip) return;
  dots.setAttribute("viewBox", `0 0 ${state.width} ${state.height}`);
  const list = ui.frame === state.frame && ui.view === "overlay" && !state.live ? state.dots || [] : [];
  const size = state.width / Math.max(screen_.clientWidth, 1);
  dots.innerHTML = list.map(([x, y, label, color]) => {
    const r = 7 * size, bar = r * 0.55;
    const cross = `M${x - bar} ${y}H${x + bar}` + (label ? `M${x} ${y - bar}V${y + bar}` : "");
    return `<circle cx="${x}" cy="${y}" r="${r}" fill="${label ? "#fff" : "#111"}" stroke="${color}" stroke-width="${2.5 * size}"/>` +
      `<path d="${cross}" stroke="${label ? "#111" : "#fff"}" stroke-width="${2 * size}"/>`;
  }).join("");
}

// where we are --------------------------------------------------------------------------------------------
function go(index, { tell = true } = {}) {
  if (!state.clip) return;
  ui.frame = Math.min(Math.max(index, state.start), state.stop - 1);
  slider.value = ui.frame;
  where();
  draw();
  clearTimeout(seekTimer);
  if (tell && !ui.playing && !state.live) seekTimer = setTimeout(() => trigger("seek", { frame: ui.frame }), 120);
}
function where() {
  const seconds = times[ui.frame - state.start] ?? ui.frame / (state.fps || 25);
  $(".stm-where").textContent = `${ui.frame} of ${state.stop - 1} · ${seconds.toFixed(2)} s`;
  const notes = [];
  if ((state.prompted || []).includes(ui.frame)) notes.push("marked");
  if ((state.pinned || []).includes(ui.frame)) notes.push("pinned in memory");
  if ((state.doubtful || []).includes(ui.frame)) notes.push("check this frame");
  const badge = $(".stm-badge");
  badge.hidden = !notes.length || !!state.live;
  badge.textContent = notes.join(" · ");
  slider.setAttribute("aria-valuetext", `frame ${ui.frame}, ${seconds.toFixed(2)} seconds ${notes.join(", ")}`);
}
function play(on = !ui.playing) {
  if (ui.playing) { cancelAnimationFrame(ui.playing.request); ui.playing = null; }
  const button = $("[data-do=play]");
  button.textContent = on ? "❚❚" : "►";
  button.setAttribute("aria-label", on ? "Pause" : "Play");
  if (!on || !state.clip) { if (state.clip) go(ui.frame); return; }
  if (ui.frame >= state.stop - 1) ui.frame = state.start;
  const at = (index) => times[index - state.start] ?? index / (state.fps || 25);
  const begun = performance.now(), from = at(ui.frame);
  ui.playing = {};
  const tick = (now) => {
    let index = ui.frame;
    while (index < state.stop - 1 && at(index + 1) - from <= (now - begun) / 1000) index++;
    if (index !== ui.frame) {
      go(index, { tell: false });
      for (let next = index + 1; next < index + 12; next++) { if (next < state.stop) { load(photoOf(next)); load(maskOf(next)); } }
    }
    if (index >= state.stop - 1) return play(false);
    ui.playing.request = requestAnimationFrame(tick);
  };
  ui.playing.request = requestAnimationFrame(tick);
}

// pointer -------------------------------------------------------------------------------------------------
function position(event) {
  const box = canvas.getBoundingClientRect();
  return [(event.clientX - box.left) / box.width * state.width, (event.clientY - box.top) / box.height * state.height];
}
const painting = () => ui.mode === "brush" || ui.mode === "erase";
function ready(event) {
  if (!state.clip || state.live || state.running || ui.view !== "overlay") return false;
  return event.button === 0 || event.button === 2;
}
canvas.addEventListener("pointerdown", (event) => {
  if (!ready(event)) return;
  play(false);
  const [x, y] = position(event);
  ui.stroke = { points: [[x, y]], from: [event.clientX, event.clientY], away: event.button === 2 || event.altKey };
  if (painting()) { canvas.setPointerCapture(event.pointerId); inkStroke(); event.preventDefault(); }
});
canvas.addEventListener("pointermove", (event) => {
  if (!ui.stroke || !painting()) return;
  for (const e of event.getCoalescedEvents?.() || [event]) {
    const [x, y] = position(e), last = ui.stroke.points.at(-1);
    if (Math.hypot(x - last[0], y - last[1]) >= 1 && ui.stroke.points.length < 2000) ui.stroke.points.push([x, y]);
  }
  inkStroke();
});
canvas.addEventListener("pointerup", (event) => {
  const stroke = ui.stroke;
  ui.stroke = null;
  if (!stroke) return;
  if (painting()) {
    const points = stroke.points.map(([x, y]) => [Math.round(x * 10) / 10, Math.round(y * 10) / 10]);
    return send("edit", { kind: "stroke", frame: ui.frame, erase: ui.mode === "erase" || stroke.away, radius: ui.radius * scale(), points });
  }
  if (Math.hypot(event.clientX - stroke.from[0], event.clientY - stroke.from[1]) > 8) return;   // a scroll, not a click
  const [x, y] = stroke.points[0], label = ui.mode === "remove" || stroke.away ? 0 : 1;
  if (ui.frame !== state.frame) { state.frame = ui.frame; state.dots = []; state.marks = null; }
  state.dots = [...(state.dots || []), [x, y, label, color()]];
  showDots();
  send("edit", { kind: "click", frame: ui.frame, x: Math.floor(x), y: Math.floor(y), label });
});
canvas.addEventListener("pointercancel", () => { ui.stroke = null; clearInk(); });
canvas.addEventListener("contextmenu", (event) => event.preventDefault());
const scale = () => state.width / Math.max(canvas.getBoundingClientRect().width, 1);   // clip pixels per screen pixel
const color = () => (state.objects || []).find((o) => o.id === state.selected)?.color || "#888";
function inkStroke() {
  const context = ink.getContext("2d"), points = ui.stroke.points;
  if (ink.width !== state.width || ink.height !== state.height) { ink.width = state.width; ink.height = state.height; }
  context.clearRect(0, 0, ink.width, ink.height);
  context.lineCap = context.lineJoin = "round";
  context.lineWidth = 2 * ui.radius * scale();
  context.strokeStyle = ui.mode === "erase" || ui.stroke.away ? "#ffffffb0" : color() + "c0";
  context.beginPath();
  context.moveTo(...points[0]);
  points.forEach(([x, y]) => context.lineTo(x, y + 0.01));
  context.stroke();
}
const clearInk = () => ink.getContext("2d").clearRect(0, 0, ink.width, ink.height);
function send(name, data) {
  waiting++;
  $(".stm-busy").hidden = false;
  trigger(name === "edit" ? "edit" : "order", data);
}

// tools ---------------------------------------------------------------------------------------------------
function tools() {
  element.querySelectorAll("[data-mode]").forEach((button) =>
    button.setAttribute("aria-checked", String(button.dataset.mode === ui.mode)));
  $(".stm-size").style.display = painting() ? "" : "none";
  canvas.style.touchAction = painting() ? "none" : "manipulation";
  screen_.dataset.pointer = ui.view === "overlay" ? ui.mode : "";
  screen_.dataset.view = ui.view;
}
const actions = {
  prev: () => { play(false); go(ui.frame - 1); },
  next: () => { play(false); go(ui.frame + 1); },
  play: () => play(),
  undo: () => send("order", { kind: "undo", frame: ui.frame }),
  clear: () => send("order", { kind: "clear", frame: ui.frame }),
  "add-object": () => send("order", { kind: "add", frame: ui.frame }),
  "delete-object": () => send("order", { kind: "delete", frame: ui.frame, object: state.selected }),
};
element.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (!button || button.disabled) return;
  if (button.dataset.mode) { ui.mode = button.dataset.mode; tools(); }
  else if (button.dataset.object) send("order", { kind: "select", frame: ui.frame, object: Number(button.dataset.object) });
  else actions[button.dataset.do]?.();
});
element.addEventListener("input", (event) => {
  const { target } = event;
  if (target === slider) { play(false); go(Number(slider.value)); }
  if (target.dataset.set === "opacity") ui.opacity = target.value / 100;
  if (target.dataset.set === "radius") ui.radius = Number(target.value);
  if (target.dataset.set === "view") { ui.view = target.value; tools(); }
  if (target.dataset.set && target.dataset.set !== "radius") draw();
});
$(".stm-name").addEventListener("change", (event) =>
  send("order", { kind: "rename", frame: ui.frame, object: state.selected, name: event.target.value }));
function keys(event) {
  if (!element.isConnected) return document.removeEventListener("keydown", keys);
  if (event.ctrlKey || event.metaKey || event.altKey || !state.clip || state.running) return;
  if (event.target.closest?.("input, textarea, select, [contenteditable=true], [role=listbox], video, audio")) return;
  const onButton = event.target.closest?.("button, a, summary");
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  const mode = { a: "add", r: "remove", b: "brush", e: "erase" }[key];
  if (key === "ArrowLeft") actions.prev();
  else if (key === "ArrowRight") actions.next();
  else if (key === " " && !onButton) actions.play();
  else if (key === "u") actions.undo();
  else if (mode) { ui.mode = mode; tools(); }
  else return;
  event.preventDefault();
}
document.addEventListener("keydown", keys);
document.addEventListener("stm-go", (event) => { play(false); go(event.detail); });
new ResizeObserver(showDots).observe(screen_);

// state from the server -----------------------------------------------------------------------------------
function update() {
  const before = state;
  state = props.value || {};
  if (state.times) times = state.times;
  const fresh = state.clip !== before.clip;
  if (fresh) { pictures.clear(); times = state.times || []; ui.view = "overlay"; $("[data-set=view]").value = "overlay"; play(false); }
  screen_.dataset.empty = state.clip ? "" : "1";
  $(".stm-welcome").textContent = state.welcome || "";
  $(".stm-hint").textContent = state.hint || "";
  element.classList.toggle("stm-off", !state.clip);
  element.querySelectorAll(".stm-bar button, .stm-bar input, .stm-bar select").forEach((control) => {
    control.disabled = !state.clip || (!!state.running && !control.matches("[data-set=view], [data-set=opacity]"));
  });
  if (!state.clip) { canvas.width = 16; canvas.height = 9; live.hidden = true; dots.innerHTML = ""; tools(); return; }
  screen_.style.setProperty("--ratio", `${state.width} / ${state.height}`);
  slider.min = state.start;
  slider.max = state.stop - 1;
  live.hidden = !state.live;
  if (state.live) { live.src = state.live; ui.frame = state.at ?? ui.frame; slider.value = ui.frame; }
  if (before.answer !== state.answer || fresh) { waiting = 0; $(".stm-busy").hidden = true; clearInk(); }
  if (before.jump !== state.jump || fresh) { ui.frame = state.frame; slider.value = ui.frame; }
  if (state.running && !before.running && innerWidth <= 640) screen_.scrollIntoView({ block: "start" });
  chips();
  tools();
  where();
  if (!state.live) draw(); else showDots();
}
function chips() {
  const names = (state.objects || []).map(({ id, name, color }) => {
    const button = document.createElement("button");
    button.type = "button";
    button.dataset.object = id;
    button.disabled = !!state.running;
    button.setAttribute("role", "radio");
    button.setAttribute("aria-checked", String(id === state.selected));
    const swatch = document.createElement("i");
    swatch.style.background = color;
    button.append(swatch, name);
    return button;
  });
  $(".stm-chips").replaceChildren(...names);
  const name = $(".stm-name");
  if (document.activeElement !== name) name.value = (state.objects || []).find((o) => o.id === state.selected)?.name || "";
}
watch("value", update);
update();
