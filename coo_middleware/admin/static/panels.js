// What stands beside the charts: tiles, limits and tables.

import { copy, find, make, makeTable, tell } from "./dom.js";
import { count, duration, exact, money, percent, rate, span, wait } from "./format.js";
import { addUp, hitRatios, lineOf } from "./series.js";

const reused = ({ hits, stale, collapsed }) => hits + stale + collapsed;

// Each tile: its name, its figure, a note, and how it went over the range.
const TILES = {
  requests: [
    "Requests",
    (all) => count(all.requests),
    (all, length) => rate(all.requests, length),
    ({ requests }) => addUp(requests),
  ],
  "hit-ratio": [
    "Hit ratio",
    (all) => percent(all.hit_ratio),
    (all) => `${count(reused(all))} of ${count(all.requests - all.bypassed)} reused`,
    ({ requests }) => hitRatios(requests),
  ],
  tokens: [
    "Tokens",
    (all) => count(all.tokens),
    ({ tokens_by_type: { input = 0, output = 0 } }) => `${count(input)} in, ${count(output)} out`,
    ({ tokens }) => tokens.times.map((_, step) => lineOf(tokens, "input")[step] + lineOf(tokens, "output")[step]),
  ],
  cost: [
    "Cost",
    (all) => money(all.cost),
    (all) => `${money(all.misses + all.bypassed ? all.cost / (all.misses + all.bypassed) : null)} per call`,
    ({ cost }) => addUp(cost),
  ],
  saved: [
    "Saved",
    (all) => money(all.cost_saved),
    (all) => `${count(all.tokens_saved)} tokens`,
    ({ costSaved }) => addUp(costSaved),
  ],
  errors: [
    "Errors",
    (all) => count(all.failures),
    (all) => `${percent(all.error_ratio)} of requests`,
    ({ failures }) => addUp(failures),
  ],
  latency: [
    "Latency p95",
    (all) => duration(all.duration.p95),
    (all) => `p50 ${duration(all.duration.p50)}, reused ${duration(all.duration_reused.p50)}`,
    (series) => lineOf(series.duration, "p95"),
  ],
  "first-chunk": [
    "First chunk p50",
    (all) => duration(all.first_chunk.p50),
    (all) => `p95 ${duration(all.first_chunk.p95)}`,
    ({ firstChunk }) => lineOf(firstChunk, "p50"),
  ],
};

const FIGURES = [
  ["Requests", (row) => count(row.requests)],
  ["Hit ratio", (row) => percent(row.hit_ratio)],
  ["Tokens", (row) => count(row.tokens)],
  ["Cost", (row) => money(row.cost)],
  ["Saved", (row) => money(row.cost_saved)],
  ["Errors", (row) => count(row.failures)],
  ["p95", (row) => duration(row.duration.p95)],
].map(([name, of]) => ({ name, of, kind: "number" }));

const TABLES = {
  providers: ["Provider", (row) => row.provider],
  keys: ["Key", (row) => `${row.provider} / ${row.key}`],
  models: ["Model", (row) => row.model],
};

/** The tiles, in the place of those before. */
export function showTiles({ summary, series }) {
  if (!find("tiles").childElementCount) find("tiles").append(...Object.keys(TILES).map(makeTile));
  for (const [id, [, value, note, trend]] of Object.entries(TILES)) {
    const tile = find(`tile-${id}`);
    tell(tile.querySelector(".value"), value(summary.all));
    tell(tile.querySelector(".note"), note(summary.all, summary.window_seconds));
    drawTrend(tile, trend(series));
  }
}

function makeTile(id) {
  const tile = copy("tile");
  tile.id = `tile-${id}`;
  tell(tile.querySelector("h2"), TILES[id][0]);
  return tile;
}

function drawTrend(tile, values) {
  const most = Math.max(...values, 0) || 1;
  const points = values
    .map((value, step) => [(100 * step) / (values.length - 1 || 1), value])
    .filter(([, value]) => value !== null)
    .map(([x, value]) => `${x.toFixed(1)} ${(23 - (21 * value) / most).toFixed(1)}`);
  const line = points.length > 1 ? `M${points.join("L")}` : "";
  tile.querySelector(".line").setAttribute("d", line);
  tile
    .querySelector(".area")
    .setAttribute("d", line && `${line}L${points.at(-1).split(" ")[0]} 24L${points[0].split(" ")[0]} 24Z`);
}

/** The tables by provider, key and model. */
export function showTables({ summary }) {
  const panels = Object.entries(TABLES).map(([name, [column, of]]) => {
    const rows = summary[name];
    const title = `By ${column.toLowerCase()}`;
    const table = rows.length
      ? makeTable(title, [{ name: column, of }, ...FIGURES], rows)
      : make("p", { className: "empty muted" }, "Nothing in this range.");
    return make("section", { className: "panel rows", id: `by-${name}` }, make("h2", {}, title), table);
  });
  find("tables").replaceChildren(...panels);
}

/** The limits of the chosen provider's keys, and of the rules; or why there are none to show. */
export function showLimits({ limits }, { provider, key }) {
  if (limits.refusal !== undefined)
    return sayLimits(`The limits cannot be told: ${limits.refusal || "the store failed"}.`);
  const keys = limits.keys
    .filter((one) => (!provider || one.provider === provider) && (!key || one.key === key) && one.limits.length)
    .map((one) => makeLimits(`${one.provider} / ${one.key}`, "", one.limits));
  const rules = limits.rules.map((rule) => makeLimits(rule.name, describe(rule), rule.limits));
  if (!keys.length && !rules.length) return sayLimits("No limits are configured for what is shown.");
  find("limits").replaceChildren(...keys, ...rules);
  if (!limits.is_kept)
    find("limits").append(
      make("p", { className: "muted" }, "This store keeps no limits, so how much of them is used is unknown."),
    );
}

const sayLimits = (text) => find("limits").replaceChildren(make("p", { className: "empty muted" }, text));

function describe({ per, path, model, provider }) {
  const within = Object.entries({ path, model, provider }).filter(([, pattern]) => pattern && pattern !== "*");
  return [
    ...(per.length ? [`per ${per.join(", ")}`] : []),
    ...within.map(([name, pattern]) => `${name} ${pattern}`),
  ].join(", ");
}

function makeLimits(name, note, limits) {
  const rows = limits.map(makeLimit);
  return make(
    "article",
    {},
    make("h3", {}, name, " ", make("span", { className: "muted" }, note)),
    make("ul", {}, ...rows),
  );
}

function makeLimit({ label, limit, window_seconds: length, used, reset_seconds: reset }) {
  const within = length ? `in ${span(length)}` : "at the same time";
  const free = length && used && reset ? `, free in ${wait(reset)}` : "";
  const text = make("span", {}, label, " ", make("span", { className: "muted" }, `${within}${free}`));
  if (used === null) return make("li", {}, text, make("span", {}, `up to ${count(limit)}`));
  const title = `${exact(used)} of ${exact(limit)}`;
  return make(
    "li",
    {},
    text,
    make("span", { title }, `${count(used)} of ${count(limit)}`),
    makeBar(label, used, limit),
  );
}

function makeBar(label, used, limit) {
  const share = Math.min(used / limit, 1);
  const className = `bar ${share >= 0.95 ? "full" : share >= 0.8 ? "high" : ""}`;
  const values = { ariaValueMin: "0", ariaValueMax: `${limit}`, ariaValueNow: `${used}` };
  const fill = make("span");
  fill.style.inlineSize = `${share * 100}%`;
  return make("div", { className, role: "meter", ariaLabel: label, ...values }, fill);
}
