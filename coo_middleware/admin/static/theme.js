// Light or dark: as the system says, unless the reader chose one, which this browser keeps.

import { find, tell } from "./dom.js";

const KEPT = "coo.theme";
const NEXT = { auto: "light", light: "dark", dark: "auto" };

const kept = () => (Object.hasOwn(NEXT, localStorage.getItem(KEPT)) ? localStorage.getItem(KEPT) : "auto");

function apply() {
  document.documentElement.dataset.theme = kept();
  tell(find("theme"), `Theme: ${kept()}`);
}

/** From as the system says to light, to dark, and back. */
export function switchTheme() {
  localStorage.setItem(KEPT, NEXT[kept()]);
  apply();
}

/** Applies the theme now, and calls `changed` after each change of it, whoever made it. */
export function watchTheme(changed) {
  apply();
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", changed);
  find("theme").addEventListener("click", changed);
}
