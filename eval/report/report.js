"use strict";
// What the page does with what stands on it: theme, arms shown or hidden, tables sorted, numbers said when pointed at.
const root = document.documentElement, every = (selector, within = document) => [...within.querySelectorAll(selector)];

const theme = document.getElementById("theme");
const isDark = () => (root.dataset.theme ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";
const nameTheme = () => { theme.textContent = isDark() ? "Light" : "Dark"; };
theme.addEventListener("click", () => { root.dataset.theme = isDark() ? "light" : "dark"; nameTheme(); });
theme.hidden = false;
theme.setAttribute("aria-label", "Change between light and dark");
nameTheme();

let cellTip = () => "", cellValue = () => null;
for (const table of every("table.sortable")) {
  every("thead button", table).forEach((button, column) => button.addEventListener("click", () => {
    const head = button.parentElement, up = head.ariaSort !== "ascending", body = table.tBodies[0];
    every("thead th", table).forEach((th) => { th.ariaSort = null; });
    head.ariaSort = up ? "ascending" : "descending";
    const value = (row) => {
      const cell = row.cells[column];
      if (cell.dataset.e) return cellValue(cell);
      return cell.dataset.sort ?? (head.classList.contains("n") ? null : cell.textContent);
    };
    const order = (a, b) => {
      const x = value(a), y = value(b);
      if (x === null || y === null) return (x === null) - (y === null);
      const gap = isNaN(x) || isNaN(y) ? `${x}`.localeCompare(`${y}`) : x - y;
      return up ? gap : -gap;
    };
    body.append(...[...body.rows].sort(order));
  }));
}

// Whatever is an arm's has the class s0, s1 …: one sheet hides it everywhere.
const panel = document.getElementById("arms"), boxes = every("input[data-arm]", panel), levels = every("input[data-of]", panel);
const sheet = document.head.appendChild(document.createElement("style"));
const hidden = () => {
  const out = new Set(levels.filter((box) => !box.checked).flatMap((box) => box.dataset.of.trim().split(" ")));
  boxes.filter((box) => !box.checked).forEach((box) => out.add(box.dataset.arm));
  return out;
};
const hiddenArms = () => { const out = hidden(); return new Set(boxes.filter((box) => out.has(box.dataset.arm)).map((box) => box.value)); };
const rowsClosed = (figure, out) => {
  const series = figure.dataset.rows.split(" "), pitch = Number(figure.dataset.pitch), gone = series.map((one) => out.has(one));
  const above = (index) => gone.slice(0, index).filter(Boolean).length * pitch;
  for (const mark of every("path, use, text", figure)) {
    if (mark.closest("defs")) continue;
    const own = series.indexOf(mark.getAttribute("class")?.slice(1));
    const by = above(own < 0 ? series.length : own);
    mark.style.transform = by ? `translateY(${-by}px)` : "";
  }
  const [x, y, width, height] = (figure.dataset.box ??= figure.getAttribute("viewBox")).split(" ").map(Number);
  const left = height - above(series.length);
  figure.setAttribute("viewBox", `${x} ${y} ${width} ${left}`);
  figure.setAttribute("height", `${left}pt`);
};
const filter = () => {
  const out = hidden(), left = boxes.length - out.size;
  sheet.textContent = out.size ? [...out].map((one) => `.s${one}`).join(",") + "{display:none}" : "";
  document.getElementById("shown").textContent = out.size ? `${left} of ${boxes.length}` : `all ${boxes.length}`;
  for (const table of every("table.sortable")) {
    const heads = every("thead th", table);
    if (!heads.some((head) => head.dataset.s)) continue;
    const gone = heads.map((head) => out.has(head.dataset.s));
    for (const row of table.rows) [...row.cells].forEach((cell, column) => { cell.hidden = gone[column]; });
  }
  for (const figure of every("figure svg[data-rows]")) rowsClosed(figure, out);
  for (const figure of every("figure")) {
    const own = every("svg [class]", figure).map((mark) => mark.getAttribute("class").slice(1));
    figure.classList.toggle("empty", own.length > 0 && own.every((one) => out.has(one)));
  }
  for (const box of boxes) box.parentElement.classList.toggle("off", out.has(box.dataset.arm));
  document.dispatchEvent(new Event("arms"));
};
const set = (on) => { [...boxes, ...levels].forEach((box) => { box.checked = on || "of" in box.dataset; }); filter(); };
panel.addEventListener("change", filter);
document.getElementById("all").addEventListener("click", () => set(true));
document.getElementById("none").addEventListener("click", () => set(false));
document.addEventListener("click", (event) => { if (!panel.contains(event.target)) panel.open = false; });
panel.hidden = boxes.length < 2;

// A mark's tip at once, also near it, by touch, and by the arrow keys in a figure that has the focus.
const tip = document.getElementById("tip"), NEAR = 12;
const say = (text, x, y) => {
  tip.hidden = !text;
  if (!text) return;
  if (tip.textContent !== text) tip.textContent = text;
  const { width, height } = tip.getBoundingClientRect(), edge = 8;
  tip.style.left = `${Math.max(edge, Math.min(x + 14, innerWidth - width - edge))}px`;
  tip.style.top = `${y + 18 + height > innerHeight ? Math.max(edge, y - height - 12) : y + 18}px`;
};
for (const title of every("figure svg g > title")) {
  title.parentElement.dataset.tip = title.textContent;
  title.remove();
}
const middle = (mark) => { const box = (mark.querySelector("use") ?? mark).getBoundingClientRect(); return [box.x + box.width / 2, box.y + box.height / 2, box.width]; };
const marks = (figure) => every("[data-tip]", figure).filter((mark) => middle(mark)[2] > 0);
const point = (figure, mark) => {
  every(".pointed").forEach((one) => one.classList.remove("pointed"));
  if (!mark) return say("");
  mark.classList.add("pointed");
  say(mark.dataset.tip, ...middle(mark));
};
for (const figure of every("figure svg")) {
  if (!figure.querySelector("[data-tip]")) continue;
  figure.setAttribute("tabindex", "0");
  figure.addEventListener("pointermove", ({ clientX, clientY }) => {
    let best = null, gap = NEAR;
    for (const mark of marks(figure)) {
      const [x, y] = middle(mark), far = Math.hypot(x - clientX, y - clientY);
      if (far < gap) [best, gap] = [mark, far];
    }
    point(figure, best);
  });
  figure.addEventListener("pointerleave", () => point(figure, null));
  figure.addEventListener("blur", () => point(figure, null));
  figure.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    const all = marks(figure), at = all.findIndex((mark) => mark.classList.contains("pointed"));
    if (all.length) point(figure, all[at < 0 ? (step > 0 ? 0 : all.length - 1) : (at + step + all.length) % all.length]);
  });
}
document.addEventListener("pointerover", (event) => {
  const cell = event.target.closest("[data-e], [data-w]");
  if (cell) say(cellTip(cell), event.clientX, event.clientY);
  else if (!event.target.closest("figure svg")) say("");
});
document.addEventListener("keydown", (event) => { if (event.key === "Escape") { say(""); panel.open = false; } });

// On paper what is folded is open; afterwards it is as it was.
let folded = [];
addEventListener("beforeprint", () => { folded = every("main details:not([open]):not(.screen):not(.trace)"); folded.forEach((box) => { box.open = true; }); });
addEventListener("afterprint", () => { folded.forEach((box) => { box.open = false; }); folded = []; });
