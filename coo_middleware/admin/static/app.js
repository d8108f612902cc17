// The dashboard: what is chosen, asked for every few seconds, and shown.

import { dropToken, isSignedIn, keepToken, load } from "./api.js";
import { makeChart } from "./chart.js";
import { CHARTS } from "./charts.js";
import { find, make, tell } from "./dom.js";
import { span, time } from "./format.js";
import { showLimits, showTables, showTiles } from "./panels.js";
import { switchTheme, watchTheme } from "./theme.js";

// `fold` is how many steps of the API are one bar, `refresh` the seconds from one answer to the next question.
const RANGES = [
  { seconds: 60, fold: 1, refresh: 2 },
  { seconds: 3600, fold: 1, refresh: 5 },
  { seconds: 86400, fold: 1, refresh: 5 },
  { seconds: 604800, fold: 3, refresh: 5 },
  { seconds: 3024000, fold: 12, refresh: 5 },
];
const FILTERS = ["provider", "key", "model"];
const WORDS = {
  0: "The service cannot be reached.",
  501: "This store cannot list its counters, so there is nothing to show.",
  503: "The store does not answer.",
};

const charts = CHARTS.map(makeChart);
const filters = find("filters");
const chosen = { window: "3600", provider: "", key: "", model: "" };
let isPaused = false;
let timer = 0;
let pending = new AbortController();

const range = () => RANGES.find(({ seconds }) => `${seconds}` === chosen.window);

/** What is chosen is kept behind the address's #, which is sent to nobody. */
function readAddress() {
  const kept = Object.fromEntries(new URLSearchParams(location.hash.slice(1)));
  for (const name of ["window", ...FILTERS]) chosen[name] = kept[name] ?? "";
  if (!range()) chosen.window = "3600";
}

async function refresh() {
  clearTimeout(timer);
  pending.abort();
  const { signal } = (pending = new AbortController());
  try {
    const loaded = await load(chosen, signal);
    if (!signal.aborted) show(loaded);
  } catch (error) {
    if (signal.aborted) return;
    if (error.status === 401) return signOut("The token was refused.");
    fail(error);
  }
  if (!signal.aborted && !isPaused && !document.hidden) timer = setTimeout(refresh, range().refresh * 1000);
}

function show(loaded) {
  find("figures").hidden =
    filters.hidden =
    find("pause").hidden =
    find("updated").hidden =
    find("sign-out").hidden =
      false;
  find("sign-in").hidden = true;
  document.body.classList.remove("dated");
  showChoices(loaded.summary.choices);
  showTiles(loaded);
  for (const chart of charts) chart.show(loaded, range());
  showLimits(loaded, chosen);
  showTables(loaded);
  tell(find("updated"), time(Date.now() / 1000));
  say(loaded.summary.is_complete ? "" : "There are more counters than are read at once: the figures leave some out.");
}

function fail(error) {
  document.body.classList.add("dated");
  const words = WORDS[error.status] ?? `The service answered ${error.status ?? "what this page cannot read"}.`;
  const then = error.status === 501 || isPaused ? "" : " It is asked again every few seconds.";
  say(`${words}${error.message ? ` (${error.message})` : ""}${then}`, "bad");
  find("sign-out").hidden = find("pause").hidden = false;
}

function say(text, kind = "") {
  find("status").className = `notice ${kind}`;
  tell(find("status"), text);
}

function showChoices({ providers, keys, models }) {
  const ofProvider = keys.filter(({ provider }) => !chosen.provider || provider === chosen.provider);
  const choices = { provider: providers, key: [...new Set(ofProvider.map(({ key }) => key))], model: models };
  for (const name of FILTERS) offer(filters.elements[name], choices[name], chosen[name]);
}

// What is chosen stays on offer, even where it has no figures in this range. Equal choices leave an open list alone.
function offer(select, names, value) {
  const offered = ["", ...new Set(value ? [...names, value] : names)];
  if (JSON.stringify(offered) !== JSON.stringify([...select.options].map((option) => option.value))) {
    select.replaceChildren(...offered.map((name) => new Option(name || "all", name)));
  }
  select.value = value;
}

function choose() {
  const { provider } = chosen;
  for (const name of ["window", ...FILTERS]) chosen[name] = filters.elements[name].value;
  if (chosen.provider !== provider) chosen.key = "";
  history.replaceState(null, "", `#${new URLSearchParams(chosen)}`);
  refresh();
}

function pause() {
  isPaused = !isPaused;
  tell(find("pause"), isPaused ? "Go on" : "Pause");
  if (isPaused) clearTimeout(timer);
  else refresh();
}

function signOut(reason) {
  clearTimeout(timer);
  pending.abort();
  dropToken();
  for (const id of ["figures", "filters", "pause", "updated", "sign-out"]) find(id).hidden = true;
  find("sign-in").hidden = false;
  find("token").value = "";
  say("");
  tell(find("refusal"), reason);
  find("token").focus();
}

function signIn(event) {
  event.preventDefault();
  const token = find("token").value.trim();
  tell(find("refusal"), "");
  // A header cannot carry anything else, and no token has it.
  if (!/^[\x21-\x7e]+$/.test(token)) return signOut("A token is of printable ASCII characters without spaces.");
  keepToken(token);
  refresh();
}

function closeTable({ key, target }) {
  const details = key === "Escape" && target.closest?.("details[open]");
  if (!details) return;
  details.open = false;
  details.querySelector("summary").focus();
}

function start() {
  readAddress();
  tell(find("host"), location.host);
  find("ranges").append(
    ...RANGES.map(({ seconds }) => {
      const radio = make("input", {
        type: "radio",
        name: "window",
        value: seconds,
        checked: `${seconds}` === chosen.window,
      });
      return make("label", {}, radio, make("span", {}, span(seconds)));
    }),
  );
  find("charts").append(...charts.map(({ figure }) => figure));
  filters.addEventListener("change", choose);
  find("sign-in").addEventListener("submit", signIn);
  find("sign-out").addEventListener("click", () => signOut(""));
  find("pause").addEventListener("click", pause);
  find("theme").addEventListener("click", switchTheme);
  document.addEventListener("keydown", closeTable);
  document.addEventListener("visibilitychange", () => document.hidden || isPaused || !isSignedIn() || refresh());
  watchTheme(() => charts.forEach(({ redraw }) => redraw()));
  if (isSignedIn()) refresh();
  else signOut("");
}

start();
