/* The page of words: choose a trained model and a list, see each word's cosine, click one (or type it) for its contexts. The data
   stand in the page as JSON (see fairnc_book/explorer.py); figures.js draws the figure. What is chosen stands in the address. */
(() => {
  "use strict";

  const HEIGHT = 440; // px
  const SYMBOLS = { female: "circle", male: "diamond", others: "circle" };

  const unique = (values) => [...new Set(values)];
  const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;
  const number = (value, digits = 3) => value.toPrecision(digits).replace("-", "−");

  function create(tag, attributes = {}, ...children) {
    const element = Object.assign(document.createElement(tag), attributes);
    element.append(...children);
    return element;
  }

  function field(name, control) {
    return create("label", {}, create("span", { textContent: name }), control);
  }

  /* A select of the given values that keeps its choice where it can. */
  function fill(select, values, label = (value) => value) {
    const before = select.value;
    select.replaceChildren(...values.map((value) => create("option", { value, textContent: label(value) })));
    if (values.includes(before)) select.value = before;
  }

  /* Words of which each begins with a letter that says how many letters it shares with the one before (a: none). */
  function decode(coded) {
    const words = new Set();
    let before = "";
    for (const entry of coded.split(" ")) words.add(before = before.slice(0, entry.charCodeAt(0) - 97) + entry.slice(1));
    return words;
  }

  function build(widget) {
    const data = JSON.parse(widget.querySelector("script").textContent);
    const place = new Map(data.words.map((word, i) => [word, i]));
    const cosines = data.runs.map((run) => new Map(data.measured[run.measured].map((word, k) => [word, k])));
    const of = (run) => `${run.method === "base" ? "before training" : run.method}`;
    const nc3 = (run) => (run.regularizer === "none" ? "none" : `${run.regularizer}, λ = ${run.lam}`) + ` (${run.origin})`;

    const [model, method, regularizer, list, across] = Array.from({ length: 5 }, () => create("select"));
    const find = create("input", { type: "search", autocomplete: "off" });
    const known = create("datalist", { id: `${widget.id}-words` });
    find.setAttribute("list", known.id);
    const form = create("form", { className: "controls" }, field("Model", model), field("Method", method),
      field("NC3", regularizer), field("Words", list), field("Across", across), field("Find a word", find), known);
    const figure = create("div", { className: "plotly-figure", role: "group" });
    figure.style.height = `${HEIGHT}px`;
    const said = create("p", { className: "said" });
    const details = create("div", { className: "word-details" });
    details.setAttribute("aria-live", "polite");
    const table = create("tbody");
    const head = ["word", "cosine", "times seen", "spread"].map((text) => create("th", { textContent: text, scope: "col" }));
    const all = create("details", {}, create("summary", { textContent: "All words of this list as a table" }),
      create("div", { className: "scrolls", tabIndex: 0, role: "region", ariaLabel: "Words of the list" },
        create("table", {}, create("thead", {}, create("tr", {}, ...head)), table)));

    let run = data.runs[0], shown = [], chosen = null, rare = null;

    const row = (word) => {
      const k = cosines[data.runs.indexOf(run)].get(word);
      return k === undefined ? null : { cosine: run.cosine[k], spread: run.spread[k], count: data.counts[word] };
    };
    const before = () => data.runs.findIndex((other) => other.method === "base" && other.model === run.model);
    const base = (word) => {
      const other = before();
      const k = other < 0 ? undefined : cosines[other].get(word);
      return k === undefined ? null : data.runs[other].cosine[k];
    };

    function options(changed) {
      if (changed === undefined) fill(model, unique(data.runs.map((r) => r.model)), (name) => name.split("/").pop());
      const those = data.runs.filter((r) => r.model === model.value);
      fill(method, unique(those.map(of)));
      const these = those.filter((r) => of(r) === method.value);
      fill(regularizer, these.map(nc3));
      run = these.find((r) => nc3(r) === regularizer.value);
      fill(list, run.lists);
      fill(across, run.method === "base" || before() < 0 ? ["times seen"] : ["times seen", "cosine before training"]);
    }

    function traces() {
      const x = (word) => (across.value === "times seen" ? data.counts[word] : base(word));
      const group = (word) => data.groups[data.words[word]] ?? "others";
      const drawn = Object.keys(SYMBOLS).map((name) => {
        const those = shown.filter((word) => group(word) === name && x(word) !== null);
        return {
          type: "scatter", mode: "markers", name: name === "others" ? list.value : name,
          x: those.map(x), y: those.map((word) => row(word).cosine), text: those.map((word) => data.words[word]), customdata: those,
          marker: { color: data.colors[name], symbol: SYMBOLS[name], size: those.length > 300 ? 5 : 8, opacity: 0.85 },
          hovertemplate: "%{text}: cosine %{y:.3f}<extra></extra>", showlegend: those.length > 0,
        };
      });
      const at = chosen !== null && row(chosen) && x(chosen) !== null ? [chosen] : [];
      return [...drawn, {
        type: "scatter", mode: "markers+text", x: at.map(x), y: at.map((word) => row(word).cosine), hoverinfo: "skip",
        text: at.map((word) => data.words[word]), textposition: "top center", showlegend: false,
        marker: { color: "rgba(0,0,0,0)", size: 16, line: { color: data.colors.chosen, width: 3 } },
      }];
    }

    function layout() {
      const seen = across.value === "times seen";
      return {
        height: HEIGHT, margin: { l: 64, r: 24, t: 32, b: 56 }, legend: { orientation: "h", x: 0, y: 1.02, yanchor: "bottom" },
        xaxis: { title: { text: seen ? "times seen (log)" : "cosine before training" }, type: seen ? "log" : "linear" },
        yaxis: { title: { text: "cos(class mean, embedding)" } }, meta: {},
      };
    }

    function describe() {
      const own = shown.map((word) => row(word).cosine);
      const nc3Value = mean(own), sd = Math.sqrt(own.reduce((sum, c) => sum + (c - nc3Value) ** 2, 0) / (own.length - 1));
      said.textContent = `${own.length} words of the list “${list.value}”: mean cosine (NC3) ${number(nc3Value)}, standard ` +
        `deviation (UNC3) ${number(sd)}.`;
      figure.ariaLabel = `Scatter of ${own.length} words: cosine of class mean and embedding across ${across.value}. ` +
        said.textContent;
    }

    function explain() {
      if (chosen === null) return details.replaceChildren();
      const word = data.words[chosen], own = row(chosen);
      const facts = own ? `cosine ${number(own.cosine)}, seen ${data.counts[chosen].toLocaleString("en")} times, mean squared ` +
        `distance to its mean ${number(own.spread)}` : "not measured in this run";
      const places = data.contexts[chosen].map(([left, there, right]) =>
        create("li", {}, left, create("mark", { textContent: there }), right));
      details.replaceChildren(create("p", {}, create("strong", { textContent: word }), `: ${facts}`),
        create("ul", { ariaLabel: `Contexts of ${word} in ${data.corpus}` }, ...places));
    }

    function listAll() {
      if (!all.open) return;
      const button = (word) => create("button", { type: "button", textContent: data.words[word], onclick: () => pick(word) });
      table.replaceChildren(...[...shown].sort((a, b) => row(b).cosine - row(a).cosine).map((word) => create("tr", {},
        create("th", { scope: "row" }, button(word)), ...[number(row(word).cosine), data.counts[word], number(row(word).spread)]
          .map((text) => create("td", { textContent: text, className: "data" })))));
    }

    function draw() {
      const plot = figure.querySelector(".js-plotly-plot");
      if (plot) Plotly.react(plot, traces(), { ...layout(), template: plot.layout.template });
      explain();
    }

    function choose(word) {
      chosen = word;
      draw();
    }

    /* A word that was clicked on: the field and the address follow. */
    function pick(word) {
      find.value = data.words[word];
      choose(word);
      remember();
    }

    function update(changed) {
      options(changed);
      shown = data.lists[list.value].filter((word) => row(word));
      fill(known, shown.map((word) => data.words[word]));
      describe();
      listAll();
      draw();
    }

    /* Why a word has no cosine here. */
    function reason(text, word) {
      if (word !== undefined) {
        const where = data.runs.some((other, i) => other.method !== "base" && cosines[i].has(word));
        return `“${text}” was not measured in this run. ` + (where ? "Other runs have it." :
          "Trained models keep the words of the lists that name groups or people; choose the model before training.");
      }
      if (/[^a-z]/.test(text)) return `“${text}” is not one word of letters, so it is no class whose mean could be measured.`;
      rare ??= decode(data.rare);
      return rare.has(text)
        ? `“${text}” is too rare: ${data.corpus} has it fewer than ${data.fewest} times, and a mean of so few samples is mostly noise.`
        : `“${text}” is not a single token of this model, which reads it in pieces: no class stands for the word.`;
    }

    function look(text) {
      const word = place.get(text);
      if (word !== undefined && row(word)) return choose(word);
      chosen = null; // the mark of the word before would be read as this one's
      draw();
      if (text) details.replaceChildren(create("p", { textContent: reason(text, word) }));
    }

    const fields = { model, method, nc3: regularizer, words: list, across };
    const remember = () => BookState.write({
      ...Object.fromEntries(Object.entries(fields).map(([key, control]) => [key, control.value])),
      word: chosen === null ? find.value.trim().toLowerCase() : data.words[chosen],
    });

    /* What the address says: each field is set before those that depend on it are filled. */
    function recall() {
      const state = BookState.read();
      for (const [key, control] of Object.entries(fields)) {
        if (state[key] !== undefined && [...control.options].some(({ value }) => value === state[key])) {
          control.value = state[key];
          update(control);
        }
      }
      if (state.word !== undefined) {
        find.value = state.word;
        look(state.word);
      }
    }

    form.addEventListener("submit", (event) => event.preventDefault());
    form.addEventListener("change", ({ target }) => {
      if (target === find) look(find.value.trim().toLowerCase());
      else update(target);
      remember();
    });
    all.addEventListener("toggle", listAll);
    widget.append(form, said, figure, details, all);
    chosen = place.get("she") ?? null;
    update();
    recall();
    window.addEventListener("hashchange", recall);
    const initial = create("script", { type: "application/json" });
    initial.textContent = JSON.stringify({ data: traces(), layout: layout() });
    figure.append(initial);
    figure.addEventListener("drawn", () =>
      figure.querySelector(".js-plotly-plot").on("plotly_click", ({ points }) => pick(points[0].customdata)));
    figure.dispatchEvent(new Event("figure", { bubbles: true }));
  }

  document.addEventListener("DOMContentLoaded", () => document.querySelectorAll('[data-widget="words"]').forEach(build));
})();
