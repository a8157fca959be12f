// Learn: one step at a time.  Setting a step up is what a visitor would click: the example's card, then Track.
// The server chooses the memory ('choose') and says how far the page is ('peek'); it is asked only while a step is set up.
const $ = (selector) => element.querySelector(selector), all = (selector) => [...element.querySelectorAll(selector)];
const fold = $(".stm-learn-fold"), body = $(".stm-learn-body"), back = $(".stm-learn-return"), steps = all("[data-step]");
const page = (selector) => document.querySelector(selector);
const kept = "stm_lesson";   // the step, for when the page is loaded again
let at = 0, asked = 0, heard = 0, polled = 0, quiet = 0, seen = "", refusal = "", led = "", other = "";   // other: the clip that was open before the example.  led: "leaving" when a step leads the visitor away from the lesson, "left" once that is so

const step = () => steps[at], part = (selector) => step().querySelector(selector);
const ask = (event) => trigger(event, { step: at, number: ++asked });
// the state of setting up: it waits to be "chosen", "opened", "tracked"; at the end it is "ready" or "failed"
const waits = () => ["chosen", "opened", "tracked"].includes(step().dataset.state);
function say(state, words) {
  step().dataset.state = state;
  part(".stm-learn-state").textContent = words;
  returning();
}
function go(number, focus = true) {
  if (waits()) say("", "");
  led = "";
  at = Math.min(Math.max(number, 0), steps.length - 1);
  steps.forEach((one, n) => { one.hidden = n !== at; });
  $("[data-learn=back]").disabled = at === 0;
  $("[data-learn=next]").disabled = at === steps.length - 1;
  $(".stm-learn-where").textContent = `${at + 1} of ${steps.length}`;
  try { sessionStorage.setItem(kept, at); } catch {}
  returning();
  if (!focus) return;
  const heading = part("h3");
  heading.focus({ preventScroll: true });
  if (heading.getBoundingClientRect().top < 0) heading.scrollIntoView({ block: "start" });
}

// setting up
const card = () => page(`[data-example="${step().dataset.example}"]:not([data-step])`);
const button = () => page("#track");
function set() {
  if (!card()) return say("failed", "This page does not have that example.");
  refusal = refused();
  seen = tells();
  led = "leaving";
  say("chosen", "Setting up…");
  ask("choose");
}
function ready() {
  part(".stm-learn-see").hidden = false;
  if (step().dataset.frame) document.dispatchEvent(new CustomEvent("stm-go", { detail: Number(step().dataset.frame) - 1 }));
  say("ready", "Ready.");
}
function track() {
  if (button().disabled) return;   // it will be enabled, and then the server is asked again
  if (step().dataset.state === "chosen") see("picture");   // where the run is watched; else it is seen already
  say("tracked", "Tracking…");
  button().click();
}
function advance(told) {
  if (!waits() || told.number !== asked || told.step !== at) return;
  const { state } = step().dataset, there = told.open && told.marked;
  if (state === "chosen" && !there) {
    if (told.own && !confirm("The example replaces your clip, and the marks and masks of your clip are lost. To keep them, download the full session first. Open the example?"))
      return say("failed", "Your clip is still open.");
    say("opened", "Opening the example…");
    other = told.clip;
    card().click();
    return see("picture");
  }
  const replaced = !told.open && !told.coming && (state === "tracked" || (state === "opened" && told.clip !== other));
  if (replaced) return say("failed", "Another clip was opened. Press the button again.");
  if (!there) return;
  if (!step().dataset.track || told.tracked) return ready();
  if (state !== "tracked") return track();
  if (told.busy || told.number === polled) return;
  if (told.masks) part(".stm-learn-see").hidden = false;   // of the frames that were tracked
  say("failed", "Tracking was stopped. Press the button again.");
}
// What the page tells: Track can be pressed, or not any more; a notice, or a refusal.
const refused = () => page("#notice .stm-error")?.outerHTML ?? "";
const tells = () => `${button()?.disabled} ${page("#notice .stm-notice")?.outerHTML}`;
function watched() {
  if (!waits() || seen === tells()) return;
  seen = tells();
  if (!refused() || refused() === refusal) return ask("peek");
  say("failed", "That did not work; the page says why. Try again.");
}

// other panels
const places = { picture: "#stage", timeline: "#timeline", chart: "#readout", look: "#inside", compare: "#compare-fold" };
function scroll(there) {   // again while it unfolds: at the end of the page there was no room before
  const follow = new ResizeObserver(() => there.scrollIntoView({ block: "start" })), over = new AbortController();
  const stop = () => { follow.disconnect(); over.abort(); };
  follow.observe(there);
  setTimeout(stop, 700);
  for (const kind of ["pointerdown", "wheel", "touchstart", "keydown"]) addEventListener(kind, stop, { signal: over.signal, capture: true });
}
function see(place) {
  const there = page(places[place]);
  if (!there) return null;
  if (place === "look") there.querySelector("details").open = true;
  if (place === "compare") there.querySelector(".label-wrap:not(.open)")?.click();
  scroll(there.closest(".stm-card"));
  const frame = Number(step().dataset.frame) - 1, slider = place === "look" && there.querySelector("input[type=range]");
  if (slider && frame > 0 && Number(slider.max) >= frame) { slider.value = frame; slider.dispatchEvent(new Event("input")); }
  return there.closest(".stm-card");
}
function land(card) {   // keys go on where the eyes do
  const heading = card?.querySelector(".stm-title");
  if (!heading) return;
  heading.tabIndex = -1;
  heading.focus({ preventScroll: true });
}
function away() {
  const { top, bottom } = body.getBoundingClientRect();
  return bottom < 0 || top > innerHeight;
}
function returning() {
  if (led && away()) led = "left";
  else if (led === "left" && !waits()) led = "";   // the visitor is back
  back.hidden = !(fold.open && away() && led);
  back.firstElementChild.textContent = `${part(".stm-learn-state").textContent} Back to the lesson (step ${at + 1})`.trim();
}
const actions = {
  back: () => go(at - 1),
  next: () => go(at + 1),
  set,
  answer: () => {
    const answer = part(".stm-learn-answer"), shown = answer.hidden;
    answer.hidden = !shown;
    part("[data-learn=answer]").setAttribute("aria-expanded", String(shown));
    part("[data-learn=answer]").textContent = shown ? "Hide the answer" : "Show the answer";
  },
  dismiss: () => { led = ""; returning(); },
  return: () => { step().scrollIntoView({ block: "start" }); part("h3").focus({ preventScroll: true }); },
};
element.addEventListener("click", (event) => {
  const pressed = event.target.closest("button");
  if (!pressed) return;
  led = pressed.dataset.see || (led && waits()) ? "leaving" : "";   // whoever presses something else here is back
  if (pressed.dataset.see) { land(see(pressed.dataset.see)); returning(); }
  else actions[pressed.dataset.learn]?.();
});
addEventListener("scroll", returning, { passive: true });
fold.addEventListener("toggle", returning);
const observer = new MutationObserver(() => {
  if (!element.isConnected) return observer.disconnect();
  watched();
});
for (const place of [".stm-actions", "#notice"]) {
  const there = page(place);
  if (there) observer.observe(there, { attributes: true, childList: true, subtree: true, attributeFilter: ["disabled"] });
}
watch("value", () => { heard = props.value?.number ?? heard; advance(props.value || {}); });
// A change of the page may be missed: a quick run enables the button again before anybody saw it disabled.
const poll = setInterval(() => {
  if (!element.isConnected) return clearInterval(poll);
  quiet = waits() ? quiet + 1 : 0;
  if (quiet < (heard === asked ? 1 : 5)) return;
  quiet = 0;
  ask("peek");
  polled = asked;
}, 2000);
let begin = 0;
try { begin = Number(sessionStorage.getItem(kept)) || 0; } catch {}
go(begin, false);
