/** Plotly charts in the page's own colours; each figure comes from the page's JSON. */

import { fetchJSON } from "./client.js";

const dark = matchMedia("(prefers-color-scheme: dark)");
const drawn = new Map();
let plotly = null;

/** Draw every chart of a page whose data is at `address`. */
export async function drawCharts(root, address) {
  const places = [...root.querySelectorAll("[data-figure]")];
  if (places.length === 0) return;
  try {
    const [data] = await Promise.all([fetchJSON(address), loadPlotly()]);
    for (const place of places) draw(place, data);
  } catch (error) {
    for (const place of places) place.textContent = `This chart cannot be drawn: ${error.message}`;
  }
}

/** Draw the charts again with newer data; figures that were not there before are passed over. */
export async function redrawCharts(root, data) {
  const places = [...root.querySelectorAll("[data-figure]")];
  if (places.length === 0) return;
  await loadPlotly();
  for (const place of places) draw(place, data);
}

function draw(place, data) {
  const figure = at(data, place.dataset.figure);
  if (!figure) return;
  drawn.set(place, figure);
  if (!place.querySelector(".plot-container")) place.replaceChildren();
  const { traces, layout } = dressed(figure);
  window.Plotly.react(place, traces, layout, { responsive: true, displayModeBar: false });
}

function at(data, path) {
  return path.split("/").reduce((held, key) => held?.[key], data);
}

function loadPlotly() {
  plotly ??= new Promise((resolve, reject) => {
    const script = document.createElement("script");
    script.src = document.body.dataset.plotly;
    script.addEventListener("load", resolve);
    script.addEventListener("error", () => reject(new Error("Plotly did not load")));
    document.head.append(script);
  });
  return plotly;
}

function dressed({ data = [], layout = {} }) {
  const style = getComputedStyle(document.documentElement);
  const colour = (name) => style.getPropertyValue(`--${name}`).trim();
  const palette = [1, 2, 3, 4, 5, 6].map((number) => colour(`chart-${number}`));
  const axis = {
    gridcolor: colour("line"),
    linecolor: colour("line"),
    zerolinecolor: colour("line"),
    automargin: true,
    fixedrange: true,
  };
  return {
    traces: data.map((trace) => ({ ...trace, line: { width: 2, ...trace.line } })),
    layout: {
      ...layout,
      colorway: palette,
      paper_bgcolor: "transparent",
      plot_bgcolor: "transparent",
      font: { family: style.fontFamily, size: 13, color: colour("muted") },
      margin: { t: 12, r: 12, b: 44, l: 52 },
      showlegend: data.length > 1,
      legend: { orientation: "h", y: 1.02, yanchor: "bottom", x: 0 },
      hovermode: "x unified",
      hoverlabel: { bgcolor: colour("surface"), font: { color: colour("ink") } },
      dragmode: false,
      xaxis: { ...axis, ...layout.xaxis },
      yaxis: { ...axis, ...layout.yaxis },
    },
  };
}

dark.addEventListener("change", () => {
  for (const [place, figure] of drawn) {
    const { traces, layout } = dressed(figure);
    window.Plotly.react(place, traces, layout);
  }
});
