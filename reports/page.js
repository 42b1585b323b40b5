"use strict";
// Porcupine's pages are large: each is parsed only when somebody opens it, in a
// frame of its own that can reach nothing of this page.
for (const view of document.querySelectorAll("details.porcupine")) {
  view.addEventListener("toggle", () => {
    const frame = view.querySelector("iframe");
    if (view.open && !frame.srcdoc) frame.srcdoc = frame.dataset.page;
  });
}
// On paper nothing can be opened.
window.addEventListener("beforeprint", () => {
  for (const told of document.querySelectorAll("details.told")) told.open = true;
});
const copy = document.getElementById("copy");
copy.addEventListener("click", () => {
  const command = document.getElementById("command");
  const range = document.createRange();
  range.selectNodeContents(command);
  const selection = window.getSelection();
  selection.removeAllRanges();
  selection.addRange(range);
  // A page opened from disk may not have the newer clipboard interface.
  copy.textContent = document.execCommand("copy") ? "Copied" : "Press Ctrl-C";
});
