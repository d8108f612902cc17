// The few ways in which this page is built. Names come from requests, so text only ever becomes text nodes.

export const find = (id) => document.getElementById(id);

export const copy = (id) => find(id).content.firstElementChild.cloneNode(true);

/** An element with properties and children; a string among the children is text. */
export function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

/** Sets a text, but leaves an equal one alone, so that a selection and a screen reader stay where they are. */
export function tell(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** A table; a column is {name, of(row), kind}, and `of` gives a text. The first column's cells are headings. */
export function makeTable(caption, columns, rows) {
  const head = columns.map(({ name, kind }) => make("th", { scope: "col", className: kind ?? "" }, name));
  const body = rows.map((row) => make("tr", {}, ...columns.map((column, place) => makeCell(column, row, place))));
  return make(
    "table",
    {},
    make("caption", { className: "unseen" }, caption),
    make("thead", {}, make("tr", {}, ...head)),
    make("tbody", {}, ...body),
  );
}

function makeCell({ name, of, kind }, row, place) {
  const text = of(row);
  const cell = make(place ? "td" : "th", { className: kind ?? "", title: text.length > 24 ? text : "" }, text);
  if (place) cell.dataset.name = name;
  else cell.scope = "row";
  return cell;
}
