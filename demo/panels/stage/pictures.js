// Pictures: how views are composed of what the browser loads.
const file = (kind, index, extension) => address(state.folder, kind, index, extension);

function photoOf(index) {
  if (covered(state.sharp, index) && !ui.playing) return file("sharp", index, "png");
  if (covered(state.proxies, index)) return file("proxy", index, "jpg");
  return null;
}
function maskOf(index) {
  if (state.marks && index === state.frame) return state.marks;
  if (covered(state.masked, index)) return `${file(state.run, index, "png")}?${state.run_state}`;
  return null;
}
async function draw() {
  if (!state.clip) return;
  const number = ++drawn, index = ui.frame;
  const [photo, mask] = await Promise.all([load(photoOf(index)), load(maskOf(index))]);
  if (number !== drawn || !photo) return;
  const { width, height } = state, wide = ui.view === "side";
  canvas.width = wide ? width * 2 : width;
  canvas.height = height;
  paint(canvas.getContext("2d"), photo, mask, width, height);
  canvas.dataset.shown = index;
  canvas.dataset.masked = mask ? "1" : "";
  canvas.setAttribute("aria-label", `Frame ${index + 1}${mask ? ", with its mask" : ""}. Shift and arrow keys move a cursor, Enter clicks there.`);
  showDots();
  showInk();
}
function paint(context, photo, mask, width, height) {
  if (ui.view === "mask") {
    context.fillStyle = "#000";
    context.fillRect(0, 0, width, height);
    if (mask) context.drawImage(layer(mask).fill, 0, 0, width, height);
    return;
  }
  if (ui.view === "cutout") {
    if (mask) context.drawImage(layer(mask).fill, 0, 0, width, height);
    context.globalCompositeOperation = "source-in";
    context.drawImage(photo, 0, 0, width, height);
    context.globalCompositeOperation = "source-over";
    return;
  }
  if (ui.view === "side") context.drawImage(photo, 0, 0, width, height);
  overlay(context, photo, mask, width, height, ui.opacity, ui.view === "side" ? width : 0);
}
function showDots() {
  if (!state.clip) return;
  dots.setAttribute("viewBox", `0 0 ${state.width} ${state.height}`);
  const list = ui.view === "overlay" && !state.live ? dotsHere() : [];
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
  return `<path d="${path}" stroke="#000" stroke-width="${4 * size}"/><path d="${path}" stroke="#fff" stroke-width="${2 * size}"/>`;
}
