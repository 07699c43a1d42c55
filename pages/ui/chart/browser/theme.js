// Colours and fonts of charts: those of Streamlit's theme on the screen, dark on white in a saved picture.

const COARSE = matchMedia("(pointer: coarse)").matches;
const COLOUR = "(#[0-9a-fA-F]{3,8}|rgba?\\([^)|]*\\)|theme:[a-z]+)";
const PAIR = new RegExp(`^${COLOUR}\\|${COLOUR}$`);

export const pen = document.createElement("canvas").getContext("2d");

// Any CSS colour as [red, green, blue].
function rgb(colour) {
  pen.fillStyle = "#808080";
  pen.fillStyle = colour;
  const drawn = pen.fillStyle;
  if (!drawn.startsWith("#")) return drawn.match(/[\d.]+/g).slice(0, 3).map(Number);
  return [1, 3, 5].map((at) => parseInt(drawn.slice(at, at + 2), 16));
}

// What is drawn with, from two colours: dark on white, or light on black.
function themeOf({ text, back, primary, colorway, font }) {
  const mix = (share) => `rgb(${text.map((v, i) => Math.round(v * share + back[i] * (1 - share)))})`;
  const colours = {
    text: mix(1),
    muted: mix(0.72),
    grid: mix(0.12),
    background: mix(0),
    primary,
  };
  const dark = 0.299 * back[0] + 0.587 * back[1] + 0.114 * back[2] < 128;
  return { dark, colours, colorway, font, hover: mix(0.06), axis: mix(0.35) };
}

export function readTheme(element) {
  const style = getComputedStyle(element);
  const read = (name) => style.getPropertyValue(`--st-${name}`).trim();
  return themeOf({
    text: rgb(read("text-color")),
    back: rgb(read("background-color")),
    primary: read("primary-color"),
    // Commas inside rgb(…) do not separate colours.
    colorway: read("chart-categorical-colors").split(/,(?![^(]*\))/).filter(Boolean),
    font: read("font") || "sans-serif",
  });
}

// A saved picture is for paper and slides: dark on white, whatever the screen, and in a font of the system, as a picture
// has no other. Nobody waits for it, so Plotly makes the room for numbers and legend.
export function onPaper({ colorway }) {
  const font = "Helvetica, Arial, sans-serif";
  const theme = { text: [27, 31, 36], back: [255, 255, 255], primary: "#00659E", colorway, font };
  return { ...themeOf(theme), makesRoom: true };
}

// What a figure leaves open, as a Plotly template: what the figure sets wins.
export function template({ colours, colorway, font, hover, axis, makesRoom }, scale) {
  const clear = "rgba(0,0,0,0)";
  const lines = {
    fixedrange: COARSE,
    gridcolor: colours.grid,
    linecolor: colours.grid,
    tickcolor: colours.grid,
    zerolinecolor: axis,
    tickfont: { color: colours.muted },
    // Where labels may overhang is known, so Plotly need not measure each of them, and whenever it moves, once more.
    ticklabeloverflow: "allow",
    title: { font: { color: colours.muted, size: 13 * scale } },
    spikecolor: axis,
    spikedash: "solid",
    spikethickness: 1,
  };
  const withRoom = { automargin: true, title: { ...lines.title, standoff: 10 } };
  const small = { color: colours.muted, size: 12 * scale };
  return {
    layout: {
      ...(colorway.length && { colorway }),
      paper_bgcolor: clear,
      plot_bgcolor: clear,
      font: { family: font, size: 13 * scale, color: colours.text },
      title: { x: 0, xanchor: "left", font: { size: 15 * scale } },
      margin: { l: 8, r: 32, t: 40, b: 44 },
      xaxis: { ...lines, tickangle: 0, ...(makesRoom && withRoom) },
      yaxis: { ...lines, ...withRoom },
      // Only in a saved picture, below everything; on the screen the legend is of buttons.
      legend: { orientation: "h", traceorder: "normal", x: 0, xanchor: "left", yref: "container", y: 0.01,
        yanchor: "bottom", bgcolor: clear },
      hoverlabel: {
        bgcolor: hover,
        bordercolor: colours.grid,
        font: { family: font, size: 13 * scale, color: colours.text },
      },
      annotationdefaults: { font: small, arrowcolor: colours.muted },
      coloraxis: { colorbar: { outlinewidth: 0, tickfont: small } },
      dragmode: COARSE ? false : "zoom",
    },
    data: {
      heatmap: [{ colorbar: { outlinewidth: 0, tickfont: small } }],
      pie: [{ marker: { line: { color: colours.background, width: 1 } } }],
    },
  };
}

// A figure with its colours resolved for a theme, and its type and lines that many times as large.
export function resolved(text, { dark, colours }, scale) {
  const times = (value, ...names) => {
    const larger = names.filter((name) => typeof value[name] === "number").map((name) => [name, value[name] * scale]);
    return { ...value, ...Object.fromEntries(larger) };
  };
  const resolve = (key, value) => {
    if (typeof value === "string") {
      const pair = PAIR.exec(value);
      const colour = pair ? pair[dark ? 2 : 1] : value;
      return colour.startsWith("theme:") ? colours[colour.slice(6)] : colour;
    }
    if (scale === 1 || !value || typeof value !== "object") return value;
    if (key.endsWith("font") || key === "marker") return times(value, "size");
    if (key === "uniformtext") return times(value, "minsize");
    if (key === "line") return times(value, "width");
    return key === "margin" ? times(value, "l", "r", "t", "b") : value;
  };
  return JSON.parse(text, resolve).figure;
}
