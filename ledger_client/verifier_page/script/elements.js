/* Elements of the page. Text gets in as text nodes alone; what is no word of ours is isolated in its own direction. */

/** An element with attributes and children: elements, texts, and pieces of sentences. */
function element(tag, attributes, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children.flat().map((child) => (child?.fact === undefined ? child : isolated(child.fact))));
  return made;
}

function isolated(text) {
  const made = document.createElement("bdi");
  made.textContent = text;
  return made;
}

const foreign = (text) => ({ fact: printable(String(text)) });

/** A table; rows of cells, each a list of pieces, with the class of its column. It scrolls by itself where it must. */
function dataTable(label, heads, rows, classes = []) {
  const head = element("tr", {}, heads.map((key) => element("th", { scope: "col" }, pieces(key))));
  const body = rows.map(([first, ...cells]) =>
    element("tr", {}, element("th", { scope: "row" }, first),
      cells.map((cell, at) => element("td", { class: classes[at + 1] ?? "" }, cell))));
  const table = element("table", {}, element("thead", {}, head), element("tbody", {}, body));
  return element("div", { class: "wide", tabindex: "0", role: "region", "aria-label": plainText(label) }, table);
}

/** A list of terms, each with its pieces. */
function facts(rows) {
  return element("dl", {}, rows.flatMap(([key, content]) => [
    element("dt", {}, pieces(key)), element("dd", {}, content),
  ]));
}
