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
const make = (tag, parent, text = "", kind = "") => {
  const node = document.createElement(tag);
  node.textContent = text;
  if (kind) node.className = kind;
  parent?.append(node);
  return node;
};
const words = (input) => input.value.toLowerCase().split(/\s+/).filter(Boolean);
const evidence = document.getElementById("trace-data");
if (evidence) {
  const PAGE = 50, get = (id) => document.getElementById(id);
  const { people, legend } = JSON.parse(evidence.textContent);
  const colour = Object.fromEntries(legend.map(([arm, , number]) => [arm, number]));
  const [search, country, right, arm] = ["search", "trace-country", "trace-right", "trace-arm"].map(get);
  const decisions = (trace) => trace.questions.flatMap((q) => q.decisions.map((d) => ({ ...d, right: d.answer === q.own })));
  const arms = [...new Set(people.flatMap((trace) => decisions(trace).map((d) => d.arm)))];
  const fill = (select, values) => values.forEach((value) => { make("option", select, value).value = value; });
  fill(country, [...new Set(people.map((trace) => trace.country))].sort());
  fill(arm, arms);
  const written = (value) => typeof value === "string" ? value : value && typeof value === "object" ? Object.values(value).map(written).join(" ") : "";
  const texts = new Map();
  const text = (trace) => {
    const said = (q) => [q.text, q.options[q.own], q.decisions.map((d) => [d, q.options[d.answer]])];
    if (!texts.has(trace)) texts.set(trace, written({ ...trace, questions: trace.questions.map(said) }).toLowerCase());
    return texts.get(trace);
  };
  const wanted = (trace) => {
    if (country.value && trace.country !== country.value) return false;
    const mine = decisions(trace).filter((d) => !arm.value || d.arm === arm.value);
    if (!mine.length) return false;
    if (right.value === "right" && !mine.some((d) => d.right)) return false;
    if (right.value === "wrong" && mine.every((d) => d.right)) return false;
    const other = (q) => {
      const of = q.decisions.find((d) => d.arm === arm.value)?.answer;
      return new Set(q.decisions.map((d) => d.answer)).size > 1 && (!arm.value || q.decisions.some((d) => d.answer !== of));
    };
    if (right.value === "differ" && !trace.questions.some(other)) return false;
    return words(search).every((word) => text(trace).includes(word));
  };
  const tick = (question, answer) => `${question.options[answer]} ${answer === question.own ? "✓" : "✗"}`;
  const voice = (cell, question, [code, rank, weight, stressed, revised, first, answer, reason, check, revision]) => {
    const state = (stressed ? ", under stress" : "") + (revised ? ", revised" : "");
    const moved = revised && first !== answer ? `${question.options[first]} → ` : "";
    make("div", cell, `${code} ${rank}${state}, ${weight.toFixed(2)} → ${moved}${question.options[answer] ?? "?"}`);
    if (reason) make("small", cell, reason);
    if (check) make("small", cell, `check: ${check}`);
    if (revision) make("small", cell, `revised: ${revision}`);
  };
  const decision = (body, question, mind, d) => {
    const row = body.insertRow(), head = make("th", row);
    head.scope = "row";
    make("i", head, "", `key arm-${colour[d.arm]}`);
    head.append(d.arm);
    const answer = make("td", row, tick(question, d.answer));
    make("small", answer, `${(100 * d.share).toFixed(0)}% of the vote`);
    if (d.plain !== null) make("small", answer, `without stages: ${tick(question, d.plain)}`);
    if (d.concluded && d.concluded !== question.options[d.answer]) make("small", answer, `concluded itself: ${d.concluded}`);
    const type = make("td", row, mind.type);
    if (mind.why) make("small", type, mind.why);
    const voices = make("td", row), stress = make("td", row);
    d.voices.forEach((one) => voice(voices, question, one));
    mind.stress.forEach(([fact, level, kept, reason]) => {
      make(kept ? "b" : "span", make("div", stress), `${fact} ${level}`);
      if (reason) make("small", stress, reason);
    });
    if (!d.explanation) return;
    const said = body.insertRow().insertCell();
    said.colSpan = 5;
    said.className = "said";
    said.textContent = d.explanation;
    if (d.cited.length) make("small", said, `named first: ${d.cited.join(" and ")}`);
  };
  const open = (box, trace) => trace.questions.forEach((question) => {
    const line = make("p", box);
    make("b", line, question.text);
    line.append(` The person answered “${question.options[question.own]}”.`);
    const table = make("table", make("div", box, "", "scroll")), top = table.createTHead().insertRow();
    for (const title of ["Arm", "Answer", "Type", "Functions, weight → answer", "Stress of features (kept ones bold)"]) make("th", top, title).scope = "col";
    const body = table.createTBody();
    question.decisions.forEach((d) => decision(body, question, trace.minds[d.arm], d));
  });
  const entry = (trace) => {
    const box = make("details", null, "", "trace"), line = make("summary", box);
    make("b", line, trace.person);
    make("span", line, [trace.country, ...trace.facts].join(", "));
    const all = decisions(trace), score = (name) => all.filter((d) => d.arm === name);
    make("span", line, arms.filter((name) => score(name).length).map((name) => `${name} ${score(name).filter((d) => d.right).length}/${score(name).length}`).join(" · "));
    box.addEventListener("toggle", () => { if (box.open && box.children.length === 1) open(box, trace); });
    return box;
  };
  let found = [], shown = 0;
  const more = () => {
    get("people").append(...found.slice(shown, shown + PAGE).map(entry));
    shown = Math.min(shown + PAGE, found.length);
    get("trace-more").hidden = shown === found.length;
    get("found").textContent = `${found.length} of ${people.length} people` + (shown < found.length ? `, first ${shown} listed` : "");
  };
  const browse = () => {
    found = people.filter(wanted);
    shown = 0;
    get("people").replaceChildren();
    more();
  };
  search.addEventListener("input", browse);
  for (const select of [country, right, arm]) select.addEventListener("change", browse);
  get("trace-more").addEventListener("click", more);
  browse();
}
const { strings, rows } = JSON.parse(document.getElementById("estimates").textContent);
const TEXTS = 5, METHOD = 9, MOST = 50, query = document.getElementById("query");
const list = () => {
  const asked = words(query);
  const hits = rows.filter((row) => {
    const text = row.slice(0, TEXTS).map((i) => strings[i]).join(" ").toLowerCase();
    return asked.every((word) => text.includes(word));
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
