// Look inside: a picture of its own, a pixel of it, and the frames that this pixel looked at.
// The server sends one state (see inside_state and look_state in look.py); 'peek' asks it, without a pixel for the state alone.
const fold = $("details"), screen_ = $(".stm-look-screen"), canvas = $("canvas"), slider = $(".stm-inside-slider");
const STEP = 8;   // pixels of an arrow key: half of what the network tells apart
let state = {}, frame = 0, at = null, playing = false, drawn = 0, asked = 0, hovered = 0;

const first = () => (state.masked || [])[0]?.[0] ?? 0, last = () => ((state.masked || []).at(-1)?.[1] ?? 1) - 1;
async function draw() {
  const turn = ++drawn, { width, height } = state;
  if (!state.clip) return;
  const photo = covered(state.proxies, frame) ? load(address(state.clip, "proxy", frame, "jpg")) : null;
  const mask = covered(state.masked, frame) ? load(address(state.clip, state.run, frame, "png")) : null;
  const found = await Promise.all([photo, mask]);
  if (turn !== drawn || !found[0]) return;
  canvas.width = width;
  canvas.height = height;
  overlay(canvas.getContext("2d"), ...found, width, height);
  canvas.dataset.shown = frame;
  lines();
}
function where() {
  slider.min = first();
  slider.max = last();
  slider.value = frame;
  $(".stm-inside-where").textContent = `${frame + state.first} of ${last() + state.first}`;
  slider.setAttribute("aria-valuetext", `frame ${frame + state.first}`);
  canvas.setAttribute("aria-label", `Frame ${frame + state.first}` + (at ? `, pixel ${at[0]},${at[1]}` : ""));
}
function ask() {
  if (!at) return;
  $(".stm-inside-busy").hidden = false;
  trigger("peek", { number: ++asked, frame, x: at[0], y: at[1] });
}
function go(index) {
  frame = Math.min(Math.max(index, first()), last());
  where();
  draw();
  ask();
}
function pick(x, y) {
  at = [Math.min(Math.max(Math.round(x), 0), state.width - 1), Math.min(Math.max(Math.round(y), 0), state.height - 1)];
  where();
  lines();
  ask();
}
function play(on) {
  playing = on;
  const button = $("[data-look=play]");
  button.classList.toggle("stm-playing", on);
  button.setAttribute("aria-label", on ? "Pause" : "Play");
  if (!on) return;
  at = at || [state.width >> 1, state.height >> 1];
  go(frame >= last() ? first() : frame);
}
function position(event) {
  const box = canvas.getBoundingClientRect();
  return [(event.clientX - box.left) / box.width * state.width - 0.5, (event.clientY - box.top) / box.height * state.height - 0.5];
}
canvas.addEventListener("click", (event) => { play(false); canvas.focus({ preventScroll: true }); pick(...position(event)); });
canvas.addEventListener("pointermove", (event) => {
  if (!$("[data-look=follow]").checked || playing || performance.now() - hovered < 120) return;
  hovered = performance.now();
  pick(...position(event));
});
canvas.addEventListener("keydown", (event) => {
  const step = event.shiftKey ? 1 : STEP, [x, y] = at || [state.width >> 1, state.height >> 1];
  const to = { ArrowLeft: [x - step, y], ArrowRight: [x + step, y], ArrowUp: [x, y - step], ArrowDown: [x, y + step] }[event.key];
  const by = { ",": -1, ".": 1, PageUp: -1, PageDown: 1 }[event.key];
  if (to) pick(...to); else if (by) go(frame + by); else return;
  event.preventDefault();
  event.stopPropagation();
});
slider.addEventListener("input", () => { play(false); go(Number(slider.value)); });
element.addEventListener("click", (event) => {
  const what = event.target.closest("button")?.dataset.look;
  if (what === "play") play(!playing);
  if (what === "prev" || what === "next") { play(false); go(frame + (what === "next" ? 1 : -1)); }
});
fold.addEventListener("toggle", () => {
  if (!fold.open) return play(false);
  draw();
  if (at) ask(); else trigger("peek", {});
});
new ResizeObserver(() => lines()).observe($(".stm-look-all"));

// what came back
const make = (tag, name, text = "") => Object.assign(document.createElement(tag), { className: name, textContent: text });
function tile({ t, share, words, seen, src }) {
  const item = make("li", seen ? "" : "stm-look-unseen"), image = make("img", ""), bar = make("i", "");
  item.dataset.frame = t;
  Object.assign(image, { src, alt: `Where the pixel looked: ${words}`, onload: lines });
  bar.style.width = `${Math.max(100 * share, 0.5)}%`;
  item.append(image, bar, make("span", "", words));
  return item;
}
function show(look) {
  $(".stm-look-words").textContent = look ? look.note || look.words : "Click a pixel.";
  $(".stm-look-strip").replaceChildren(...(look?.tiles || []).map(tile));
  $(".stm-look-notes").replaceChildren(...(look?.notes || []).map((note) => make("li", "", note)));
  $(".stm-look-lines").style.setProperty("--own", (state.objects || []).find(({ id }) => id === look?.object)?.color || "transparent");
  lines();
}
function lines() {
  const svg = $(".stm-look-lines"), look = state.look, zero = $(".stm-look-all").getBoundingClientRect();
  const on = (part, x, y) => {
    const box = part.getBoundingClientRect();
    return [box.left - zero.left + (x + 0.5) / state.width * box.width, box.top - zero.top + (y + 0.5) / state.height * box.height];
  };
  if (!at || !canvas.clientWidth) { svg.innerHTML = ""; return; }
  const [x, y] = on(canvas, ...at), parts = [];
  const current = look && look.frame === frame && look.at.join() === at.join();
  for (const match of current ? look.matches || [] : []) {
    const image = $(`[data-frame="${match.t}"] img`);
    if (!image) continue;
    const [u, v] = on(image, match.x, match.y);
    parts.push(`<path d="M${x} ${y}L${u} ${v}" stroke-opacity="${0.35 + 0.65 * match.weight}"/><circle cx="${u}" cy="${v}" r="4"/>`);
  }
  svg.innerHTML = parts.join("") + `<circle class="stm-look-pixel" cx="${x}" cy="${y}" r="6"/>`;
}
function update() {
  const before = state;
  state = { ...props.value };
  if (!state.look) { loaded.clear(); layers.clear(); }   // masks of another run, or objects of other colours
  // what can be looked at was told anew, and may have been overtaken by an answer
  if (!state.look && state.clip === before.clip && state.run === before.run) state.look = before.look;
  const able = !!state.clip && (state.masked || []).length > 0, look = state.look;
  $(".stm-look-none").hidden = able;
  $(".stm-look-all").hidden = !able;
  if (!able) { at = null; play(false); return; }
  if (state.clip !== before.clip) { at = null; frame = state.frame; }
  $(".stm-look-all").style.setProperty("--ratio", `${state.width} / ${state.height}`);
  if (!look) { frame = Math.min(Math.max(frame || state.frame, first()), last()); where(); if (fold.open) draw(); }
  if (!look || look.number === asked) $(".stm-inside-busy").hidden = true;
  show(look);
  if (!playing || look === before.look || look?.number !== asked) return;
  if (frame >= last()) play(false); else setTimeout(() => { if (playing) go(frame + 1); }, 60);
}
document.addEventListener("stm-frame", (event) => {   // the stage's frame, until a pixel of another one was asked for
  if ((fold.open && at) || !(state.masked || []).length) return;
  frame = Math.min(Math.max(event.detail, first()), last());
  where();
  if (fold.open) draw();
});
watch("value", update);
update();
