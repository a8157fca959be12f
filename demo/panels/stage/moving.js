// Moving through the clip: the frame that is shown, and playing.
function go(index, { tell = true } = {}) {
  if (!state.clip) return;
  ui.frame = Math.min(Math.max(index, state.start), state.stop - 1);
  slider.value = ui.frame;
  where();
  draw();
  clearTimeout(seekTimer);
  seekTimer = tell && !ui.playing && !state.live ? setTimeout(seek, 120) : null;
}
function seek() {
  clearTimeout(seekTimer);
  seekTimer = null;
  trigger("seek", { frame: ui.frame, jump: state.jump });
}
function where() {
  const seconds = times[ui.frame - state.start] ?? ui.frame / (state.fps || 25);
  $(".stm-where").textContent = `frame ${ui.frame + 1} of ${state.total} · ${seconds.toFixed(2)} s`;   // in files they count from 0
  const notes = [];
  if ((state.prompted || []).includes(ui.frame)) notes.push((state.pinned || []).includes(ui.frame) ? "your mark, always kept" : "your mark");
  if (state.doubtful?.[ui.frame]) notes.push(state.doubtful[ui.frame]);
  if ((state.absent || []).some(([, first, last]) => first <= ui.frame && ui.frame <= last)) notes.push("an object is gone here, as you said");
  goneButton();
  const badge = $(".stm-badge");
  badge.hidden = !notes.length || !!state.live;
  badge.textContent = notes.join(" · ");
  if (!state.live) document.dispatchEvent(new CustomEvent("stm-frame", { detail: ui.frame }));
  slider.setAttribute("aria-valuetext", `frame ${ui.frame + 1}, ${seconds.toFixed(2)} seconds ${notes.join(", ")}`);
}
function play(on = !ui.playing) {
  const played = !!ui.playing;
  if (ui.playing) { cancelAnimationFrame(ui.playing.request); ui.playing = null; }
  const button = $("[data-do=play]");
  button.classList.toggle("stm-playing", on);
  button.setAttribute("aria-label", on ? "Pause" : "Play");
  if (!on || !state.clip) { if (played && state.clip) go(ui.frame); return; }
  if (ui.frame >= state.stop - 1) ui.frame = state.start;
  const at = (index) => times[index - state.start] ?? index / (state.fps || 25);
  const begun = performance.now(), from = at(ui.frame);
  ui.playing = {};
  const tick = (now) => {
    let index = ui.frame;
    while (index < state.stop - 1 && at(index + 1) - from <= (now - begun) / 1000) index++;
    if (index !== ui.frame) {
      go(index, { tell: false });
      for (let next = index + 1; next < index + 12; next++) { if (next < state.stop) { load(photoOf(next)); load(maskOf(next)); } }
    }
    if (index >= state.stop - 1) return play(false);
    ui.playing.request = requestAnimationFrame(tick);
  };
  ui.playing.request = requestAnimationFrame(tick);
}
