// The timeline: a click jumps to that frame, the playhead follows the stage.
const box = () => element.querySelector(".stm-timeline");
const go = (index) => document.dispatchEvent(new CustomEvent("stm-go", { detail: index }));
let at = null;
element.addEventListener("click", (event) => {
  const drawing = event.target.closest("svg"), timeline = box();
  if (!drawing || !timeline) return;
  const area = drawing.getBoundingClientRect(), start = Number(timeline.dataset.start), stop = Number(timeline.dataset.stop);
  go(start + Math.round((event.clientX - area.left) / area.width * (stop - 1 - start)));
});
function follow() {
  const timeline = box();
  if (!timeline || at === null) return;
  const start = Number(timeline.dataset.start), stop = Number(timeline.dataset.stop);
  const x = (at - start) / Math.max(stop - 1 - start, 1) * 1000;
  timeline.querySelectorAll(".stm-playhead").forEach((line) => line.setAttribute("d", `M${x} 0V52`));
}
document.addEventListener("stm-frame", (event) => { at = event.detail; follow(); });
watch("value", follow);
