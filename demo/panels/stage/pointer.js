// The pointer: clicks and brush strokes on the picture.
function position(event) {
  const { zoom, left, top } = pictureBox();
  return [(event.clientX - left) / zoom, (event.clientY - top) / zoom];
}
const boxing = () => ui.mode === "box";
const painting = () => ui.mode === "brush" || ui.mode === "erase";
function ready(event) {
  if (!state.clip || state.live || state.running) return false;
  return event.button === 0 || event.button === 2;
}
canvas.addEventListener("pointerdown", (event) => {
  if (holding(event)) return;
  canvas.focus({ preventScroll: true });   // keys work after a slider was used
  if (!ready(event)) return;
  play(false);
  if (ui.view !== "overlay") {
    look("overlay");
    $(".stm-hint").textContent = "You can mark only in the overlay view. It is on now: click again.";
    return event.preventDefault();
  }
  const [x, y] = position(event);
  ui.stroke = { clip: state.clip, frame: ui.frame, points: [[x, y]], from: [event.clientX, event.clientY], away: event.button === 2 || event.altKey };
  const dot = event.shiftKey ? dotAt(x, y) : -1;
  if (dot >= 0) { ui.stroke = null; event.preventDefault(); return send("edit", { kind: "move", frame: ui.frame, dot }); }
  if (boxing()) { canvas.setPointerCapture(event.pointerId); return event.preventDefault(); }
  if (painting()) { canvas.setPointerCapture(event.pointerId); inkStroke(); event.preventDefault(); }
});
canvas.addEventListener("pointermove", (event) => {
  if (ui.stroke && boxing()) { ui.stroke.to = position(event); return inkBox(); }
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
  if (stroke.clip !== state.clip || stroke.frame !== ui.frame) return clearInk();   // the picture changed under the hand
  if (boxing()) {
    const corners = [...stroke.points[0], ...position(event)].map((value) => Math.round(value * 10) / 10);
    const large = Math.hypot(event.clientX - stroke.from[0], event.clientY - stroke.from[1]) > 8;
    if (large) return send("edit", { kind: "box", frame: ui.frame, box: corners });
    clearInk();
    $(".stm-hint").textContent = "Draw the box: press at one corner of the object and let go at the other.";
    return;
  }
  if (painting()) {
    return paintAlong(stroke.points.map(([x, y]) => [Math.round(x * 10) / 10, Math.round(y * 10) / 10]), stroke.away);
  }
  if (Math.hypot(event.clientX - stroke.from[0], event.clientY - stroke.from[1]) > 8) return;   // a scroll, not a click
  clickAt(...stroke.points[0].map(Math.floor), stroke.away);
});
const paintAlong = (points, away) =>
  send("edit", { kind: "stroke", frame: ui.frame, erase: ui.mode === "erase" || away, radius: ui.radius * scale(), points });
function clickAt(x, y, away) {
  const label = ui.mode === "remove" || away ? 0 : 1;
  if (ui.frame !== state.frame) { state.frame = ui.frame; state.dots = []; state.marks = null; }
  state.dots = [...(state.dots || []), [x, y, label, color()]];
  showDots();
  send("edit", { kind: "click", frame: ui.frame, x, y, label });
}
// The same by keys: Shift and the arrow keys move a cursor, in smaller steps the larger the picture is; Enter clicks.
const middle = () => {   // of what is seen
  const box = screen_.getBoundingClientRect();
  const [x, y] = position({ clientX: box.left + box.width / 2, clientY: box.top + box.height / 2 }).map(Math.floor);
  return [Math.min(Math.max(x, 0), state.width - 1), Math.min(Math.max(y, 0), state.height - 1)];
};
function aim(key) {
  if (document.activeElement !== canvas) canvas.focus();
  if (ui.view !== "overlay") look("overlay");
  const [x, y] = ui.cursor || middle(), step = Math.max(1, Math.round(state.width / 64 / sight.zoom));
  const [right, down] = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[key];
  ui.cursor = [Math.min(Math.max(x + right * step, 0), state.width - 1), Math.min(Math.max(y + down * step, 0), state.height - 1)];
  showDots();
  followCursor();
}
function markAtCursor() {
  play(false);
  return painting() ? paintAlong([ui.cursor], false) : clickAt(...ui.cursor, false);
}
canvas.addEventListener("blur", () => showDots());
canvas.addEventListener("focus", () => showDots());
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
function inkBox() {
  const context = ink.getContext("2d"), [[x, y]] = ui.stroke.points, [right, bottom] = ui.stroke.to;
  if (ink.width !== state.width || ink.height !== state.height) { ink.width = state.width; ink.height = state.height; }
  context.clearRect(0, 0, ink.width, ink.height);
  context.lineWidth = 2.5 * scale();
  context.strokeStyle = color();
  context.strokeRect(x, y, right - x, bottom - y);
}
// The click near a place, by its number among the dots; -1 without one.
function dotAt(x, y) {
  if (ui.frame !== state.frame) return -1;
  return (state.dots || []).findIndex(([column, row]) => Math.hypot(column + 0.5 - x, row + 0.5 - y) <= 12 * scale());
}
const clearInk = () => ink.getContext("2d").clearRect(0, 0, ink.width, ink.height);
function send(name, data) {
  $(".stm-busy").hidden = false;
  if (seekTimer) seek();   // not later: an undo may lead to another frame
  trigger(name, inTurn({ clip: state.clip, ...data }));   // another clip may be open by the time it is answered
}
