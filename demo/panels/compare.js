// Compare: the masks of several runs under one scrubber, and where they differ.
// The server sends one state (see compared_state in work/side_by_side.py); the browser fetches all pictures by address.
const slider = $(".stm-inside-slider"), tiles = $(".stm-compare-tiles");
let state = {}, frame = 0, drawn = 0, made = "";

const spans = () => (state.runs || []).flatMap((run) => run.masked);
const first = () => Math.min(...spans().map(([from]) => from)), last = () => Math.max(...spans().map(([, to]) => to)) - 1;
function build() {
  const names = [...state.runs.map((run) => [run.name, run.color]), ["where they differ", ""]];
  if (made === JSON.stringify(names)) return;
  made = JSON.stringify(names);
  tiles.replaceChildren(...names.map(([name, color]) => {
    const figure = document.createElement("figure"), canvas = document.createElement("canvas"), caption = document.createElement("figcaption");
    canvas.setAttribute("role", "img");
    const swatch = document.createElement("i");
    swatch.className = "stm-swatch";
    swatch.style.background = color || "transparent";
    caption.append(swatch, name);
    figure.append(canvas, caption);
    return figure;
  }));
}
function pixels(image, width, height) {
  const canvas = new OffscreenCanvas(width, height), context = canvas.getContext("2d", { willReadFrequently: true });
  context.imageSmoothingEnabled = false;
  if (image) context.drawImage(image, 0, 0, width, height);
  return context.getImageData(0, 0, width, height);
}
// As stm_core.masks.difference: light where all have the object, else the mean colour of those that have one.
function difference(context, photo, masks, width, height) {
  const out = pixels(photo, width, height), sources = masks.map((mask) => new Uint32Array(pixels(mask, width, height).data.buffer));
  const colors = state.runs.map((run) => [1, 3, 5].map((at) => parseInt(run.color.slice(at, at + 2), 16)));
  let apart = 0;
  for (let i = 0; i < width * height; i++) {
    const here = sources.map((source) => source[i] & 0xffffff), have = here.map((value, n) => (value ? n : -1)).filter((n) => n >= 0);
    const grey = (out.data[4 * i] + out.data[4 * i + 1] + out.data[4 * i + 2]) / 3, same = here.every((value) => value === here[0]);
    if (!same) apart++;
    for (let c = 0; c < 3; c++) {
      const own = have.reduce((sum, n) => sum + colors[n][c], 0) / Math.max(have.length, 1);
      out.data[4 * i + c] = same ? (have.length ? 0.5 * grey + 110 : 0.4 * grey) : own;
    }
  }
  context.putImageData(out, 0, 0);
  return apart / (width * height);
}
async function draw() {
  const turn = ++drawn, index = frame, width = Math.min(state.width, 480), height = Math.max(1, Math.round(width * state.height / state.width));
  const photo = covered(state.proxies, index) ? load(address(state.clip, "proxy", index, "jpg")) : null;
  const asked = state.runs.map((run) => (covered(run.masked, index) ? load(address(state.clip, run.folder, index, "png")) : null));
  const [picture, ...masks] = await Promise.all([photo, ...asked]);
  if (turn !== drawn || !picture) return;
  const canvases = [...tiles.querySelectorAll("canvas")];
  canvases.forEach((canvas, n) => {
    canvas.width = width;
    canvas.height = height;
    const context = canvas.getContext("2d"), run = state.runs[n];
    if (!run) {
      const share = masks.every(Boolean) ? difference(context, picture, masks, width, height) : null;
      canvas.setAttribute("aria-label", share === null ? "Not every run has this frame" : `Frame ${index + state.first}: the runs differ on ${(100 * share).toFixed(1)} % of the pixels`);
      return;
    }
    overlay(context, picture, masks[n], width, height);
    canvas.setAttribute("aria-label", `Frame ${index + state.first} by ${run.name}${masks[n] ? ", with its mask" : ", which has no mask here"}`);
  });
  tiles.dataset.shown = index;
}
function go(index) {
  frame = Math.min(Math.max(index, first()), last());
  slider.min = first();
  slider.max = last();
  slider.value = frame;
  $(".stm-inside-where").textContent = `${frame + state.first} of ${last() + state.first}`;
  slider.setAttribute("aria-valuetext", `frame ${frame + state.first}`);
  draw();
}
slider.addEventListener("input", () => go(Number(slider.value)));
element.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (button?.dataset.go) go(Number(button.dataset.go));
  if (button?.dataset.compare) go(frame + (button.dataset.compare === "next" ? 1 : -1));
});
function put(place, html) { const part = $(place); if (part.dataset.html !== html) { part.innerHTML = html; part.dataset.html = html; } }
function update() {
  state = props.value || {};
  loaded.clear();
  layers.clear();
  put(".stm-compare-progress", state.progress || "");
  put(".stm-compare-table-place", state.table || "");
  put(".stm-compare-chart-place", state.chart || "");
  const able = !!state.clip && (state.runs || []).length > 0;
  $(".stm-compare-all").hidden = !able;
  if (!able) return;
  build();
  go(frame || Math.round((first() + last()) / 2));
}
watch("value", update);
update();
