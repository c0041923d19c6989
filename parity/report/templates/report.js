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

  function cell(tr, text, kind) {
    const td = tr.insertCell();
    if (kind) td.className = kind;
    if (text !== null) td.textContent = text;
    return td;
  }

  function render() {
    const fragment = document.createElement("tbody");
    for (const i of chosen.slice(page * PAGE, (page + 1) * PAGE)) {
      const r = rows[i], tr = fragment.insertRow(), state = texts[r[0]];
      const badge = document.createElement("span");
      badge.className = "badge " + (BADGES[state] || "");
      badge.textContent = state.replace("_", " ");
      cell(tr, null).append(badge);
      const name = document.createElement("span");
      name.className = "mono";
      name.textContent = r[ID];
      const id = cell(tr, null, "id");
      id.append(name);
      for (const said of [texts[r[10]], texts[r[11]]]) if (said) {
        const span = document.createElement("span");
        span.className = "soft";
        span.textContent = said;
        id.append(document.createElement("br"), span);
      }
      const units = texts[r[12]];
      cell(tr, show(r[3], 3) + (units ? " " + units : ""), "n");
      cell(tr, show(r[4], 3), "n");
      cell(tr, show(r[5], 2), "n");
      cell(tr, texts[r[8]], "where");
      cell(tr, texts[r[9]], "values");
      cell(tr, show(r[6], 3), "n");
      cell(tr, show(r[7], 6), "n");
    }
    if (!chosen.length) cell(fragment.insertRow(), "No comparison fits the filter.").colSpan = 9;
    body.replaceChildren(...fragment.childNodes);
    const first = page * PAGE + 1, last = Math.min((page + 1) * PAGE, chosen.length);
    const shown = chosen.length ? `rows ${first.toLocaleString("en-US")} to ${last.toLocaleString("en-US")}` : "no row";
    count.textContent = `${chosen.length.toLocaleString("en-US")} of ${rows.length.toLocaleString("en-US")} comparisons, ${shown}`;
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
