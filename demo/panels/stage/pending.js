// Edits that were sent and are not answered: what was drawn stays in sight until it is part of the mask.
const BUSY = $(".stm-busy").textContent, LATE = "no answer yet… If this stays, reload the page.";
// milliseconds after the last answer: then the badge says so; an edit is given up that a later one overtook; all are given up
const LATE_AFTER = 15000, OVERTAKEN_AFTER = 8000, LOST_AFTER = 60000;
// each with its `turn` and `frame`, and what it does: a `dot`, a `shape` in ink, the object that it will `select`
let pending = [], lateTimers = [], overtakenTimer = null;
function send(name, data, shows = {}) {
  if (seekTimer) seek();   // not later: an undo may lead to another frame
  const told = inTurn({ clip: state.clip, ...data });   // another clip may be open by the time it is answered
  pending.push({ turn: told.turn, frame: ui.frame, ...shows });
  busy();
  trigger(name, told);
}
function settle(answered = []) {
  const before = edits.waiting.size, last = Math.max(...answered);
  answered.forEach((turn) => edits.waiting.delete(turn));
  if (edits.waiting.size < before) {   // one before an answered one may be lost on the way, if no more answers come
    clearTimeout(overtakenTimer);
    overtakenTimer = setTimeout(() => forget([...edits.waiting].filter((turn) => turn < last)), OVERTAKEN_AFTER);
  }
  const waiting = pending.filter(({ turn }) => edits.waiting.has(turn));
  if (waiting.length === pending.length) return;
  pending = waiting;
  busy();
}
// Stop waiting for these edits.
function forget(turns) {
  settle(turns);
  showDots();
  showInk();
}
// The object that is selected once all are answered: an answer may be of an edit before that.  null: it is being added, and has no
// number yet; the server then takes the one that is selected.
function selected() {
  const known = (object) => object === null || (state.objects || []).some(({ id }) => id === object);
  const chosen = pending.filter(({ select }) => select !== undefined && known(select)).at(-1);
  return chosen ? chosen.select : state.selected;
}
function busy() {
  const badge = $(".stm-busy");
  lateTimers.forEach(clearTimeout);
  badge.hidden = !pending.length;
  badge.textContent = BUSY;
  lateTimers = pending.length ? [
    setTimeout(() => { badge.textContent = LATE; }, LATE_AFTER),
    setTimeout(() => forget([...edits.waiting]), LOST_AFTER),
  ] : [];
}
const pendingHere = (kind) => pending.filter((one) => one.frame === ui.frame && one[kind]).map((one) => one[kind]);
const dotsHere = () => [...(ui.frame === state.frame && state.dots || []), ...pendingHere("dot")];
// Strokes and boxes: what is being drawn, and what is not answered.
const stroked = (points, away) => ({
  points, width: 2 * ui.radius * scale(), color: ui.mode === "erase" || away ? "#ffffffb0" : color() + "c0",
});
const boxed = ([x, y], [right, bottom]) => ({ box: [x, y, right - x, bottom - y], width: 2.5 * scale(), color: color() });
function showInk() {
  if (!state.clip) return;
  const context = ink.getContext("2d");
  if (ink.width !== state.width || ink.height !== state.height) { ink.width = state.width; ink.height = state.height; }
  context.clearRect(0, 0, ink.width, ink.height);
  context.lineCap = context.lineJoin = "round";
  for (const { points, box, width, color } of [...pendingHere("shape"), ...(ui.stroke?.shape ? [ui.stroke.shape] : [])]) {
    context.lineWidth = width;
    context.strokeStyle = color;
    if (box) { context.strokeRect(...box); continue; }
    context.beginPath();
    context.moveTo(...points[0]);
    points.forEach(([x, y]) => context.lineTo(x, y + 0.01));
    context.stroke();
  }
}
