// Plotly charts that follow their data and Streamlit's theme. What Streamlit sends along with every chart is no more than
// what fetches this module and calls `draw` on every change: see component.py.

import { onPaper, pen, readTheme, resolved, template } from "./theme.js";
import { Tools } from "./tools.js";

// By key. Streamlit makes a new parentElement when something above comes or goes, or on return to a page;
// the chart then moves there with its zoom, instead of being drawn anew. So none is ever removed.
const charts = new Map();
let library;

// Behind a trace's name in a hover label Plotly assumes white, as the chart itself has no background.
const sheet = new CSSStyleSheet();
sheet.replaceSync(`
  .js-plotly-plot .hovertext > rect { fill: var(--st-background-color) !important; }
  /* what happens in a chart, such as the measuring of its labels, moves nothing outside */
  .js-plotly-plot { contain: strict; }
  .chart-box { position: relative; }
  .chart-title { font: 15px/1.3 var(--st-font, sans-serif); padding: 0.4rem 0 0.1rem; }
  .chart-box button { min-width: 26px; min-height: 26px; border: 0; border-radius: 0.3rem; background: none;
    cursor: pointer; color: var(--st-text-color); font: 0.8rem var(--st-font, sans-serif); }
  .chart-box button:hover { background: var(--st-secondary-background-color); }
  .chart-box button:focus-visible { outline: 2px solid var(--st-primary-color); }
  .chart-legend { display: flex; flex-wrap: wrap; gap: 0 0.25rem; padding: 0 0 0.5rem; }
  .chart-legend button { display: inline-flex; align-items: center; gap: 0.4rem; padding: 0.2rem 0.4rem; }
  .chart-legend button[aria-pressed="false"] { text-decoration: line-through; }
  .chart-legend button[aria-pressed="false"] span { opacity: 0.3; }
  .chart-legend span { width: 0.75rem; height: 0.75rem; border-radius: 2px; }
  .chart-legend span.line { height: 3px; width: 1.1rem; }
  .chart-tools { position: absolute; top: 0; right: 0; z-index: 1; display: flex; opacity: 0;
    border-radius: 0.3rem; background: var(--st-background-color); }
  .chart-box:hover .chart-tools, .chart-tools:focus-within, .chart-dialog .chart-tools { opacity: 1; }
  .chart-tools svg { display: block; width: 1rem; margin: auto; fill: none; stroke: currentColor; stroke-width: 2; }
  .chart-dialog { width: 100vw; height: 100dvh; max-width: none; max-height: none; border: 0;
    padding: clamp(0.5rem, 2vmin, 2rem); background: var(--st-background-color); color: var(--st-text-color); }
  .chart-dialog > .chart-box { display: flex; flex-direction: column; height: 100%; }
  .chart-dialog .js-plotly-plot { flex: 1; min-height: 0; height: auto !important; }
  :is(.chart-dialog, .chart-large) button { font-size: clamp(0.8rem, 1.4vw, 1.05rem); }
  @media (min-width: 768px) {
    /* as much of the window as the numbers above and the knobs below leave */
    .chart-large > .chart-box { display: flex; flex-direction: column; height: max(12rem, var(--left, 100dvh - 22.1rem)); }
    .chart-large > .chart-box > .js-plotly-plot { flex: 1; min-height: 0; height: auto !important; }
  }
  @media print {
    .chart-tools { display: none; }
    /* as it is drawn for paper, see onSheet */
    .chart-box { break-inside: avoid; width: 100%; height: auto !important; }
    .chart-legend button[aria-pressed="false"] { display: none; }
  }
  @media (pointer: coarse) {
    .chart-box button { min-height: 32px; }
    .chart-tools button { min-height: 40px; min-width: 44px; }
    .chart-tools { position: static; justify-content: end; opacity: 1; }
  }
`);
document.adoptedStyleSheets.push(sheet);

export function draw({ data, parentElement }) {
  const text = new TextDecoder().decode(data);
  const content = JSON.parse(text);
  if (!charts.has(content.key)) charts.set(content.key, new Chart());
  const chart = charts.get(content.key);
  if (chart.root.parentElement !== parentElement) {
    chart.tools.dialog.close();
    parentElement.replaceChildren(chart.root);
  }
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

// For each trace of each drawing Plotly goes through its whole schema to find which attributes are arrays, a third of
// its work on a chart of many traces. That is the same for all traces of a type in which the same ones were given.
function lookOnce(schema) {
  const find = schema?.findArrayAttributes;
  if (!find) return;
  const known = new Map();
  const given = (value, path = "") => Object.entries(value).flatMap(([name, part]) => {
    if (Array.isArray(part) || ArrayBuffer.isView(part)) return path + name;
    return part && typeof part === "object" ? given(part, `${path}${name}.`) : [];
  });
  schema.findArrayAttributes = (trace) => {
    if (!trace._input) return find(trace);
    const key = [trace.type, ...given(trace._input)].join();
    if (!known.has(key)) known.set(key, find(trace));
    return [...known.get(key)];
  };
}

async function fetchLibrary(path) {
  if (window.Plotly) return window.Plotly;
  const url = new URL(`../../${path}`, import.meta.url); // from the app's root, two folders above this module's
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
  lookOnce(window.Plotly.PlotSchema);
  return window.Plotly;
}

// Bars stacked on one another as one trace, without those of no length: each of Plotly's traces takes time of its own.
function inOneTrace(data, layout) {
  if (layout.barmode !== "stack" || layout.barnorm) return { data, layout };
  const stacked = ({ type, yaxis }) => type === "bar" && !yaxis;
  const bars = data.filter((trace) => stacked(trace) && trace.visible !== false);
  if (bars.length < 2) return { data, layout };
  const { orientation } = bars[0];
  const [along, across] = orientation === "h" ? ["x", "y"] : ["y", "x"];
  const drawn = bars.flatMap((bar) => bar[along].flatMap((length, i) => (length ? [[bar, i]] : [])));
  const joined = (name) => drawn.map(([bar, i]) => bar[name][i]);
  const one = {
    type: "bar",
    orientation,
    x: joined("x"),
    y: joined("y"),
    marker: { color: drawn.map(([bar]) => bar.marker.color) },
    customdata: joined("customdata"),
    hovertemplate: drawn.map(([bar]) => bar.hovertemplate),
  };
  const axis = `${across}axis`;
  const categoryarray = [...new Set(bars.flatMap((bar) => bar[across]))];
  return {
    data: [one, ...data.filter((trace) => !stacked(trace))],
    layout: { ...layout, [axis]: { categoryarray, ...layout[axis] } },
  };
}

// Where numbers of an axis, so many pixels wide, would touch, every other is left out, or more; their lines stay.
function thinned(axis, width) {
  const { ticktext, tickvals, type, domain = [0, 1] } = axis;
  if (!ticktext || ticktext.length < 2) return axis;
  const at = tickvals.map((value) => (type === "log" ? Math.log10(value) : value));
  const [low, high] = axis.range ?? [at[0], at.at(-1)];
  const scale = (width * (domain[1] - domain[0])) / (high - low);
  const halves = ticktext.map((text) => pen.measureText(text).width / 2);
  const touching = (step) => at.some((_, i) => i % step === 0 && i + step < at.length
    && (at[i + step] - at[i]) * scale < halves[i] + halves[i + step] + 4);
  let step = 1;
  while (touching(step)) step += 1;
  return { ...axis, ticktext: ticktext.map((text, i) => (i % step ? "" : text)) };
}

const CONFIG = { displayModeBar: false, scrollZoom: false, showAxisRangeEntryBoxes: false, locale: "en" };
const TITLE = 28; // pixels of a figure's height and upper margin that its title takes
const EDGE = 1.4; // of the type's size: what is below the stage
const SHEET = 680; // pixels that a chart has on the narrower of the usual papers, A4
// How a legend's button shows a line that is not solid
const stripes = (color, ...ends) => {
  const stops = ends.map((end, i) => `${i % 2 ? "transparent" : color} ${ends[i - 1] ?? 0}px ${end}px`);
  return `repeating-linear-gradient(90deg, ${stops.join(", ")})`;
};
const DASHES = {
  dot: (color) => stripes(color, 3, 6),
  dash: (color) => stripes(color, 7, 11),
  dashdot: (color) => stripes(color, 8, 11, 14, 17),
};
const still = () => matchMedia("(prefers-reduced-motion: reduce)").matches;

// When what was changed is on the screen.
const shown = () => new Promise((resolve) => requestAnimationFrame(() => setTimeout(resolve)));

let frame;

// The first chart of a change is drawn at once; the others when it is on the screen.
async function turn() {
  if (frame) return frame;
  frame = shown().then(() => (frame = undefined));
}

let theme;
let asking;

// Streamlit's theme, as it was last seen. To ask for it amid changes has the page's styles worked out once more, so that
// is done when they are on the screen.
function themeNow(element) {
  theme ??= readTheme(element);
  asking ??= shown().then(() => {
    asking = undefined;
    const now = element.isConnected ? readTheme(element) : theme;
    if (JSON.stringify(now) === JSON.stringify(theme)) return;
    theme = now;
    for (const chart of charts.values()) chart.draw();
  });
  return theme;
}

class Chart {
  constructor() {
    this.root = document.createElement("div");
    this.box = document.createElement("div");
    this.box.className = "chart-box";
    this.box.setAttribute("role", "group");
    // Read with the chart's description.
    this.heading = document.createElement("div");
    this.heading.className = "chart-title";
    this.heading.setAttribute("aria-hidden", "true");
    this.node = document.createElement("div");
    this.node.setAttribute("role", "img");
    // Plotly asks for these before each drawing.
    Object.defineProperties(this.node, { clientWidth: { get: () => this.width }, clientHeight: { get: () => this.height } });
    // A legend of buttons: it wraps at any width, and the keyboard reaches it, unlike Plotly's own.
    this.legend = document.createElement("div");
    this.legend.className = "chart-legend";
    this.hidden = new Set();
    this.resets = 0;
    this.tools = new Tools(this);
    this.box.append(this.heading, this.node, this.legend, this.tools.bar);
    this.root.append(this.box);
    // Its size and whether it is in sight are told after each layout of the page; to ask would have it laid out at once.
    const sized = ([{ contentRect }]) => {
      this.width = Math.round(contentRect.width);
      this.height = Math.round(contentRect.height);
      if (this.made) this.draw(true);
    };
    new ResizeObserver(sized).observe(this.node);
    new IntersectionObserver((entries) => (this.inSight = entries.at(-1).isIntersecting)).observe(this.node);
    // Charts in hidden tabs or far below the fold are drawn when they are about to be seen.
    const seen = (entries) => {
      this.near = entries.at(-1).isIntersecting;
      this.draw();
    };
    new IntersectionObserver(seen, { rootMargin: "400px", scrollMargin: "400px" }).observe(this.node);
    this.stage = new ResizeObserver(() => this.fit());
    addEventListener("resize", () => this.fit());
    addEventListener("beforeprint", () => this.onSheet());
    addEventListener("afterprint", () => this.offSheet());
  }

  show(text, { alt, height, large, library, title, words }) {
    this.text = text;
    this.saved = height;
    this.library = library;
    this.title = title;
    this.tools.name(words, title);
    this.node.setAttribute("aria-label", alt);
    this.root.className = large ? "chart-large" : "";
    if (large) this.stage.observe(document.querySelector(".st-key-stage"));
    else this.stage.disconnect();
    this.heading.textContent = title;
    this.node.style.height = `${height - TITLE}px`;
    // What is in sight comes first; a chart below the fold waits until the browser has shown that.
    clearTimeout(this.waiting);
    if (this.inSight || !this.state) this.draw();
    else this.waiting = setTimeout(() => this.draw(), 200);
  }

  // On stage it is as high as what else is there leaves of the window.
  fit() {
    const stage = this.root.className === "chart-large" && this.root.closest(".st-key-stage");
    if (!stage || this.tools.dialog.open) return;
    const { top, height } = stage.getBoundingClientRect();
    const scrolled = stage.closest("[data-testid=stMain]").scrollTop;
    const type = parseFloat(getComputedStyle(document.documentElement).fontSize);
    const left = innerHeight - top - scrolled - (height - this.box.offsetHeight) - EDGE * type;
    this.root.style.setProperty("--left", `${Math.floor(left)}px`);
  }

  // How much larger type and lines are than on a page: where a chart has the window to itself, for the last row. In a
  // room half as large again, 18 pixels, unless the stage is too low for that.
  get scale() {
    const alone = this.tools.dialog.open || this.root.className === "chart-large";
    const room = Math.min(this.width / 850, this.height / 240);
    const least = this.width >= 1200 ? Math.min(1.5, this.height / 150) : 1;
    return alone ? Math.round(10 * Math.min(2.5, Math.max(1, least, room))) / 10 : 1;
  }

  async draw(unseen = false) {
    if (this.printing || (!this.near && !unseen)) return;
    try {
      const Plotly = await load(this.library);
      const { width, height } = this;
      if (!this.node.isConnected || !width) return;
      this.theme = themeNow(this.node);
      this.drawnScale = this.scale;
      const state = this.text + JSON.stringify([this.theme, this.drawnScale, width, height, this.level, this.resets]);
      if (state === this.state) return;
      this.state = state;
      const figure = this.figure(this.theme, this.drawnScale);
      this.drawLegend(figure.data, figure.layout);
      const { data, layout } = inOneTrace(figure.data, this.onPage(figure, width));
      if (still()) delete layout.transition;
      await turn();
      // Something newer is to be drawn: two drawings at a time would get into each other's way.
      if (state !== this.state || this.printing) return;
      const first = !this.made;
      this.made = true;
      if (first) this.node.textContent = "";
      const uirevision = `${layout.uirevision ?? "kept"} ${this.resets}`;
      const theme = template(this.theme, this.drawnScale);
      const full = { ...layout, uirevision, showlegend: false, template: theme, width, height };
      // A config given again counts as changed and draws the chart from scratch.
      await Plotly.react(this.node, data, full, first ? CONFIG : undefined);
      if (first) this.node.on("plotly_treemapclick", (click) => this.open(click));
    } catch (error) {
      console.error(error);
      window.Plotly?.purge(this.node);
      this.state = this.made = undefined;
      this.node.textContent = this.node.getAttribute("aria-label");
    }
  }

  // The browser prints what is there when this returns: so draw at once, seen or not, dark on white and as wide as paper.
  onSheet() {
    if (this.printing || !window.Plotly || !this.node.isConnected) return;
    this.theme ??= themeNow(this.node); // one that was never in sight has none yet
    this.printing = true;
    this.screen = { width: this.width, height: this.height };
    const theme = { ...onPaper(this.theme), font: this.theme.font, makesRoom: false };
    Object.assign(this, { theme, width: SHEET, height: this.saved - TITLE, drawnScale: 1, state: "" });
    const figure = this.figure(theme, 1);
    this.legendState = "";
    this.drawLegend(figure.data, figure.layout);
    const { data, layout } = inOneTrace(figure.data, this.onPage(figure, SHEET));
    delete layout.transition;
    const full = { ...layout, showlegend: false, template: template(theme, 1), width: SHEET, height: this.height };
    if (!this.made) this.node.textContent = "";
    this.node.style.height = `${this.height}px`;
    window.Plotly.react(this.node, data, full, this.made ? undefined : CONFIG);
    if (!this.made) this.node.on("plotly_treemapclick", (click) => this.open(click));
    this.made = true;
  }

  // And on the screen as it was.
  offSheet() {
    if (!this.printing) return;
    Object.assign(this, { ...this.screen, printing: false, legendState: "" });
    this.draw(true);
  }

  // The figure as the reader has it: without the traces that were hidden.
  figure(theme, scale) {
    const { data, layout = {} } = resolved(this.text, theme, scale);
    for (const trace of data) if (this.hidden.has(trace.name)) trace.visible = false;
    if (this.level !== undefined) data[0].level = this.level;
    return { data, layout };
  }

  // The layout as it is on the page: the title is above, where it wraps, and numbers have the room that there is.
  onPage({ data, layout }, width) {
    const scale = this.drawnScale;
    this.heading.style.fontSize = `${15 * scale}px`;
    pen.font = `${13 * scale}px ${this.theme.font}`;
    const { l, r, t } = layout.margin;
    const beside = layout.yaxis?.ticktext ?? data[0]?.y?.filter((row) => typeof row === "string") ?? [];
    const lines = beside.flatMap((label) => label.split("<br>")).map((line) => pen.measureText(line).width);
    const room = width - l - r - Math.max(48 * scale, ...lines);
    const axes = Object.entries(layout).filter(([name]) => /^xaxis\d*$/.test(name));
    const x = Object.fromEntries(axes.map(([name, axis]) => [name, thinned(axis, room)]));
    return { ...layout, ...x, title: undefined, margin: { ...layout.margin, t: t - TITLE * scale } };
  }

  // One button for each named trace, which hides and shows it; none for a single trace.
  drawLegend(data, { showlegend = true }) {
    const named = data.filter((trace) => trace.name && trace.showlegend !== false);
    this.hasLegend = showlegend && named.length > 1;
    if (!this.hasLegend) return this.legend.replaceChildren();
    const hidden = [...this.hidden];
    const looks = ({ name, marker, line }) => [name, marker?.color, line?.color, line?.dash];
    const state = JSON.stringify([hidden, named.map(looks)]);
    if (state === this.legendState && this.legend.childElementCount) return;
    this.legendState = state;
    this.legend.replaceChildren(
      ...named.map((trace) => {
        const button = document.createElement("button");
        const swatch = document.createElement("span");
        const { color, size } = trace.marker ?? trace.line ?? {};
        const isLine = !(trace.marker || trace.stackgroup || size);
        const dashes = isLine && DASHES[trace.line?.dash];
        swatch.style.background = typeof color !== "string" ? "" : dashes ? dashes(color) : color;
        swatch.className = isLine ? "line" : "";
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

  // Where the reader wants no motion, a tile opens without Plotly's zooming.
  open({ nextLevel }) {
    if (!still()) return true;
    this.level = nextLevel;
    this.draw(true);
    return false;
  }

  // Axes and tiles as the figure has them.
  reset() {
    this.resets += 1;
    this.level = undefined;
    this.draw(true);
  }

  // A picture for paper and slides, with the axes as they are zoomed.
  save(format) {
    const theme = onPaper(this.theme);
    const { data, layout } = this.figure(theme, 1);
    for (const [name, axis] of Object.entries(this.node.layout))
      if (/^[xy]axis\d*$/.test(name)) layout[name] = { ...layout[name], range: axis.range, autorange: false };
    const { background } = theme.colours;
    const grounds = { paper_bgcolor: background, plot_bgcolor: background };
    const size = { width: Math.max(900, this.width), height: Math.max(420, this.saved) };
    const edges = { title: { ...layout.title, x: 0.02 }, margin: { ...layout.margin, l: 24, r: 24, b: 8 } };
    const around = { ...grounds, ...size, ...edges, showlegend: this.hasLegend, template: template(theme, 1) };
    const picture = { data, layout: { ...layout, ...around } };
    const words = this.title.toLowerCase().match(/[\p{L}\p{N}]+/gu) ?? [];
    const filename = ["llmcalc", ...words].join("-").slice(0, 80);
    return window.Plotly.downloadImage(picture, { format, filename, ...size, scale: 2 }).catch(console.error);
  }
}
