// Buttons, sliders and keys.
function tools() {
  element.querySelectorAll("[data-mode]").forEach((button) =>
    button.setAttribute("aria-checked", String(button.dataset.mode === ui.mode)));
  $(".stm-size").style.visibility = painting() ? "" : "hidden";   // its place is kept, so that nothing moves
  canvas.style.touchAction = painting() || boxing() || sight.zoom > 1 ? "none" : "pan-x pan-y";
  screen_.dataset.pointer = ui.view === "overlay" ? ui.mode : "";
  screen_.dataset.view = ui.view;
}
function look(view) {
  ui.view = $("[data-set=view]").value = view;
  tools();
  draw();
}
const actions = {
  prev: () => { play(false); go(ui.frame - 1); },
  next: () => { play(false); go(ui.frame + 1); },
  play: () => play(),
  undo: () => send("order", { kind: "undo", frame: ui.frame }),
  redo: () => send("order", { kind: "redo", frame: ui.frame }),
  gone: () => gone(),
  stay: () => { ui.gone = null; goneButton(); },
  keys: () => { const help = $(".stm-keys"); help.open ? help.close() : help.showModal(); },
  "zoom-in": () => zoomMiddle(1.5),
  "zoom-out": () => zoomMiddle(1 / 1.5),
  "zoom-off": () => unzoom(),
  clear: () => send("order", { kind: "clear", frame: ui.frame }),
  "add-object": () => { if (ui.mode === "remove" || ui.mode === "erase") ui.mode = "add"; tools(); ui.gone = null; send("order", { kind: "add", frame: ui.frame }, { select: null }); },
  "delete-object": () => send("order", { kind: "delete", frame: ui.frame, object: selected() }),
};
// It is selected here at once: the next key may come before the answer.
function select(object) {
  state = { ...state, selected: object };
  if (ui.gone?.object !== object) ui.gone = null;
  chips();
  goneButton();
  send("order", { kind: "select", frame: ui.frame, object }, { select: object });
}
// The selected object is gone: from the frame of the first press to that of the second one.
const goneHere = () => (state.absent || []).some(([id, first, last]) => id === state.selected && first <= ui.frame && ui.frame <= last);
function gone() {
  if (selected() === null) return;   // it is not there yet
  if (goneHere()) return send("order", { kind: "present", frame: ui.frame, object: state.selected });
  if (!ui.gone) ui.gone = { object: state.selected, first: ui.frame };
  else { send("order", { kind: "absent", frame: ui.frame, ...ui.gone }); ui.gone = null; }
  goneButton();
}
function goneButton() {
  if (!(state.objects || []).some(({ id }) => id === ui.gone?.object)) ui.gone = null;
  const button = $("[data-do=gone]");
  button.textContent = goneHere() ? "Not gone here" : ui.gone ? "Gone to here" : "Gone…";
  button.setAttribute("aria-pressed", String(!!ui.gone));
  $("[data-do=stay]").hidden = !ui.gone;
  $("[data-do=delete-object]").hidden = !!ui.gone;   // in its place, so that the row stays as wide as it was
  hint();
}
function hint() {
  const words = !ui.gone ? state.hint || "" :
    `Gone from frame ${ui.gone.first + 1} on. Go to the last frame without it and press “Gone to here”.`;
  // the button that is to be pressed may be out of sight; the full stop goes with it, or it could begin a line
  $(".stm-hint").replaceChildren(...words.split(/(?<=[Pp]ress )((?:Track|Continue|Resume)[.]?)/).map((part, n) =>
    n % 2 ? Object.assign(document.createElement("button"), { type: "button", className: "stm-link", textContent: part }) : part));
}
element.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (!button || button.disabled) return;
  if (button.matches(".stm-hint button")) return document.querySelector("#track").scrollIntoView({ block: "center" });
  if (button.dataset.choice) return send("choose", { number: Number(button.dataset.choice), frame: state.frame });
  if (button.dataset.mode) { ui.mode = button.dataset.mode; tools(); }
  else if (button.dataset.object) select(Number(button.dataset.object));
  else actions[button.dataset.do]?.();
});
element.addEventListener("input", (event) => {
  const { target } = event;
  if (target === slider) {
    const chosen = Number(slider.value);   // before the pause puts the slider back
    play(false);
    go(chosen);
  }
  if (target.dataset.set === "opacity") ui.opacity = target.value / 100;
  if (target.dataset.set === "radius") ui.radius = Number(target.value);
  if (target.dataset.set === "view") look(target.value);
  if (target.dataset.set === "opacity") draw();
});
$(".stm-name").addEventListener("focus", () => { ui.named = selected(); });   // whatever is selected by the time it is typed
$(".stm-name").addEventListener("change", (event) =>
  send("order", { kind: "rename", frame: ui.frame, object: ui.named, name: event.target.value }));
function keys(event) {
  if (!element.isConnected) return document.removeEventListener("keydown", keys);
  if (event.key === "?" && !event.target.closest?.("input:not([type=range]), textarea")) { actions.keys(); return event.preventDefault(); }
  if (event.altKey && sight.zoom > 1 && event.key.startsWith("Arrow")) {
    pan({ ArrowLeft: 60, ArrowRight: -60 }[event.key] || 0, { ArrowUp: 60, ArrowDown: -60 }[event.key] || 0);
    return event.preventDefault();
  }
  if (event.ctrlKey || event.metaKey || event.altKey || !state.clip || state.running) return;
  const onRange = event.target.matches?.("input[type=range]");
  if (!onRange && event.target.closest?.("input, textarea, select, [contenteditable=true], [role=listbox], video, audio, dialog")) return;
  const onButton = event.target.closest?.("button, a, summary");
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  if (event.shiftKey && key.startsWith("Arrow")) { aim(key); return event.preventDefault(); }
  if (key === "Enter" && event.target === canvas && ui.cursor) { markAtCursor(); return event.preventDefault(); }
  const mode = { a: "add", r: "remove", b: "brush", e: "erase", x: "box" }[key];
  if (onRange && key.startsWith("Arrow")) return;
  if (key === "ArrowLeft") actions.prev();
  else if (key === "ArrowRight") actions.next();
  else if (key === " " && !onButton) actions.play();
  else if (key === "u") event.shiftKey ? actions.redo() : actions.undo();
  else if (key === "g") actions.gone();
  else if (key === "+" || key === "=") actions["zoom-in"]();
  else if (key === "-") actions["zoom-out"]();
  else if (key === "0") unzoom();
  else if (key === "Escape" && ui.gone) actions.stay();
  else if (mode) { ui.mode = mode; tools(); }
  else return;
  event.preventDefault();
}
document.addEventListener("keydown", keys);
document.addEventListener("stm-go", (event) => { play(false); go(event.detail); });
new ResizeObserver(showDots).observe(screen_);
