/* The page of runs: two ways of training side by side on every number that both have, each with its interval. The data stand in
   the page as JSON (see fairnc_book/comparer.py). What is chosen stands in the address. */
(() => {
  "use strict";

  const WIDTH = 150, HEIGHT = 26; // px of the small picture in each row

  function create(tag, attributes = {}, ...children) {
    const element = Object.assign(document.createElement(tag), attributes);
    element.append(...children);
    return element;
  }

  function digits(value) {
    if (value === null || value === undefined) return "–";
    const size = Math.abs(value);
    const text = size !== 0 && size < 1e-3 ? value.toExponential(2) : value.toPrecision(3);
    return (text.includes("e+") ? String(Math.round(value)) : text).replace("-", "−");
  }

  function name(run) {
    const nc3 = run.regularizer === "none" ? "no NC3" : `NC3 ${run.regularizer}, λ = ${run.lam}`;
    const seeds = run.seeds > 1 ? `, ${run.seeds} seeds` : "";
    return `${run.method === "base" ? "before training" : `${run.method}, ${nc3}`} (${run.origin}${seeds})`;
  }

  function cell(found) {
    const bounds = found.low === null ? [] :
      [create("br"), create("small", { textContent: `[${digits(found.low)}, ${digits(found.high)}]` })];
    return create("td", { className: "data" }, digits(found.value), ...bounds);
  }

  /* Both intervals on the row's own scale: a dot for the first run, a square for the second, a dashed line at the ideal. */
  function picture(found, ideal) {
    const svg = (tag, attributes) => {
      const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
      for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
      return element;
    };
    const ends = found.flatMap(({ value, low, high }) => [value, low ?? value, high ?? value]);
    const [least, most] = [Math.min(...ends), Math.max(...ends)];
    const x = (value) => 8 + (WIDTH - 16) * (most > least ? (value - least) / (most - least) : 0.5);
    const root = svg("svg", { width: WIDTH, height: HEIGHT, "aria-hidden": "true", class: "pair" });
    if (ideal !== null && ideal >= least && ideal <= most)
      root.append(svg("line", { x1: x(ideal), x2: x(ideal), y1: 0, y2: HEIGHT, class: "ideal" }));
    found.forEach(({ value, low, high }, i) => {
      const y = i ? HEIGHT - 7 : 7, run = i ? "second" : "first";
      if (low !== null) root.append(svg("line", { x1: x(low), x2: x(high), y1: y, y2: y, class: run }));
      root.append(i ? svg("rect", { x: x(value) - 3.5, y: y - 3.5, width: 7, height: 7, class: run })
        : svg("circle", { cx: x(value), cy: y, r: 4, class: run }));
    });
    return root;
  }

  function build(widget) {
    const data = JSON.parse(widget.querySelector("script").textContent);
    const runs = data.runs.map((run) => new Map(run.at.map((at, k) =>
      [at, { value: run.value[k], low: run.ci_low[k], high: run.ci_high[k] }])));
    const select = (entries, value) => {
      const control = create("select", {}, ...entries.map(([key, text]) => create("option", { value: key, textContent: text })));
      control.value = value;
      return control;
    };
    const entries = data.runs.map((run, i) => [String(i), name(run)]);
    const first = select(entries, String(data.first)), second = select(entries, String(data.second));
    const benchmarks = [...new Set(data.numbers.map(([benchmark]) => benchmark))];
    const only = select([["", "all"], ...benchmarks.map((text) => [text, text])], "");
    const apart = create("input", { type: "checkbox" });
    const field = (text, control) => create("label", {}, create("span", { textContent: text }), control);
    const form = create("form", { className: "controls" }, field("First run ●", first), field("Second run ■", second),
      field("Benchmark", only), field("Only intervals that do not touch", apart));
    const said = create("p", { className: "said" });
    said.setAttribute("aria-live", "polite");
    const body = create("div", { className: "scrolls", tabIndex: 0, role: "region", ariaLabel: "Numbers of both runs" });

    function line(at, pair) {
      const [, of, metric, ideal] = data.numbers[at];
      const target = parseFloat(ideal);
      return create("tr", {}, create("th", { scope: "row" }, metric, create("br"), create("small", { textContent: of })),
        create("td", { textContent: ideal }), cell(pair[0]), cell(pair[1]),
        create("td", { className: "data", textContent: digits(pair[1].value - pair[0].value) }),
        create("td", {}, picture(pair, Number.isNaN(target) ? null : target)));
    }

    /* One benchmark, folded unless it is the only one or the first: all of them are a page of many screens. */
    function section(benchmark, lines, open) {
      const heads = ["number", "ideal", "first ●", "second ■", "second − first", "with intervals"];
      const count = `${lines.length} number${lines.length === 1 ? "" : "s"}`;
      return create("details", { open }, create("summary", { textContent: `${benchmark}: ${count}` }), create("table", {},
        create("caption", { textContent: benchmark, className: "visually-hidden" }),
        create("thead", {}, create("tr", {}, ...heads.map((text) => create("th", { scope: "col", textContent: text })))),
        create("tbody", {}, ...lines)));
    }

    function update() {
      const [a, b] = [runs[first.value], runs[second.value]];
      const separate = (pair) => pair.every(({ low }) => low !== null) &&
        (pair[0].high < pair[1].low || pair[1].high < pair[0].low);
      const tables = new Map();
      let shared = 0, differ = 0, judged = 0;
      data.numbers.forEach(([benchmark], at) => {
        if (!a.has(at) || !b.has(at) || (only.value && only.value !== benchmark)) return;
        const pair = [a.get(at), b.get(at)];
        shared += 1;
        judged += pair.every(({ low }) => low !== null);
        differ += separate(pair);
        if (apart.checked && !separate(pair)) return;
        tables.set(benchmark, [...(tables.get(benchmark) ?? []), line(at, pair)]);
      });
      body.replaceChildren(...[...tables].map(([benchmark, lines], i) => section(benchmark, lines, i === 0)));
      said.textContent = shared === 0 ? "These two runs have no number in common." :
        `${shared} numbers in common; of the ${judged} with intervals on both sides, ${differ} have intervals that do not touch.`;
    }

    /* Runs are named in the address, since their places change from build to build. */
    const remember = () => BookState.write({
      first: name(data.runs[first.value]), second: name(data.runs[second.value]), only: only.value, apart: apart.checked,
    });

    function recall() {
      const state = BookState.read(), names = data.runs.map(name);
      for (const [control, said] of [[first, state.first], [second, state.second]])
        if (names.includes(said)) control.value = String(names.indexOf(said));
      if (["", ...benchmarks].includes(state.only ?? "")) only.value = state.only ?? "";
      apart.checked = state.apart === "true";
      update();
    }

    form.addEventListener("submit", (event) => event.preventDefault());
    form.addEventListener("change", () => { update(); remember(); });
    window.addEventListener("hashchange", recall);
    widget.append(form, said, body);
    recall();
  }

  document.addEventListener("DOMContentLoaded", () => document.querySelectorAll('[data-widget="runs"]').forEach(build));
})();
