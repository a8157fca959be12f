// The examples: a click on a card opens its clip; the second one of a double click does not open it again.
element.addEventListener("click", (event) => {
  const card = event.target.closest("[data-example]");
  if (card && event.detail < 2) trigger("pick", { name: card.dataset.example });
});
// This only helps people to choose a file: the browser sends any file, and the server refuses in words what it cannot read.
const KINDS = { upload: "video/*,.mkv,.mts,.m2ts,.ts,.gif,.webp,.apng,.zip", mask: "image/*" };
document.addEventListener("click", (event) => {
  const input = event.target.closest?.("#upload, #mask")?.querySelector("input[type=file]");
  if (input) input.accept = KINDS[input.closest("#upload") ? "upload" : "mask"];
}, true);
// Choosing the next file removes the notice about the last one.  A mask is for the frame that is looked at now.
for (const arrival of ["change", "drop"]) document.addEventListener(arrival, (event) => {
  const place = event.target.closest?.("#upload, #mask");
  if (!place) return;
  document.querySelector("#notice .stm-notice")?.remove();
  if (place.id === "mask") document.body.dataset.maskFrame = document.querySelector("#stage .stm-slider").value;
}, true);
