// What is unpacked when the page is opened: the traces of decisions, and all numbers.
const make = (tag, parent, text = "", kind = "") => {
  const node = document.createElement(tag);
  node.textContent = text;
  if (kind) node.className = kind;
  parent?.append(node);
  return node;
};
const words = (input) => input.value.toLowerCase().split(/\s+/).filter(Boolean);
const traces = ({ people, hues }) => {
  const PAGE = 50, get = (id) => document.getElementById(id);
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
    make("i", head, "", `key arm-${hues[d.arm]}`);
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
};
const numbers = ({ strings, rows }) => {
  const KIND = 0, FIRST = 1, VALUES = 6, METHOD = 10, MOST = 50;
  const query = document.getElementById("query"), kind = document.getElementById("kind");
  const shown = (value) => value === null ? "—" : (Number.isInteger(value) ? `${value}` : value.toPrecision(4)).replace("-", "−");
  const list = () => {
    const asked = words(query), hidden = hiddenArms();
    const hits = rows.filter((row) => {
      if (kind.value && row[KIND] !== Number(kind.value)) return false;
      if (hidden.size && strings[row[FIRST]].split(" − ").some((arm) => hidden.has(arm))) return false;
      const text = row.slice(FIRST, VALUES).map((i) => strings[i]).join(" ").toLowerCase();
      return asked.every((word) => text.includes(word));
    });
    document.getElementById("rows").replaceChildren(...hits.slice(0, MOST).map((row) => {
      const line = document.createElement("tr");
      row.slice(FIRST).forEach((part, i) => {
        const place = i + FIRST, numeric = place >= VALUES && place < METHOD;
        const cell = line.insertCell();
        cell.textContent = numeric ? shown(part) : strings[part];
        if (numeric) cell.className = "n";
        if (place === METHOD) cell.className = "long";
      });
      return line;
    }));
    document.getElementById("hits").textContent = hits.length > MOST ? `${hits.length} found, first ${MOST} shown` : `${hits.length} found`;
  };
  query.addEventListener("input", list);
  kind.addEventListener("change", list);
  document.addEventListener("arms", list);
  list();
  cellTip = (cell) => {
    if (cell.dataset.w) return strings[cell.dataset.w];
    const row = rows[cell.dataset.e], [value, low, high, n] = row.slice(VALUES, METHOD).map(shown);
    const [arm, , measure, group, condition] = row.slice(FIRST, VALUES).map((i) => strings[i]);
    const bounds = low === "—" || high === "—" ? "no interval" : `95% interval [${low}, ${high}]`;
    const asked = [group === "all" ? "held out" : group, condition].filter(Boolean).join(", ");
    return `${arm}, ${measure.replaceAll("_", " ")} (${asked}): ${value}, ${bounds}. n = ${n}; ${strings[row[METHOD]]}`;
  };
  cellValue = (cell) => rows[cell.dataset.e][VALUES];
};
const unpack = async (id, use) => {
  const packed = document.getElementById(id);
  if (!packed) return;
  const bytes = Uint8Array.from(atob(packed.textContent), (letter) => letter.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  use(await new Response(stream).json());
};
Promise.all([unpack("packed-numbers", numbers), unpack("packed-traces", traces)]).then(() => {
  document.documentElement.dataset.ready = "yes";
});
