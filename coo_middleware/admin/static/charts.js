// Which charts there are, from the top left.

import { count, duration, money } from "./format.js";

/** What makeChart takes. `colour` is a class of style.css; `of` finds the whole range's figure in the summary. */
export const CHARTS = [
  {
    title: "Requests by cache status",
    format: count,
    isWhole: true,
    isSum: true,
    lines: [
      { name: "hit", series: "requests", label: "hit", colour: "green" },
      { name: "stale", series: "requests", label: "stale", colour: "amber" },
      { name: "collapsed", series: "requests", label: "collapsed", colour: "violet" },
      { name: "miss", series: "requests", label: "miss", colour: "slate" },
      { name: "bypass", series: "requests", label: "bypass", colour: "pale" },
    ],
  },
  {
    title: "Latency",
    format: duration,
    isSum: false,
    lines: [
      { name: "p50", series: "duration", label: "p50", colour: "blue", of: (all) => all.duration.p50 },
      { name: "p95", series: "duration", label: "p95", colour: "red", of: (all) => all.duration.p95 },
      {
        name: "first chunk p50",
        series: "firstChunk",
        label: "p50",
        colour: "green",
        of: (all) => all.first_chunk.p50,
      },
    ],
  },
  {
    title: "Tokens",
    format: count,
    isWhole: true,
    isSum: true,
    lines: [
      { name: "input", series: "tokens", label: "input", colour: "blue" },
      { name: "output", series: "tokens", label: "output", colour: "violet" },
      { name: "saved", series: "tokensSaved", colour: "green" },
    ],
  },
  {
    title: "Cost",
    format: money,
    isSum: true,
    lines: [
      { name: "paid", series: "cost", colour: "amber" },
      { name: "saved", series: "costSaved", colour: "green" },
    ],
  },
  {
    title: "Errors by type",
    format: count,
    isWhole: true,
    isSum: true,
    lines: [
      { name: "status", series: "failures", label: "status", colour: "red" },
      { name: "exception", series: "failures", label: "exception", colour: "plum" },
      { name: "in stream", series: "failures", label: "in_stream", colour: "amber" },
      { name: "cut", series: "failures", label: "cut", colour: "violet" },
      { name: "limited", series: "failures", label: "limited", colour: "blue" },
      { name: "client left", series: "failures", label: "client_disconnect", colour: "pale" },
    ],
  },
];
