/* Search: each page that was found leads to its section that says most of the words looked for, and below it stands what is
   around the first of them. The texts are in a script of their own (texts.js), since browsers refuse to fetch pages that are
   read from disk: page → anchor, heading and text of each section. */
(() => {
  "use strict";

  const REACH = 90; // characters before and after

  function snippet(text, words) {
    const low = text.toLowerCase();
    const places = words.map((word) => low.indexOf(word)).filter((at) => at >= 0);
    if (!places.length) return null;
    const at = Math.min(...places), start = Math.max(0, at - REACH), end = Math.min(text.length, at + REACH);
    const cut = text.slice(start && low.indexOf(" ", start) + 1, end < text.length ? low.lastIndexOf(" ", end) : end);
    return `${start ? "… " : ""}${cut}${end < text.length ? " …" : ""}`;
  }

  /* The section with most of the words; of equal ones the first that has one in its heading, else the first. */
  function best(sections, words) {
    const count = (text) => words.filter((word) => text.toLowerCase().includes(word)).length;
    const points = ([, heading, text]) => count(`${heading} ${text}`) + count(heading) / (words.length + 1);
    return sections.reduce((first, next) => (points(next) > points(first) ? next : first));
  }

  function explain(item, words) {
    const link = item.querySelector("a");
    if (!link || item.querySelector("p.context")) return;
    const page = decodeURI(link.pathname).replace(/\.html$/, "");
    const name = Object.keys(window.BookTexts).find((each) => page.endsWith(`/${each}`));
    if (!name) return;
    const named = decodeURI(link.hash.slice(1)), sections = window.BookTexts[name];
    const [anchor, heading, text] = sections.find(([each]) => named && each === named) ?? best(sections, words);
    const found = snippet(text, words) ?? (heading && snippet(heading, words) ? `${text.slice(0, 2 * REACH)} …` : null);
    if (!found) return;
    if (!named && anchor) link.hash = anchor;
    const context = Object.assign(document.createElement("p"), { className: "context", textContent: found });
    if (heading) context.prepend(Object.assign(document.createElement("strong"), { textContent: heading }), ": ");
    item.append(context);
  }

  document.addEventListener("DOMContentLoaded", () => {
    const results = document.getElementById("search-results");
    const words = (new URLSearchParams(location.search).get("q") ?? "").toLowerCase().split(/\s+/).filter(Boolean);
    if (!results || !words.length) return;
    const all = () => results.querySelectorAll("li").forEach((item) => explain(item, words));
    new MutationObserver(all).observe(results, { childList: true, subtree: true });
    all();
  });
})();
