// Pictures: what the browser loads, and how views are composed of it.
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
  if (has(state.masked, index)) return `${file(state.run, index, "png")}?${state.run_state}`;
  return null;
}
// Masks come in the colours of their files; on the stage objects have the colours that the server chose for them.
const rgb = (css) => [1, 3, 5].map((at) => parseInt(css.slice(at, at + 2), 16));
const abgr = ([red, green, blue]) => (0xff000000 | (blue << 16) | (green << 8) | red) >>> 0;
const light = (color) => color.map((value) => Math.round(255 - 0.35 * (255 - value)));   // as in palette.py
const layers = new Map();   // the last few: mask picture -> canvas with a transparent background, and a sharp outline
function layer(image) {
  if (layers.has(image)) return layers.get(image);
  if (layers.size >= 6) layers.delete(layers.keys().next().value);   // two canvases of the clip's size each
  const out = new OffscreenCanvas(image.naturalWidth, image.naturalHeight);
  const context = out.getContext("2d", { willReadFrequently: true });
  context.drawImage(image, 0, 0);
  const pixels = context.getImageData(0, 0, out.width, out.height), color = new Uint32Array(pixels.data.buffer);
  const width = out.width, source = color.slice(), black = 0xff000000;
  const shown = new Map((state.objects || []).map((one) => [abgr(rgb(one.palette)), rgb(one.color)]));
  const fills = new Map([...shown].map(([key, value]) => [key, abgr(value)]));
  const edges = new Map([...shown].map(([key, value]) => [key, abgr(light(value))]));
  for (let i = 0; i < color.length; i++) color[i] = source[i] === black ? 0 : fills.get(source[i]) ?? source[i];
  context.putImageData(pixels, 0, 0);
  const edge = new OffscreenCanvas(width, out.height), edgeContext = edge.getContext("2d");
  const line = edgeContext.createImageData(width, out.height), outline = new Uint32Array(line.data.buffer);
  for (let i = 0; i < source.length; i++) {
    if (source[i] === black) continue;
    if (source[i - 1] !== source[i] || source[i + 1] !== source[i] || source[i - width] !== source[i] || source[i + width] !== source[i])
      outline[i] = edges.get(source[i]) ?? source[i];
  }
  edgeContext.putImageData(line, 0, 0);
  layers.set(image, { fill: out, edge });
  return layers.get(image);
}

async function draw() {
  if (!state.clip) return;
  const turn = ++drawn, index = ui.frame;
  const [photo, mask] = await Promise.all([load(photoOf(index)), load(maskOf(index))]);
  if (turn !== drawn || !photo) return;
  const { width, height } = state, wide = ui.view === "side";
  canvas.width = wide ? width * 2 : width;
  canvas.height = height;
  paint(canvas.getContext("2d"), photo, mask && layer(mask), width, height);
  canvas.dataset.shown = index;
  canvas.dataset.masked = mask ? "1" : "";
  canvas.setAttribute("aria-label", `Frame ${index + 1}${mask ? ", with its mask" : ""}. Shift and arrow keys move a cursor, Enter marks there.`);
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
  const size = 1 / pictureBox().zoom;
  dots.innerHTML = list.map(([column, row, label, color]) => {
    const x = column + 0.5, y = row + 0.5;   // the middle of the pixel
    const r = 7 * size, bar = r * 0.55;
    const cross = `M${x - bar} ${y}H${x + bar}` + (label ? `M${x} ${y - bar}V${y + bar}` : "");
    return `<circle cx="${x}" cy="${y}" r="${r}" fill="${label ? "#fff" : "#111"}" stroke="${color}" stroke-width="${2.5 * size}"/>` +
      `<path d="${cross}" stroke="${label ? "#111" : "#fff"}" stroke-width="${2 * size}"/>`;
  }).join("") + cursorShape(size);
}
// Where a mark by keys would go.
function cursorShape(size) {
  if (!ui.cursor || document.activeElement !== canvas || ui.view !== "overlay") return "";
  const [x, y] = ui.cursor.map((value) => value + 0.5), r = 14 * size;
  const path = `M${x - r} ${y}H${x + r}M${x} ${y - r}V${y + r}`;
  return `<path d="${path}" stroke="#000" stroke-width="${4 * size}"/><path class="stm-cursor" d="${path}" stroke="#fff" stroke-width="${2 * size}"/>`;
}
