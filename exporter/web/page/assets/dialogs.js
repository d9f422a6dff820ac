// The dialogs: one at a time, closed by Escape, focus back to where it was.

import {byId, put} from "./dom.js";

/** Open a dialog; true once it is submitted, false when it is left otherwise. */
export function open(dialog, first = null) {
  if (document.querySelector("dialog[open]")) return Promise.resolve(false);
  const before = document.activeElement;
  dialog.returnValue = "";
  dialog.showModal();
  (first ?? dialog.querySelector("button")).focus();
  return new Promise(resolve => {
    dialog.addEventListener("close", () => {
      if (before?.isConnected) before.focus({preventScroll: true});
      resolve(dialog.returnValue === "yes");
    }, {once: true});
  });
}

/** Ask whether something should be done; `verb` is what its button says. */
export function confirm(title, text, verb) {
  const dialog = byId("confirm-dialog");
  put(byId("confirm-title"), title);
  put(byId("confirm-text"), text);
  put(dialog.querySelector("button"), verb);
  return open(dialog, dialog.querySelector("button[value=no]"));  // whoever presses Enter twice has not decided
}

for (const dialog of document.querySelectorAll("dialog")) {
  dialog.querySelector("button[value=no]").addEventListener("click", () => dialog.close("no"));
}
