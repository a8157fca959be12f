// The examples: a click on a card opens its clip.
element.addEventListener("click", (event) => {
  const card = event.target.closest("[data-example]");
  if (card) trigger("pick", { name: card.dataset.example });
});
// A browser only helps to choose a file: any file is taken, and what cannot be read is refused by the server, in words.
const KINDS = { upload: "video/*,.mkv,.mts,.m2ts,.ts,.gif,.webp,.apng,.zip", mask: "image/*" };
document.addEventListener("click", (event) => {
  const input = event.target.closest?.("#upload, #mask")?.querySelector("input[type=file]");
  if (input) input.accept = KINDS[input.closest("#upload") ? "upload" : "mask"];
}, true);
// With the next file goes what was said of the last one.
for (const arrival of ["change", "drop"]) document.addEventListener(arrival, (event) => {
  if (event.target.closest?.("#upload, #mask")) document.querySelector("#notice .stm-notice")?.remove();
}, true);
