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

  async function draw(element) {
    if (figures.has(element)) return;
    const figure = JSON.parse(element.querySelector("script").textContent);
    figures.set(element, figure.layout.template ?? {});
    delete figure.layout.width; // the column decides
    figure.layout.template = pageTemplate(figures.get(element));
    const plot = document.createElement("div");
    element.append(plot);
    await Plotly.newPlot(plot, { ...figure, config });
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
