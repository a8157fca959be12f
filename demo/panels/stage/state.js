// Takes the server's state.  This file comes last: it starts the stage.
function update() {
  const before = state;
  settle(props.value?.answered);
  if (props.value?.made < before.made) { showDots(); showInk(); return; }   // answers may overtake each other: this one is older
  if (props.value?.clip !== before.clip) $(".stm-name").blur();   // what is typed there names an object of this one
  state = props.value || {};
  if (state.clip) state = { ...state, selected: selected() ?? state.selected };
  edits.clip = state.clip;
  if (state.times) times = state.times;
  const fresh = state.clip !== before.clip;
  const colors = (now) => JSON.stringify((now.objects || []).map(({ id, color }) => [id, color]));
  if (colors(state) !== colors(before)) layers.clear();
  if (fresh) { loaded.clear(); times = state.times || []; play(false); look("overlay"); ui.cursor = ui.gone = null; unzoom(); pending = []; edits.waiting.clear(); busy(); }
  screen_.dataset.empty = state.clip ? "" : "1";
  $(".stm-welcome").textContent = state.welcome || "";
  hint();
  element.classList.toggle("stm-off", !state.clip);
  element.querySelectorAll(".stm-bar button, .stm-bar input, .stm-bar select").forEach((control) => {
    control.disabled = !state.clip || (!!state.running && !control.matches("[data-set=view], [data-set=opacity]"));
  });
  if (!state.clip) { canvas.width = 16; canvas.height = 9; live.hidden = true; dots.innerHTML = ""; $(".stm-badge").hidden = true; $(".stm-where").textContent = "–"; chips(); choices(); tools(); return; }
  screen_.style.setProperty("--ratio", `${state.width} / ${state.height}`);
  slider.min = state.start;
  slider.max = state.stop - 1;
  live.hidden = !state.live;
  if (state.live) { live.src = state.live; ui.frame = state.at ?? ui.frame; slider.value = ui.frame; }
  if (before.jump !== state.jump || fresh) { ui.frame = state.frame; slider.value = ui.frame; }
  else if (state.frame !== ui.frame && !state.live && !state.running && !ui.playing && !seekTimer) go(ui.frame);   // an answer about another frame
  if (state.running && !before.running && innerWidth <= 640) screen_.scrollIntoView({ block: "start" });
  chips();
  choices();
  tools();
  where();
  showDots();
  if (!state.live) draw(); else showInk();
}
function chips() {
  const place = $(".stm-chips"), had = [...place.children].indexOf(document.activeElement);   // they are made anew
  const names = (state.objects || []).map(({ id, name, color }) => {
    const button = document.createElement("button");
    button.type = "button";
    button.dataset.object = id;
    button.disabled = !!state.running;
    button.setAttribute("role", "radio");
    button.setAttribute("aria-checked", String(id === state.selected));
    const swatch = document.createElement("i");
    swatch.style.background = color;
    button.append(swatch, name);
    return button;
  });
  place.replaceChildren(...names);
  place.children[had]?.focus({ preventScroll: true });
  const name = $(".stm-name");
  if (document.activeElement !== name) name.value = (state.objects || []).find((o) => o.id === state.selected)?.name || "";
}
watch("value", update);
update();
