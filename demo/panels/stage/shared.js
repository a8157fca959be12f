// The stage: shows a clip frame by frame, takes clicks and brush strokes, plays, and shows the live preview.
// The server sends one state object (see stage_state in work/shown.py); the browser asks for small pictures by address and composes the
// views itself, so that scrubbing, playing, views and opacity need no round trip.
// Events to the server: 'edit' (a click, a box or a stroke), 'seek' (the frame that is looked at), 'order' (objects, undo, clear), 'choose' (one of the masks that a click may mean).
// The files of this folder are one script, in the order that panels/mark.py gives, after ../frames.js and ../turns.js; this one holds what they share.
const screen_ = $(".stm-screen"), canvas = $(".stm-canvas"), ink = $(".stm-ink"), dots = $(".stm-dots");
const live = $(".stm-live"), slider = $(".stm-slider");
const ui = { mode: "add", view: "overlay", opacity: 0.5, radius: 14, frame: 0, playing: null, stroke: null, cursor: null, gone: null, named: null };
let state = {}, times = [], drawn = 0, seekTimer = null;

// Where the picture stands on the page: the canvas around it may be wider or higher.
function pictureBox() {
  const box = canvas.getBoundingClientRect();
  const zoom = Math.max(Math.min(box.width / state.width, box.height / state.height), 1e-6);   // screen per clip pixel
  return { zoom, left: box.left + (box.width - zoom * state.width) / 2, top: box.top + (box.height - zoom * state.height) / 2 };
}
