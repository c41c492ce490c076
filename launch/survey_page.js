"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const COUNTRY = 0, AGE = 1, YEAR = 2, N = 3, EFFECTIVE = 4, FLOOR = 5, SHARES = 6, SVG = "http://www.w3.org/2000/svg";
const thin = (n) => String(n).replace(/\B(?=(\d{3})+$)/g, "\u202f");
const make = (name, text, kind) => {
  const node = document.createElement(name);
  if (text !== undefined) node.textContent = text;
  if (kind) node.className = kind;
  return node;
};
const position = (shares) => shares.reduce((sum, share, i) => sum + share * i, 0) / shares.reduce((a, b) => a + b, 0);
const bar = (shares, hues, options, who) => {
  const svg = document.createElementNS(SVG, "svg"), total = shares.reduce((a, b) => a + b, 0);
  svg.setAttribute("viewBox", "0 0 1000 10");
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("role", "img");
  const percent = (share) => `${(100 * share / total).toFixed(1)}%`;
  svg.setAttribute("aria-label", `${who}: ${options.map((option, i) => `${option} ${percent(shares[i])}`).join(", ")}`);
  let left = 0;
  shares.forEach((share, i) => {
    if (!share) return;
    const rect = document.createElementNS(SVG, "rect"), title = document.createElementNS(SVG, "title");
    const width = 1000 * share / total;
    for (const [name, value] of [["x", left], ["y", 0], ["width", width], ["height", 10]]) rect.setAttribute(name, value.toFixed(1));
    rect.style.fill = hues[i];
    title.textContent = `${who}: ${options[i]} ${percent(share)}`;
    rect.append(title);
    svg.append(rect);
    left += width;
  });
  return svg;
};
const line = (label, note, row, hues, options, who) => {
  const tr = make("tr"), head = make("th", label);
  head.scope = "row";
  if (note) head.append(make("small", note));
  const cell = make("td", undefined, "bars");
  cell.append(bar(row.slice(SHARES), hues, options, who));
  const known = row[N] > 0;
  tr.append(head, cell, make("td", known ? thin(row[N]) : "—", "n"), make("td", known ? thin(row[EFFECTIVE]) : "—", "n extra"),
    make("td", row[FLOOR] === null ? "—" : row[FLOOR].toFixed(3), "n"), make("td", data.years[row[YEAR]].replace("-", "–") || "—", "n extra"));
  return tr;
};
const draw = (chart) => {
  const article = chart.closest("article"), hues = article.dataset.hues.split("|"), by = document.getElementById("sort").value;
  const options = [...article.querySelectorAll(".options li")].map((li) => li.textContent.trim());
  const rows = data.items[article.dataset.item], whole = rows.filter((row) => !data.ages[row[AGE]]);
  const key = (row) => by === "n" ? -row[N] : article.dataset.ordered === "yes" ? position(row.slice(SHARES)) : -row[SHARES];
  const name = (row) => data.countries[row[COUNTRY]];
  const order = (a, b) => (by === "name" ? 0 : key(a) - key(b)) || name(a).localeCompare(name(b), "en");
  const table = make("table"), top = table.createTHead().insertRow(), body = table.createTBody();
  for (const [title, kind] of [["", ""], ["share of answers", "bars"], ["n", "n"], ["effective n", "n extra"], ["floor", "n"], ["asked", "n extra"]]) {
    const th = make("th", title, kind);
    th.scope = "col";
    top.append(th);
  }
  if (chart.dataset.kind === "country") {
    if (whole.length > 1) {
      const sums = options.map((_, i) => whole.reduce((sum, row) => sum + row[SHARES + i], 0) / whole.length);
      const tr = line("mean of countries", "", [0, 0, 0, 0, 0, null, ...sums], hues, options, "Mean of countries");
      for (const cell of [...tr.cells].slice(2)) cell.textContent = "";
      tr.className = "all";
      body.append(tr);
    }
    for (const row of [...whole].sort(order)) body.append(line(name(row), "", row, hues, options, name(row)));
  } else {
    const places = [...new Set(rows.filter((row) => data.ages[row[AGE]]).map((row) => row[COUNTRY]))];
    const stand = (place) => whole.find((row) => row[COUNTRY] === place) ?? rows.find((row) => row[COUNTRY] === place);
    for (const place of places.sort((a, b) => order(stand(a), stand(b)))) {
      rows.filter((row) => row[COUNTRY] === place && data.ages[row[AGE]]).forEach((row, i) => {
        const age = data.ages[row[AGE]].replace("-", "–"), tr = line(i ? "" : name(row), age, row, hues, options, `${name(row)}, ${age}`);
        if (!i) tr.className = "first";
        body.append(tr);
      });
    }
  }
  chart.replaceChildren(table);
  chart.style.minHeight = "";
  chart.dataset.drawn = "yes";
};
const charts = [...document.querySelectorAll(".chart")];
const watch = new IntersectionObserver((seen) => {
  for (const one of seen) {
    if (one.isIntersecting && one.target.dataset.drawn !== "yes") draw(one.target);
  }
}, { rootMargin: "600px" });
for (const chart of charts) {
  chart.style.minHeight = `${1.32 * chart.dataset.rows + 3}rem`;
  watch.observe(chart);
}
for (const article of document.querySelectorAll(".question")) {
  const hues = article.dataset.hues.split("|");
  article.querySelectorAll(".options .key").forEach((key, i) => { key.style.background = hues[i]; });
}
document.getElementById("sort").addEventListener("change", () => {
  for (const chart of charts) if (chart.dataset.drawn === "yes") draw(chart);
});
addEventListener("beforeprint", () => charts.forEach((chart) => chart.dataset.drawn === "yes" || draw(chart)));
const questions = [...document.querySelectorAll(".question")].map((node) => [node, node.dataset.text.toLowerCase()]);
const entries = [...document.querySelectorAll(".toc li")], search = document.getElementById("search");
search.addEventListener("input", () => {
  const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
  let shown = 0;
  for (const [node, text] of questions) {
    node.hidden = !words.every((word) => text.includes(word));
    shown += !node.hidden;
  }
  for (const entry of entries) entry.hidden = document.querySelector(entry.querySelector("a").getAttribute("href")).hidden;
  document.getElementById("found").textContent = words.length ? `${shown} of ${questions.length} questions` : "";
});
document.documentElement.dataset.ready = "yes";
