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
  if (ui.stroke && boxing()) { ui.stroke.shape = boxed(ui.stroke.points[0], position(event)); return showInk(); }
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
  if (stroke.clip !== state.clip || stroke.frame !== ui.frame) return showInk();   // the picture changed under the hand
  if (boxing()) {
    const corners = [...stroke.points[0], ...position(event)].map((value) => Math.round(value * 10) / 10);
    const large = Math.hypot(event.clientX - stroke.from[0], event.clientY - stroke.from[1]) > 8;
    if (large) return send("edit", { kind: "box", frame: ui.frame, box: corners }, { shape: stroke.shape });
    showInk();
    $(".stm-hint").textContent = "Draw the box: press at one corner of the object and let go at the other.";
    return;
  }
  if (painting()) {
    return paintAlong(stroke.points.map(([x, y]) => [Math.round(x * 10) / 10, Math.round(y * 10) / 10]), stroke.away);
  }
  if (Math.hypot(event.clientX - stroke.from[0], event.clientY - stroke.from[1]) > 8) return;   // a scroll, not a click
  clickAt(...stroke.points[0].map(Math.floor), stroke.away);
});
function paintAlong(points, away) {
  const stroke = { kind: "stroke", frame: ui.frame, erase: ui.mode === "erase" || away, radius: ui.radius * scale(), points };
  send("edit", stroke, { shape: stroked(points, away) });
  showInk();
}
function clickAt(x, y, away) {
  const label = ui.mode === "remove" || away ? 0 : 1;
  send("edit", { kind: "click", frame: ui.frame, x, y, label }, { dot: [x, y, label, color()] });
  showDots();
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
canvas.addEventListener("pointercancel", () => { ui.stroke = null; showInk(); });
canvas.addEventListener("contextmenu", (event) => event.preventDefault());
const scale = () => 1 / pictureBox().zoom;   // clip pixels per screen pixel
const color = () => (state.objects || []).find((o) => o.id === selected())?.color || "#888";
function inkStroke() {
  ui.stroke.shape = stroked(ui.stroke.points, ui.stroke.away);
  showInk();
}
// The click near a place, by its number among the dots; -1 without one.
function dotAt(x, y) {
  if (ui.frame !== state.frame) return -1;
  return dotsHere().findIndex(([column, row]) => Math.hypot(column + 0.5 - x, row + 0.5 - y) <= 12 * scale());
}
