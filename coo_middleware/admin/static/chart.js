// One chart: a figure with a legend that tells the figures under the pointer, a plot, and a table of the same.

import { copy, make, makeTable, tell } from "./dom.js";
import { moment, span, tick } from "./format.js";
import { fold, join, stack, sum } from "./series.js";

const HEIGHT = 170;
// Steps of an axis of whole numbers.
const WHOLE = Array.from({ length: 13 }, (_, power) => [1, 2, 5].map((digit) => digit * 10 ** power)).flat();
const FONT = "11px system-ui, sans-serif";

/** A chart of {title, format, isSum, lines: [{name, colour, label, series}]}, where `series` names one of what `load`
 * gives. Lines that are sums are stacked bars. `show` draws what was loaded, `redraw` the same in other colours. */
export function makeChart(spec) {
  const figure = copy("chart");
  const part = (selector) => figure.querySelector(selector);
  const chart = { spec, figure, plot: part(".plot"), values: [], shown: null, uplot: null };
  tell(part("h2"), spec.title);
  part(".scroll").ariaLabel = `${spec.title}, as a table`;
  chart.legend = spec.lines.map((line) => makeEntry(line));
  part(".legend").append(...chart.legend.map(({ item }) => item));
  part("details").addEventListener("toggle", () => fillTable(chart));
  new ResizeObserver(() => chart.uplot?.setSize({ width: chart.plot.clientWidth, height: HEIGHT })).observe(chart.plot);
  return {
    figure,
    show: (loaded, range) => show(chart, loaded, range),
    redraw: () => chart.uplot?.redraw(false, true),
  };
}

function makeEntry({ name, colour }) {
  const swatch = make("i", { className: `swatch ${colour}` });
  const value = make("b");
  return { swatch, value, item: make("li", {}, swatch, name, " ", value) };
}

function show(chart, { series, summary }, range) {
  const lines = chart.spec.lines.map(({ series: name, label }) => ({
    series: series[name],
    label: label ?? series[name].metric,
  }));
  const joined = join(lines, chart.spec.isSum ? 0 : null);
  chart.shown = chart.spec.isSum ? fold(joined, range.fold) : joined;
  chart.length = range.seconds;
  chart.whole = chart.spec.lines.map((line, place) =>
    chart.spec.isSum ? sum(joined.values[place]) : line.of(summary.all),
  );
  const isEmpty = !chart.shown.values.some((values) => values.some(Boolean));
  chart.figure.querySelector(".empty").hidden = !isEmpty;
  chart.plot.hidden = isEmpty;
  if (!isEmpty) draw(chart);
  tellStep(chart, chart.uplot?.cursor.idx);
  fillTable(chart);
}

function draw(chart) {
  const { times, values, step } = chart.shown;
  const drawn = chart.spec.isSum ? stack(values).toReversed() : values;
  const data = [times.map((at) => at + step / 2), ...drawn];
  if (chart.uplot) chart.uplot.setData(data);
  else chart.uplot = new uPlot(options(chart), data, chart.plot);
}

// The tallest bars are drawn first, the others over them: the first line stays in front.
function options(chart) {
  const { spec, legend } = chart;
  const swatches = legend.map(({ swatch }) => swatch);
  const colours = (spec.isSum ? swatches.toReversed() : swatches).map((swatch) => () => getComputedStyle(swatch).color);
  const bars = uPlot.paths.bars({ size: [0.8, 24] });
  return {
    width: chart.plot.clientWidth,
    height: HEIGHT,
    padding: [8, 30, 0, 0],
    legend: { show: false },
    cursor: { y: false, drag: { x: false }, sync: { key: "coo" }, points: { show: !spec.isSum, size: 6 } },
    hooks: { setCursor: [({ cursor }) => tellStep(chart, cursor.idx)] },
    scales: { x: { range: () => bounds(chart) }, y: { range: (_, __, most) => [0, most > 0 ? most * 1.05 : 1] } },
    axes: makeAxes(chart),
    series: [
      {},
      ...colours.map((colour) =>
        spec.isSum
          ? { fill: colour, width: 0, paths: bars, points: { show: false } }
          : { stroke: colour, width: 1.75, points: { size: 4, fill: colour } },
      ),
    ],
  };
}

function bounds({ shown: { times, step } }) {
  return [times[0], times.at(-1) + step];
}

function makeAxes(chart) {
  const ink = () => getComputedStyle(chart.plot).color;
  const rule = () => getComputedStyle(chart.plot).borderTopColor;
  const incrs = chart.spec.isWhole ? { incrs: WHOLE } : {};
  const axis = { stroke: ink, font: FONT, ticks: { show: false } };
  return [
    {
      ...axis,
      grid: { show: false },
      size: 24,
      space: 72,
      values: (_, at) => at.map((one) => tick(one, chart.length)),
    },
    {
      ...axis,
      ...incrs,
      grid: { stroke: rule, width: 1 },
      size: 52,
      space: 32,
      values: (_, at) => at.map(chart.spec.format),
    },
  ];
}

/** In the legend: the figures of one step while the pointer is on it, those of the whole range otherwise. */
function tellStep(chart, step) {
  const { spec, shown, whole, length, legend, figure } = chart;
  if (!shown) return;
  const isStep = step != null && step < shown.times.length;
  const values = isStep ? shown.values.map((line) => line[step]) : whole;
  legend.forEach(({ item, value }, place) => {
    item.hidden = spec.isSum && !whole[place] && spec.lines.length > 3;
    tell(value, spec.format(values[place]));
  });
  tell(figure.querySelector(".when"), isStep ? moment(shown.times[step], length) : `${span(shown.step)} steps`);
  const told = spec.lines.map(({ name }, place) => `${name} ${spec.format(whole[place])}`);
  chart.plot.ariaLabel = `${spec.title}: ${told.join(", ")}`;
}

/** The newest step first; steps in which nothing was are left out. Filled while it is open. */
function fillTable({ figure, spec, shown, length }) {
  if (!shown || !figure.querySelector("details").open) return;
  const steps = [...shown.times.keys()].reverse().filter((step) => shown.values.some((line) => line[step]));
  const columns = spec.lines.map(({ name }, place) => ({
    name,
    kind: "number",
    of: (step) => spec.format(shown.values[place][step]),
  }));
  const time = { name: "From", of: (step) => moment(shown.times[step], length) };
  figure.querySelector(".scroll").replaceChildren(makeTable(spec.title, [time, ...columns], steps));
}
