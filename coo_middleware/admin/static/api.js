// What the admin API tells, asked with the token that this tab keeps.

const KEPT = "coo.token";

export const isSignedIn = () => sessionStorage.getItem(KEPT) !== null;
export const keepToken = (token) => sessionStorage.setItem(KEPT, token);
export const dropToken = () => sessionStorage.removeItem(KEPT);

/** An answer other than 200; status 0 where none came. */
export class Refused extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

/** The document at a path. Throws Refused, and AbortError when `signal` says so. */
export async function ask(path, query, signal) {
  const headers = { authorization: `Bearer ${sessionStorage.getItem(KEPT)}` };
  const answer = await fetch(`${path}?${new URLSearchParams(query)}`, { headers, signal }).catch((error) => {
    throw error.name === "AbortError" ? error : new Refused(0, "");
  });
  const document = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Refused(answer.status, document.error ?? "");
  return document;
}

const SERIES = {
  requests: { metric: "requests", by: "cache" },
  failures: { metric: "failures", by: "error_type" },
  tokens: { metric: "tokens_used", by: "type" },
  tokensSaved: { metric: "tokens_not_used" },
  cost: { metric: "cost_used" },
  costSaved: { metric: "cost_not_used" },
  duration: { metric: "duration" },
  firstChunk: { metric: "first_chunk" },
};

/** All that the page shows: the summary, the series by their names above, the limits or why there are none. The
 * summary is asked for first, so that a refusal is one. */
export async function load(query, signal) {
  const summary = await ask("summary", query, signal);
  const asked = Object.entries(SERIES).map(async ([name, series]) => [
    name,
    await ask("series", { ...query, ...series }, signal),
  ]);
  const [limits, ...series] = await Promise.all([ask("limits", {}, signal).catch(keepRefusal), ...asked]);
  return { summary, limits, series: Object.fromEntries(series) };
}

function keepRefusal(error) {
  if (error.status === 501 || error.status === 503) return { refusal: error.message };
  throw error;
}
