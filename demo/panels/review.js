// The review queue: its buttons and keys.  The most doubtful frame comes first; "." and "," step through the list.
const go = (index) => {
  document.dispatchEvent(new CustomEvent("stm-go", { detail: index }));
  const stage = document.querySelector(".stm-screen"), { top, bottom } = stage.getBoundingClientRect();
  if (bottom < 80 || top > innerHeight - 80) stage.scrollIntoView({ block: "start" });   // on a phone it is far above
};
const items = () => [...element.querySelectorAll("[data-look]")];
const here = () => items().find((item) => Number(item.dataset.look) === at);
let at = null, again = null;   // again: where the focus goes once the list is drawn anew, after a press by keys
function step(by) {
  const all = items();
  if (!all.length) return;
  const place = all.indexOf(here());
  const next = place < 0 ? (by > 0 ? 0 : all.length - 1) : (place + by + all.length) % all.length;
  go(Number(all[next].dataset.look));
}
function right(item) {
  if (!item) return;
  const { look, object } = item.dataset;
  if (item === here() && items().length > 1) step(1);
  trigger("review", inTurn({ kind: "right", frame: Number(look), object: Number(object) }));
}
const flag = () => at !== null && trigger("review", inTurn({ kind: "flag", frame: at }));
element.addEventListener("click", (event) => {
  const button = event.target.closest("button"), item = button?.closest("[data-look]");
  if (!event.detail && ["flag", "right"].includes(button?.dataset.do)) again = items().indexOf(item);
  if (button?.dataset.do === "flag") flag();
  else if (item && button.dataset.do === "right") right(item);
  else if (item) go(Number(item.dataset.look));
});
function keys(event) {
  if (!element.isConnected) return document.removeEventListener("keydown", keys);
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.closest?.("input:not([type=range]), textarea, select, [contenteditable=true], [role=listbox], video, audio, dialog")) return;
  const action = { ".": () => step(1), ",": () => step(-1), y: () => right(here()), f: flag }[event.key.toLowerCase()];
  if (!action || !element.querySelector(".stm-queue")) return;
  action();
  event.preventDefault();
}
document.addEventListener("keydown", keys);
function follow() {
  items().forEach((item) => item.setAttribute("aria-current", Number(item.dataset.look) === at));
  if (again === null || document.activeElement !== document.body) return;
  const next = items()[Math.min(again, items().length - 1)]?.querySelector("[data-do=right]");
  (next ?? element.querySelector("[data-do=flag]"))?.focus({ preventScroll: true });
  again = null;
}
document.addEventListener("stm-frame", (event) => { at = event.detail; follow(); });
watch("value", follow);
