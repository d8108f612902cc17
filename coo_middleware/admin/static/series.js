// Series as the API tells them, made ready to be drawn.

export const sum = (values) => values.reduce((total, value) => total + (value ?? 0), 0);

/** The values of one line, zeros where the API tells of none. */
export function lineOf(series, label) {
  return series.lines.find((line) => line.label === label)?.values ?? series.times.map(() => 0);
}

/** All lines added up, step by step. */
export function addUp(series) {
  return series.times.map((_, step) => sum(series.lines.map((line) => line.values[step])));
}

/** Lines of several series at the times of the longest, `gap` where one has none: a series without counters has no
 * times at all, and a second may begin between two answers. */
export function join(lines, gap) {
  const longest = lines.reduce((one, other) => (other.series.times.length > one.series.times.length ? other : one));
  const { times, step_seconds: step } = longest.series;
  const values = lines.map(({ series, label }) => {
    const found = new Map(series.times.map((at, place) => [at, lineOf(series, label)[place]]));
    return times.map((at) => found.get(at) ?? gap);
  });
  return { times, values, step };
}

/** Sums over `steps` steps each, cut at multiples of their length, so that they do not move from refresh to refresh. */
export function fold({ times, values, step }, steps) {
  const width = step * steps;
  const starts = [...new Set(times.map((at) => Math.floor(at / width) * width))];
  const place = new Map(starts.map((at, index) => [at, index]));
  const folded = values.map((line) => {
    const sums = starts.map(() => 0);
    line.forEach((value, index) => (sums[place.get(Math.floor(times[index] / width) * width)] += value));
    return sums;
  });
  return { times: starts, values: folded, step: width };
}

/** Each line on top of those before it. */
export function stack(values) {
  let floor = [];
  return values.map((line) => (floor = line.map((value, step) => value + (floor[step] ?? 0))));
}

/** What was reused of what could have been, step by step; null where there was nothing. */
export function hitRatios(requests) {
  const reused = ["hit", "stale", "collapsed"].map((label) => lineOf(requests, label));
  const misses = lineOf(requests, "miss");
  return misses.map((miss, step) => {
    const saved = sum(reused.map((line) => line[step]));
    return saved + miss ? saved / (saved + miss) : null;
  });
}
