// The buttons of a chart: a picture of it, its axes as they were, as large as the window and back. Buttons of Plotly's
// own would be inside what is one image to a screen reader, and out of a finger's reach.

const DRAWN = {
  reset: "M4.5 9a8 8 0 1 1-.4 5M4 4v5h5",
  enlarge: "M3 8V3h5M16 3h5v5M21 16v5h-5M8 21H3v-5",
  shrink: "M8 3v5H3M21 8h-5V3M16 21v-5h5M3 16h5v5",
};

// Escape leaves the full screen; what Streamlit does on it elsewhere must not happen as well.
const alone = (event) => event.key === "Escape" && document.querySelector(".chart-dialog[open]");
addEventListener("keydown", (event) => alone(event) && event.stopImmediatePropagation(), true);

export class Tools {
  constructor(chart) {
    this.chart = chart;
    this.bar = document.createElement("div");
    this.bar.className = "chart-tools";
    // A dialog keeps the keyboard inside, and Escape closes it, in every browser and every frame.
    this.dialog = document.createElement("dialog");
    this.dialog.className = "chart-dialog";
    this.dialog.onclose = () => this.shrunk();
    this.buttons = {
      png: () => chart.save("png"),
      svg: () => chart.save("svg"),
      reset: () => chart.reset(),
      enlarge: () => (this.dialog.open ? this.dialog.close() : this.enlarge()),
    };
    for (const [id, act] of Object.entries(this.buttons)) {
      const button = document.createElement("button");
      Object.assign(button, { type: "button", onclick: act, textContent: id.toUpperCase() });
      this.bar.append(button);
      this.buttons[id] = button;
    }
  }

  // What each button does, in the reader's language.
  name(words, title) {
    this.words = words;
    this.title = title;
    for (const named of [this.dialog, this.chart.box]) named.setAttribute("aria-label", title);
    for (const [id, button] of Object.entries(this.buttons)) {
      const act = id === "enlarge" && this.dialog.open ? "shrink" : id;
      button.title = words[act];
      button.setAttribute("aria-label", words[act]);
      if (act in DRAWN) button.innerHTML = `<svg viewBox="0 0 24 24" aria-hidden="true"><path d="${DRAWN[act]}"/></svg>`;
    }
  }

  enlarge() {
    const { root, box } = this.chart;
    // What is below the chart stays where it is meanwhile.
    root.style.minHeight = `${root.offsetHeight}px`;
    root.append(this.dialog);
    this.dialog.append(box);
    this.dialog.showModal();
    this.name(this.words, this.title);
    this.buttons.enlarge.focus();
  }

  shrunk() {
    const { root, box } = this.chart;
    root.prepend(box);
    root.style.minHeight = "";
    this.name(this.words, this.title);
    this.buttons.enlarge.focus();
  }
}
