// On a phone the settings are folded away (memory.css), so that Track is near the picture.
element.addEventListener("click", (event) => {
  const button = event.target.closest(".stm-fold");
  if (!button) return;
  const open = button.getAttribute("aria-expanded") !== "true";
  button.setAttribute("aria-expanded", String(open));
  button.textContent = open ? "Done" : "Change";
});
