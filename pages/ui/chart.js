// Plotly charts that follow their data and Streamlit's theme. Streamlit calls the default export on every
// change. Comments take whole lines: chart.py drops them before sending this file.

const COARSE = matchMedia("(pointer: coarse)").matches;
const COLOUR = "(#[0-9a-fA-F]{3,8}|rgba?\\([^)|]*\\)|theme:[a-z]+)";
const PAIR = new RegExp(`^${COLOUR}\\|${COLOUR}$`);
// By key. Streamlit makes a new parentElement when something above comes or goes, or on return to a page;
// the chart then moves there with its zoom, instead of being drawn anew. So none is ever removed.
const charts = new Map();
let library;

// Behind a trace's name in a hover label Plotly assumes white, as the chart itself has no background.
const sheet = new CSSStyleSheet();
sheet.replaceSync(`
  .js-plotly-plot .hovertext > rect { fill: var(--st-background-color) !important; }
  .chart-legend { display: flex; flex-wrap: wrap; gap: 0 0.25rem; padding: 0 0 0.5rem; }
  .chart-legend button { display: inline-flex; align-items: center; gap: 0.4rem; padding: 0.2rem 0.4rem;
    border: 0; border-radius: 0.3rem; background: none; cursor: pointer; color: var(--st-text-color);
    font: 0.8rem var(--st-font, sans-serif); }
  .chart-legend button:hover { background: var(--st-secondary-background-color); }
  .chart-legend button:focus-visible { outline: 2px solid var(--st-primary-color); }
  .chart-legend button[aria-pressed="false"] { opacity: 0.45; text-decoration: line-through; }
  .chart-legend span { width: 0.75rem; height: 0.75rem; border-radius: 2px; }
  .chart-legend span.line { height: 3px; width: 1.1rem; }
`);
document.adoptedStyleSheets.push(sheet);

export default function ({ data, parentElement }) {
  const text = new TextDecoder().decode(data);
  const content = JSON.parse(text);
  if (!charts.has(content.key)) charts.set(content.key, new Chart());
  const chart = charts.get(content.key);
  if (chart.box.parentElement !== parentElement) parentElement.replaceChildren(chart.box);
  chart.show(text, content);
}

// plotly.js, loaded once for all charts of the page.
function load(path) {
  library ??= fetchLibrary(path).catch((error) => {
    library = undefined;
    throw error;
  });
  return library;
}

async function fetchLibrary(path) {
  if (window.Plotly) return window.Plotly;
  // The app may live under a prefix that only the browser knows (a proxy): start from Streamlit's own files.
  const entry = document.querySelector('script[src*="/static/js/"]');
  const url = new URL(path, entry ? entry.src.split("static/js/")[0] : document.baseURI);
  // The server sends no expiry date; the version in the address makes any stored copy good.
  let answer = await fetch(url, { cache: "force-cache" });
  if (!answer.ok) answer = await fetch(url, { cache: "reload" });
  if (!answer.ok) throw new Error(`plotly.js: HTTP ${answer.status}`);
  const script = document.createElement("script");
  script.src = URL.createObjectURL(await answer.blob());
  await new Promise((resolve, reject) => {
    script.onload = resolve;
    script.onerror = () => reject(new Error("plotly.js could not be run"));
    document.head.append(script);
  });
  URL.revokeObjectURL(script.src);
  return window.Plotly;
}

const pen = document.createElement("canvas").getContext("2d");

// Any CSS colour as [red, green, blue].
function rgb(colour) {
  pen.fillStyle = "#808080";
  pen.fillStyle = colour;
  const drawn = pen.fillStyle;
  if (!drawn.startsWith("#")) return drawn.match(/[\d.]+/g).slice(0, 3).map(Number);
  return [1, 3, 5].map((at) => parseInt(drawn.slice(at, at + 2), 16));
}

function readTheme(element) {
  const style = getComputedStyle(element);
  const read = (name) => style.getPropertyValue(`--st-${name}`).trim();
  const [text, back] = [rgb(read("text-color")), rgb(read("background-color"))];
  const mix = (share) => `rgb(${text.map((v, i) => Math.round(v * share + back[i] * (1 - share)))})`;
  const colours = {
    text: mix(1),
    muted: mix(0.72),
    grid: mix(0.12),
    background: mix(0),
    primary: read("primary-color"),
  };
  const dark = 0.299 * back[0] + 0.587 * back[1] + 0.114 * back[2] < 128;
  // Commas inside rgb(…) do not separate colours.
  const colorway = read("chart-categorical-colors").split(/,(?![^(]*\))/).filter(Boolean);
  const font = read("font") || "sans-serif";
  return { dark, colours, colorway, font, hover: mix(0.06), axis: mix(0.35) };
}

// What a figure leaves open, as a Plotly template: what the figure sets wins.
function template({ colours, colorway, font, hover, axis }) {
  const clear = "rgba(0,0,0,0)";
  const lines = {
    automargin: true,
    fixedrange: COARSE,
    gridcolor: colours.grid,
    linecolor: colours.grid,
    tickcolor: colours.grid,
    zerolinecolor: axis,
    tickfont: { color: colours.muted },
    title: { standoff: 10, font: { color: colours.muted, size: 13 } },
    spikecolor: axis,
    spikedash: "solid",
    spikethickness: 1,
  };
  const small = { color: colours.muted, size: 12 };
  return {
    layout: {
      ...(colorway.length && { colorway }),
      paper_bgcolor: clear,
      plot_bgcolor: clear,
      font: { family: font, size: 13, color: colours.text },
      title: { x: 0, xanchor: "left", font: { size: 15 } },
      margin: { l: 8, r: 12, t: 16, b: 8 },
      xaxis: lines,
      yaxis: lines,
      legend: { orientation: "h", traceorder: "normal", x: 0, xanchor: "left", y: -0.2, bgcolor: clear },
      hoverlabel: {
        bgcolor: hover,
        bordercolor: colours.grid,
        font: { family: font, size: 13, color: colours.text },
      },
      modebar: { bgcolor: colours.background, color: axis, activecolor: colours.text },
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

function config(chart) {
  const save = (format) => ({
    name: format,
    title: chart.words[format],
    icon: window.Plotly.Icons[format === "png" ? "camera" : "disk"],
    click: () => chart.save(format),
  });
  return {
    displaylogo: false,
    displayModeBar: COARSE ? false : "hover",
    modeBarButtons: [[save("png"), save("svg"), "resetScale2d"]],
    scrollZoom: false,
    displayNotifier: false,
    showAxisRangeEntryBoxes: false,
    locale: "en",
    locales: { en: { dictionary: { "Reset axes": chart.words.reset } } },
  };
}

let frame;

// The first chart of a change is drawn at once; the others when it is on the screen.
async function turn() {
  if (frame) return frame;
  const shown = new Promise((resolve) => requestAnimationFrame(() => setTimeout(resolve)));
  frame = shown.then(() => (frame = undefined));
}

class Chart {
  constructor() {
    this.box = document.createElement("div");
    this.node = document.createElement("div");
    // A legend of buttons: it wraps at any width, and the keyboard reaches it, unlike Plotly's own.
    this.legend = document.createElement("div");
    this.legend.className = "chart-legend";
    this.hidden = new Set();
    this.box.append(this.node, this.legend);
    this.node.setAttribute("role", "img");
    new ResizeObserver(() => this.fit()).observe(this.node);
    // Charts in hidden tabs or far below the fold are drawn when they are about to be seen.
    const seen = (entries) => {
      this.near = entries.at(-1).isIntersecting;
      this.draw();
    };
    new IntersectionObserver(seen, { rootMargin: "400px", scrollMargin: "400px" }).observe(this.node);
    addEventListener("beforeprint", () => this.draw(true));
  }

  show(text, { alt, height, library, words }) {
    // The buttons of a chart are made with it: in another language they are made anew.
    this.renamed ||= this.words !== undefined && this.words.reset !== words.reset;
    this.words = words;
    this.text = text;
    this.height = height;
    this.library = library;
    this.node.setAttribute("aria-label", alt);
    this.node.style.height = `${height}px`;
    // What is in sight comes first; a chart below the fold waits until the browser has shown that.
    clearTimeout(this.waiting);
    const inSight = this.node.getBoundingClientRect().top < innerHeight;
    if (inSight || !this.state) this.draw();
    else this.waiting = setTimeout(() => this.draw(), 200);
  }

  async draw(unseen = false) {
    if (!this.near && !unseen) return;
    try {
      const Plotly = await load(this.library);
      const width = this.node.clientWidth;
      if (!this.node.isConnected || !width) return;
      this.theme = readTheme(this.node);
      const state = this.text + JSON.stringify(this.theme);
      if (state === this.state) return;
      const first = this.state === undefined;
      const anew = first || this.renamed;
      this.renamed = false;
      if (first) this.node.textContent = "";
      this.state = state;
      const { data, layout = {} } = this.figure();
      this.drawLegend(data, layout);
      for (const trace of data) if (this.hidden.has(trace.name)) trace.visible = false;
      if (matchMedia("(prefers-reduced-motion: reduce)").matches) delete layout.transition;
      const size = { width, height: this.height };
      await turn();
      const full = { uirevision: "kept", ...layout, showlegend: false, template: template(this.theme), ...size };
      // A config given again holds new functions, counts as changed and draws the chart from scratch.
      await Plotly.react(this.node, data, full, anew ? config(this) : undefined);
    } catch (error) {
      console.error(error);
      window.Plotly?.purge(this.node);
      this.state = undefined;
      this.node.textContent = this.node.getAttribute("aria-label");
    }
  }

  // The figure with its colours resolved for the current theme.
  figure() {
    const { dark, colours } = this.theme;
    const resolve = (_, value) => {
      if (typeof value !== "string") return value;
      const pair = PAIR.exec(value);
      const colour = pair ? pair[dark ? 2 : 1] : value;
      return colour.startsWith("theme:") ? colours[colour.slice(6)] : colour;
    };
    return JSON.parse(this.text, resolve).figure;
  }

  // One button for each named trace, which hides and shows it; none for a single trace.
  drawLegend(data, { showlegend = true }) {
    const named = data.filter((trace) => trace.name && trace.showlegend !== false);
    this.hasLegend = showlegend && named.length > 1;
    if (!this.hasLegend) return this.legend.replaceChildren();
    this.legend.replaceChildren(
      ...named.map((trace) => {
        const button = document.createElement("button");
        const swatch = document.createElement("span");
        const { color, size } = trace.marker ?? trace.line ?? {};
        swatch.style.background = typeof color === "string" ? color : "";
        swatch.className = trace.marker || size ? "" : "line";
        button.append(swatch, trace.name);
        button.type = "button";
        button.setAttribute("aria-pressed", String(!this.hidden.has(trace.name)));
        button.onclick = () => this.toggle(trace.name);
        return button;
      }),
    );
  }

  toggle(name) {
    if (!this.hidden.delete(name)) this.hidden.add(name);
    const at = [...this.legend.children].findIndex((button) => button.textContent === name);
    this.state = "";
    this.draw(true).then(() => this.legend.children[at]?.focus());
  }

  fit() {
    const width = this.node.clientWidth;
    if (this.state && width && width !== this.node.layout.width) window.Plotly.relayout(this.node, { width });
  }

  // On paper the chart needs a background of its own: light text on nothing would be lost.
  save(format) {
    const { data, layout } = this.node;
    const { background } = this.theme.colours;
    const grounds = { paper_bgcolor: background, plot_bgcolor: background };
    const picture = { data, layout: { ...layout, showlegend: this.hasLegend, ...grounds } };
    const size = { width: layout.width, height: layout.height, scale: 2 };
    window.Plotly.downloadImage(picture, { format, filename: "chart", ...size }).catch(console.error);
  }
}
