// The masks that a first click may mean, as buttons beside the hint.
function choices() {
  const found = state.choices || [], made = JSON.stringify(found), place = $(".stm-choices");
  if (place.dataset.made === made) return;   // a button that is being pressed stays
  const had = [...place.children].indexOf(document.activeElement);
  place.dataset.made = made;
  place.replaceChildren(...found.map((mask, number) => {
    const button = document.createElement("button"), image = document.createElement("img");
    button.type = "button";
    button.title = `The ${mask.words} mask`;
    button.setAttribute("aria-pressed", mask.on);
    button.dataset.choice = number;
    image.src = mask.src;
    image.alt = button.title;
    button.append(image);
    return button;
  }));
  place.children[had]?.focus();
}
