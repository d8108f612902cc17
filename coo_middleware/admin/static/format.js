// Figures as text, the way the reader's browser writes numbers and times. What is unknown is a dash.

const write = (options) => {
  const format = new Intl.NumberFormat(undefined, options);
  return (value) => (value == null ? "–" : format.format(value));
};
const clock = (options) => {
  const format = new Intl.DateTimeFormat(undefined, options);
  return (seconds) => format.format(seconds * 1000);
};

const whole = write({ maximumFractionDigits: 0 });
const compact = write({ notation: "compact", maximumSignificantDigits: 3 });
const rough = write({ maximumSignificantDigits: 3 });
const cents = write({ style: "currency", currency: "USD" });
const fine = write({ style: "currency", currency: "USD", maximumSignificantDigits: 2 });
const dollars = write({ style: "currency", currency: "USD", notation: "compact", maximumSignificantDigits: 3 });
const units = [
  [86400, "day"],
  [3600, "hour"],
  [60, "minute"],
  [1, "second"],
];
// The page's own words are English; figures and times are as the reader's language has them.
const spans = units.map(([size, unit]) => [
  size,
  new Intl.NumberFormat("en", { style: "unit", unit, unitDisplay: "short" }).format,
]);

const toSecond = clock({ timeStyle: "medium" });
const toMinute = clock({ timeStyle: "short" });
const toDay = clock({ day: "numeric", month: "short" });
const toHour = clock({ day: "numeric", month: "short", hour: "numeric", minute: "2-digit" });

export const percent = write({ style: "percent", maximumFractionDigits: 1 });
export const exact = write({ maximumFractionDigits: 6 });
export const time = toSecond;

export const count = (value) => (Math.abs(value) >= 10000 ? compact(value) : whole(value));

export const money = (value) => {
  if (value == null || value === 0 || (value >= 0.1 && value < 10000)) return cents(value);
  return value < 0.1 ? fine(value) : dollars(value);
};

export function duration(seconds) {
  if (seconds == null) return rough(seconds);
  return seconds && seconds < 1 ? `${rough(seconds * 1000)}\u00a0ms` : `${rough(seconds)}\u00a0s`;
}

/** A length of time in its largest whole unit: 1 min, 7 days. */
export function span(length) {
  const [size, format] = spans.find(([size]) => length >= size && length % size === 0) ?? spans.at(-1);
  return format(length / size);
}

/** About how long it is until something: whole seconds, minutes, hours or days. */
export function wait(length) {
  const [size] = units.find(([size]) => length >= 2 * size) ?? units.at(-1);
  return span(Math.ceil(length / size) * size);
}

/** So many in so many seconds, per the smallest unit in which that is one or more. */
export function rate(amount, length) {
  const [size, name] = units.toReversed().find(([size]) => (amount / length) * size >= 1) ?? units[0];
  return `${rough((amount / length) * size)} per ${name}`;
}

/** A moment within a chart over `length` seconds. */
export function moment(at, length) {
  if (length <= 120) return toSecond(at);
  return length <= 86400 ? toMinute(at) : toHour(at);
}

/** The same, as short as an axis needs it. */
export const tick = (at, length) => (length > 86400 ? toDay(at) : moment(at, length));
