/* Draws the page's plotly figures in the colours of the page: at first, when the reader switches between light and dark, and
   when the window becomes narrow or wide. The page's look goes into the figure's template, so that a figure's own settings win. */
(() => {
  "use strict";

  const narrow = window.matchMedia("(max-width: 576px)");
  const figures = new Map(); // element → the template that the figure came with
  const config = {
    responsive: true, displaylogo: false,
    showSendToCloud: false, // plotly's "share" button would send the figure to a server
    modeBarButtonsToRemove: ["select2d", "lasso2d", "autoScale2d"],
  };

  const isObject = (value) => value !== null && typeof value === "object" && !Array.isArray(value);

  function merge(base, over) {
    const merged = { ...base };
    for (const [key, value] of Object.entries(over))
      merged[key] = isObject(value) ? merge(isObject(merged[key]) ? merged[key] : {}, value) : value;
    return merged;
  }

  function pageTemplate(own) {
    const css = getComputedStyle(document.documentElement);
    const get = (name) => css.getPropertyValue(name).trim();
    const [ink, muted, grid, line, surface] =
      ["ink", "muted", "grid", "line", "surface"].map((name) => get(`--figure-${name}`));
    const axis = {
      gridcolor: grid, linecolor: line, tickcolor: line, zerolinecolor: line, automargin: true,
      tickfont: { color: muted }, title: { font: { color: ink }, standoff: 14 },
    };
    const solid = { ...axis, backgroundcolor: "rgba(0,0,0,0)" };
    const control = { bgcolor: surface, bordercolor: line, font: { color: ink } };
    return merge(own, {
      data: { bar: [{ error_x: { color: ink }, error_y: { color: ink } }] }, // plotly's default is a fixed dark grey
      layout: {
        paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
        font: { family: get("--figure-font"), size: narrow.matches ? 12 : 13, color: ink },
        title: { x: 0, xref: "paper", xanchor: "left", font: { size: 16 } },
        xaxis: axis, yaxis: axis, scene: { xaxis: solid, yaxis: solid, zaxis: solid },
        legend: { bgcolor: "rgba(0,0,0,0)" },
        hoverlabel: { bgcolor: surface, bordercolor: line, font: { color: ink } },
        modebar: { bgcolor: "rgba(0,0,0,0)", color: line, activecolor: ink },
        updatemenudefaults: control, sliderdefaults: { ...control, activebgcolor: ink, tickcolor: line },
        annotationdefaults: { arrowcolor: muted }, shapedefaults: { line: { color: muted } },
        ...(narrow.matches && {
          legend: { bgcolor: "rgba(0,0,0,0)", orientation: "h", x: 0, y: 1.02, yanchor: "bottom" },
          margin: { l: 8, r: 8, t: 24, b: 8 },
        }),
      },
    });
  }

  /* The width that panels side by side need to be readable: less for one of many that share the scale of their left neighbour. */
  function needed(layout) {
    const starts = new Map();
    for (const [key, axis] of Object.entries(layout)) {
      if (!/^xaxis\d*$/.test(key) || !axis.domain) continue;
      const shares = layout[`yaxis${axis.anchor?.slice(1) ?? ""}`]?.matches !== undefined;
      const start = axis.domain[0].toFixed(2);
      starts.set(start, (starts.get(start) ?? true) && shares);
    }
    if (starts.size < 2) return 0;
    const own = [...starts.keys()].map(Number).sort((a, b) => a - b);
    return own.reduce((sum, start, i) => sum + (i && own.length > 3 && starts.get(start.toFixed(2)) ? 70 : 290), 0);
  }

  /* Below a figure with a slider: buttons that go back, play or pause, and go on, since the keyboard does not reach plotly's
     own. Nothing starts by itself, and a step is a cut, so there is no motion that a reader did not ask for. */
  function addButtons(element, plot) {
    const steps = plot.layout.sliders?.[0]?.steps;
    if (!steps) return;
    const button = (text, act) => {
      const made = Object.assign(document.createElement("button"), { type: "button", textContent: text });
      made.addEventListener("click", act);
      return made;
    };
    const at = () => plot.layout.sliders[0].active ?? 0, last = steps.length - 1;
    const said = Object.assign(document.createElement("output"), { className: "visually-hidden" });
    let timer = null;
    function show(step) {
      const [data, layout, traces] = steps[step].args;
      said.textContent = timer ? "" : `${plot.layout.sliders[0].currentvalue?.prefix ?? ""}${steps[step].label}`;
      return Plotly.update(plot, data, { ...layout, "sliders[0].active": step }, traces);
    }
    function pause() {
      clearInterval(timer);
      timer = null;
      play.textContent = "▶ Play";
    }
    function toggle() {
      if (timer) return pause();
      timer = setInterval(() => (at() < last ? show(at() + 1) : pause()), 700);
      play.textContent = "❚❚ Pause";
      show(at() < last ? at() + 1 : 0);
    }
    const by = (steps) => () => { pause(); show(Math.min(last, Math.max(0, at() + steps))); };
    const play = button("▶ Play", toggle);
    const buttons = Object.assign(document.createElement("div"), { className: "steps", role: "group", ariaLabel: "Steps of the slider" });
    buttons.append(button("‹ Back", by(-1)), play, button("Next ›", by(1)), said);
    element.after(buttons);
    plot.on("plotly_sliderstart", pause);
  }

  async function draw(element) {
    if (figures.has(element)) return;
    const figure = JSON.parse(element.querySelector("script").textContent);
    figures.set(element, figure.layout.template ?? {});
    delete figure.layout.width; // the column decides
    figure.layout.template = pageTemplate(figures.get(element));
    const plot = document.createElement("div");
    if (needed(figure.layout)) { // on a phone such a figure keeps its panels readable and is scrolled
      plot.style.setProperty("--needed", `${needed(figure.layout)}px`);
      element.tabIndex = 0;
    }
    element.append(plot);
    await Plotly.newPlot(plot, { ...figure, config });
    addButtons(element, plot);
    element.dataset.drawn = "";
    element.dispatchEvent(new Event("drawn"));
  }

  function restyle() {
    for (const [element, own] of figures) Plotly.relayout(element.lastElementChild, { template: pageTemplate(own) });
  }

  document.addEventListener("figure", ({ target }) => draw(target)); // one that a script has added

  document.addEventListener("DOMContentLoaded", async () => {
    await window.MathJax?.startup?.promise; // formulas inside figures need it
    await Promise.all([...document.querySelectorAll(".plotly-figure")].map(draw));
    narrow.addEventListener("change", restyle);
    new MutationObserver(restyle).observe(document.documentElement, { attributeFilter: ["data-theme"] });
  });
})();
