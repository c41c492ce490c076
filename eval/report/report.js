"use strict";
for (const table of document.querySelectorAll("table.sortable")) {
  table.querySelectorAll("thead button").forEach((button, column) => button.addEventListener("click", () => {
    const head = button.parentElement, up = head.ariaSort !== "ascending", body = table.tBodies[0];
    table.querySelectorAll("thead th").forEach((th) => { th.ariaSort = null; });
    head.ariaSort = up ? "ascending" : "descending";
    const value = (row) => row.cells[column].dataset.sort ?? (head.classList.contains("n") ? null : row.cells[column].textContent);
    const order = (a, b) => {
      const x = value(a), y = value(b);
      if (x === null || y === null) return (x === null) - (y === null);
      const gap = isNaN(x) || isNaN(y) ? x.localeCompare(y) : x - y;
      return up ? gap : -gap;
    };
    body.append(...[...body.rows].sort(order));
  }));
}
const search = document.getElementById("search");
if (search) {
  const people = [...document.querySelectorAll("details.trace")].map((node) => [node, node.textContent.toLowerCase()]);
  search.addEventListener("input", () => {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const [node, text] of people) {
      node.hidden = !words.every((word) => text.includes(word));
      shown += !node.hidden;
    }
    document.getElementById("found").textContent = `${shown} shown`;
  });
}
const { strings, rows } = JSON.parse(document.getElementById("estimates").textContent);
const TEXTS = 5, METHOD = 9, MOST = 50, query = document.getElementById("query");
const list = () => {
  const words = query.value.toLowerCase().split(/\s+/).filter(Boolean);
  const hits = rows.filter((row) => {
    const text = row.slice(0, TEXTS).map((i) => strings[i]).join(" ").toLowerCase();
    return words.every((word) => text.includes(word));
  });
  document.getElementById("rows").replaceChildren(...hits.slice(0, MOST).map((row) => {
    const line = document.createElement("tr");
    row.forEach((part, i) => {
      const cell = line.insertCell(), numeric = i >= TEXTS && i < METHOD;
      cell.textContent = !numeric ? strings[part] : part === null ? "—" : (Number.isInteger(part) ? `${part}` : part.toPrecision(4)).replace("-", "−");
      if (numeric) cell.className = "n";
      if (i === METHOD) cell.className = "long";
    });
    return line;
  }));
  document.getElementById("hits").textContent = hits.length > MOST ? `${hits.length} found, first ${MOST} shown` : `${hits.length} found`;
};
query.addEventListener("input", list);
list();
document.documentElement.dataset.ready = "yes";
