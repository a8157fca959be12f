// The examples: a click on a card opens its clip.
element.addEventListener("click", (event) => {
  const card = event.target.closest("[data-example]");
  if (card) trigger("pick", { name: card.dataset.example });
});
