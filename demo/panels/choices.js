// The masks that a first click may mean, as buttons.  The state is made in choices.py.
const words = element.querySelector(".stm-choices-words"), strip = element.querySelector(".stm-choices-strip");

function show() {
  const { name, masks = [] } = props.value || {};
  words.textContent = name ? `What did you mean by “${name}”? Choose, or go on as it is.` : "";
  strip.replaceChildren(...masks.map((mask, number) => {
    const button = document.createElement("button"), image = document.createElement("img");
    button.type = "button";
    button.setAttribute("aria-pressed", mask.on);
    image.src = mask.src;
    image.alt = `The ${mask.words} mask`;
    button.append(image, Object.assign(document.createElement("span"), { textContent: mask.words }));
    button.addEventListener("click", () => trigger("choose", { number }));
    return button;
  }));
}
watch("value", show);
show();
