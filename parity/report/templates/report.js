// Sorts, filters and pages the table of comparisons. Texts are set as text, never as markup.
"use strict";
(() => {
  const source = document.getElementById("comparison-data");
  const table = document.getElementById("comparisons");
  const PAGE = 100, ID = 2;
  const NUMBERS = {max_abs: 3, limit: 4, ratio: 5, rel: 6, cosine: 7};
  const TEXTS = {verdict: 0, where: 8};
  const BADGES = {PASS: "pass", FAIL: "fail", NOT_JUDGED: "not_judged"};

  // A print is a sign-off: every section is open, and the worst rows are those that need no script.
  let opened = [];
  window.addEventListener("beforeprint", () => {
    opened = [...document.querySelectorAll("details:not([open])")];
    for (const d of opened) d.open = true;
  });
  window.addEventListener("afterprint", () => { for (const d of opened) d.open = false; });

  if (!source || !table) return;
  const {texts, rows} = JSON.parse(source.textContent);
  const number = v => v === null ? null : v === "NaN" ? NaN : v === "Infinity" ? Infinity : v === "-Infinity" ? -Infinity : v;
  for (const r of rows) for (const i of Object.values(NUMBERS)) r[i] = number(r[i]);
  const haystack = rows.map(r => [texts[r[0]], texts[r[1]], r[ID], texts[r[8]], texts[r[10]], texts[r[11]]].join("\n").toLowerCase());

  // The same figures as the rest of the page: three digits, thousands with commas.
  function show(x, digits) {
    if (x === null) return "–";
    if (Number.isNaN(x)) return "NaN";
    if (!Number.isFinite(x)) return x > 0 ? "∞" : "-∞";
    if (x === 0) return "0";
    const exact = Math.abs(x) < 1e6 && (Math.abs(x) >= 1000 || Number(x.toExponential(digits - 1).split("e")[1]) >= digits);
    if (exact) return Math.round(x).toLocaleString("en-US");
    const [mantissa, exponent] = x.toExponential(digits - 1).split("e");
    const e = Number(exponent), bare = s => s.includes(".") ? s.replace(/\.?0+$/, "") : s;
    if (e >= -4 && e < digits) return bare(x.toFixed(digits - 1 - e));
    return bare(mantissa) + "e" + (e < 0 ? "-" : "+") + String(Math.abs(e)).padStart(2, "0");
  }

  const body = table.tBodies[0];
  const controls = document.getElementById("controls");
  const words = document.getElementById("filter-text");
  const verdict = document.getElementById("filter-verdict");
  const profile = document.getElementById("filter-profile");
  const count = document.getElementById("count");
  const previous = document.getElementById("previous"), next = document.getElementById("next");
  const all = rows.map((_, i) => i);
  let chosen = all, order = all, page = 0, sorted = {key: null, falling: false};

  // The rows of a page are made once. Then only the texts that differ are set: a page's layout is what takes time.
  function part(parent, tag, kind) {
    const element = parent.appendChild(document.createElement(tag));
    if (kind) element.className = kind;
    return element.appendChild(document.createTextNode(""));
  }

  function makeRow() {
    const tr = document.createElement("tr");
    const badge = part(tr.insertCell(), "span", "badge"), id = tr.insertCell();
    id.className = "id";
    const said = [part(id, "span", "mono"), part(id, "span", "soft said"), part(id, "span", "soft said")];
    const kinds = ["n", "n", "n", "where", "values", "n", "n"];
    return {tr, badge, parts: [badge, ...said, ...kinds.map(kind => part(tr, "td", kind))]};
  }

  function fill(row, r) {
    const units = texts[r[12]], state = texts[r[0]];
    const said = [state.replace("_", " "), r[ID], texts[r[10]], texts[r[11]], show(r[3], 3) + (units ? " " + units : ""),
      show(r[4], 3), show(r[5], 2), texts[r[8]], texts[r[9]], show(r[6], 3), show(r[7], 6)];
    row.parts.forEach((text, i) => { if (text.data !== said[i]) text.data = said[i]; });
    const kind = "badge " + (BADGES[state] || ""), badge = row.badge.parentNode;
    if (badge.className !== kind) badge.className = kind;
    return row.tr;
  }

  const made = [], nothing = document.createElement("tr"), none = nothing.insertCell();
  none.colSpan = 9;
  none.textContent = "No comparison fits the filter.";

  function render() {
    const first = page * PAGE, last = Math.min(first + PAGE, chosen.length);
    while (made.length < last - first) made.push(makeRow());
    const shown = made.slice(0, last - first).map((row, i) => fill(row, rows[chosen[first + i]]));
    if (!shown.length) shown.push(nothing);
    shown.forEach((tr, i) => { if (body.rows[i] !== tr) body.insertBefore(tr, body.rows[i] || null); });
    while (body.rows.length > shown.length) body.lastElementChild.remove();
    const where = chosen.length ? `rows ${(first + 1).toLocaleString("en-US")} to ${last.toLocaleString("en-US")}` : "no row";
    count.textContent = `${chosen.length.toLocaleString("en-US")} of ${rows.length.toLocaleString("en-US")} comparisons, ${where}`;
    previous.disabled = page === 0;
    next.disabled = last >= chosen.length;
  }

  function filter() {
    const asked = words.value.toLowerCase().split(/\s+/).filter(Boolean);
    chosen = order.filter(i => (!verdict.value || texts[rows[i][0]] === verdict.value)
      && (!profile.value || texts[rows[i][1]] === profile.value) && asked.every(w => haystack[i].includes(w)));
    page = 0;
    render();
  }

  // Without a number at the end, either way; NaN is larger than any number.
  function compare(a, b) {
    if (a === b) return 0;
    if (Number.isNaN(a)) return Number.isNaN(b) ? 0 : 1;
    return Number.isNaN(b) ? -1 : a < b ? -1 : 1;
  }

  function sort() {
    const {key, falling} = sorted, sign = falling ? -1 : 1;
    if (key === null) order = all;
    else {
      const value = key in NUMBERS ? i => rows[i][NUMBERS[key]] : key === "id" ? i => rows[i][ID] : i => texts[rows[i][TEXTS[key]]];
      const keys = rows.map((_, i) => value(i));
      order = all.slice().sort((a, b) => {
        if (keys[a] === null || keys[b] === null) return (keys[a] === null) - (keys[b] === null) || a - b;
        return sign * compare(keys[a], keys[b]) || a - b;
      });
    }
    for (const th of table.tHead.rows[0].cells) if (th.dataset.key)
      th.setAttribute("aria-sort", th.dataset.key !== key ? "none" : falling ? "descending" : "ascending");
    filter();
  }

  for (const th of table.tHead.rows[0].cells) if (th.dataset.key) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = th.textContent;
    th.replaceChildren(button);
    th.setAttribute("aria-sort", "none");
    button.addEventListener("click", () => {
      const key = th.dataset.key, largest = key in NUMBERS;
      sorted = {key, falling: sorted.key === key ? !sorted.falling : largest};
      sort();
    });
  }
  words.addEventListener("input", filter);
  verdict.addEventListener("change", filter);
  profile.addEventListener("change", filter);
  previous.addEventListener("click", () => { page -= 1; render(); });
  next.addEventListener("click", () => { page += 1; render(); });
  document.getElementById("worst-first").addEventListener("click", () => {
    words.value = verdict.value = profile.value = "";
    sorted = {key: null, falling: false};
    sort();
  });
  window.addEventListener("beforeprint", () => {
    controls.hidden = true;
    body.replaceChildren(...worst.cloneNode(true).childNodes);
  });
  window.addEventListener("afterprint", () => { controls.hidden = false; render(); });
  const worst = body.cloneNode(true);
  controls.hidden = false;
  document.getElementById("without-script").hidden = true;
  render();
})();
