// Zoom and pan: wheel, two fingers, the middle button, keys.  Only the layers are moved; pictureBox() measures them, so that
// clicks and strokes are exact at every zoom.
const MOST_ZOOM = 16;
const sight = { zoom: 1, x: 0, y: 0 };   // of the layers: scale, and where their corner stands in CSS pixels
const fingers = new Map();
let held = null;   // the middle button drags the picture
function applySight() {
  const within = (value, side) => Math.min(0, Math.max(value, side - side * sight.zoom));
  sight.x = within(sight.x, screen_.clientWidth);
  sight.y = within(sight.y, screen_.clientHeight);
  const moved = sight.zoom === 1 ? "" : `translate(${sight.x}px, ${sight.y}px) scale(${sight.zoom})`;
  for (const layer of [canvas, ink, dots, live]) layer.style.transform = moved;
  canvas.style.imageRendering = sight.zoom > 3 ? "pixelated" : "";
  screen_.dataset.zoom = sight.zoom.toFixed(2);
  tools();
  showDots();
}
function zoomAt(factor, clientX, clientY) {
  const box = screen_.getBoundingClientRect(), x = clientX - box.left - screen_.clientLeft, y = clientY - box.top - screen_.clientTop;
  const zoom = Math.min(Math.max(sight.zoom * factor, 1), MOST_ZOOM), by = zoom / sight.zoom;
  Object.assign(sight, { zoom, x: x - (x - sight.x) * by, y: y - (y - sight.y) * by });
  applySight();
}
function zoomMiddle(factor) {
  const box = screen_.getBoundingClientRect();
  zoomAt(factor, box.left + box.width / 2, box.top + box.height / 2);
}
function pan(x, y) { sight.x += x; sight.y += y; applySight(); }
function unzoom() { Object.assign(sight, { zoom: 1, x: 0, y: 0 }); applySight(); }
// Over the picture the wheel scrolls the page, until the picture was clicked or is zoomed.
screen_.addEventListener("wheel", (event) => {
  if (!state.clip || !(event.ctrlKey || document.activeElement === canvas || sight.zoom > 1)) return;
  event.preventDefault();
  if (event.shiftKey) return pan(-event.deltaY - event.deltaX, 0);
  zoomAt(Math.exp(-Math.max(-60, Math.min(60, event.deltaY)) / (event.ctrlKey ? 100 : 300)), event.clientX, event.clientY);
}, { passive: false });
// Whether a press belongs to zoom and pan: the middle button, or a second finger.
function holding(event) {
  if (event.pointerType === "touch") {
    fingers.set(event.pointerId, [event.clientX, event.clientY]);
    if (fingers.size > 1) { ui.stroke = null; showInk(); return true; }
  }
  if (event.button !== 1) return false;
  held = [event.clientX, event.clientY];
  canvas.setPointerCapture(event.pointerId);
  event.preventDefault();
  return true;
}
const span = () => {
  const [[x, y], [other, below]] = [...fingers.values()];
  return { apart: Math.hypot(other - x, below - y), x: (x + other) / 2, y: (y + below) / 2 };
};
canvas.addEventListener("pointermove", (event) => {
  if (held) {
    pan(event.clientX - held[0], event.clientY - held[1]);
    held = [event.clientX, event.clientY];
  }
  if (!fingers.has(event.pointerId)) return;
  const before = fingers.size === 2 && span();
  fingers.set(event.pointerId, [event.clientX, event.clientY]);
  if (!before) return;
  const now = span();
  pan(now.x - before.x, now.y - before.y);
  zoomAt(now.apart / Math.max(before.apart, 1), now.x, now.y);
});
for (const name of ["pointerup", "pointercancel"]) {
  canvas.addEventListener(name, (event) => { fingers.delete(event.pointerId); held = null; });
}
// Two fingers zoom here: else the browser would scroll with them, and end the pointers.
for (const name of ["touchstart", "touchmove"]) {
  canvas.addEventListener(name, (event) => { if (event.touches.length > 1) event.preventDefault(); }, { passive: false });
}
// The cursor of the keys stays in sight.
function followCursor() {
  if (!ui.cursor || sight.zoom === 1) return;
  const { zoom, left, top } = pictureBox(), box = screen_.getBoundingClientRect();
  const x = left + ui.cursor[0] * zoom, y = top + ui.cursor[1] * zoom;
  const over = (value, low, high) => value < low ? low - value : value > high ? high - value : 0;
  pan(over(x, box.left + 30, box.right - 30), over(y, box.top + 30, box.bottom - 30));
}
new ResizeObserver(applySight).observe(screen_);
