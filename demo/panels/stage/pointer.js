// The pointer: clicks and brush strokes on the picture.
function position(event) {
  const { zoom, left, top } = pictureBox();
  return [(event.clientX - left) / zoom, (event.clientY - top) / zoom];
}
const painting = () => ui.mode === "brush" || ui.mode === "erase";
function ready(event) {
  if (!state.clip || state.live || state.running) return false;
  return event.button === 0 || event.button === 2;
}
canvas.addEventListener("pointerdown", (event) => {
  canvas.focus({ preventScroll: true });   // keys work after a slider was used
  if (!ready(event)) return;
  play(false);
  if (ui.view !== "overlay") {
    look("overlay");
    $(".stm-hint").textContent = "Marks are made in the overlay view: here it is, click again.";
    return event.preventDefault();
  }
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
  const [x, y] = stroke.points[0].map(Math.floor), label = ui.mode === "remove" || stroke.away ? 0 : 1;
  if (ui.frame !== state.frame) { state.frame = ui.frame; state.dots = []; state.marks = null; }
  state.dots = [...(state.dots || []), [x, y, label, color()]];
  showDots();
  send("edit", { kind: "click", frame: ui.frame, x, y, label });
});
canvas.addEventListener("pointercancel", () => { ui.stroke = null; clearInk(); });
canvas.addEventListener("contextmenu", (event) => event.preventDefault());
const scale = () => 1 / pictureBox().zoom;   // clip pixels per screen pixel
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
  $(".stm-busy").hidden = false;
  trigger(name === "edit" ? "edit" : "order", data);
}
