"""How long a slider step takes, on each page and in two small apps, in one real Chromium. A benchmark, not a test.

    python tests/bench/latency.py [steps]

For each page: milliseconds of the script on the server (what it waits for the browser to draw charts included), and
from the key press until the first and until every visible chart looks different, as median / p95; and the ratio to an
app with one slider and one six-bar Plotly chart (for the server: to one with a slider and a text). All take turns, so
that they share what else the machine does.
"""

from __future__ import annotations

import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

from playwright.sync_api import sync_playwright

ROOT = Path(__file__).parents[2]
STEPS = int(sys.argv[1]) if len(sys.argv) > 1 else 24
TAMED = """
import gc
import plotly.graph_objects as go
import streamlit as st

@st.cache_resource
def tame():
    gc.collect()
    gc.freeze()

tame()
value = st.slider("Width", 0, 1000, 100)
st.text(f"value {value}")
"""
CHART = """
st.plotly_chart(go.Figure(go.Bar(x=list("abcdef"), y=[value + i for i in range(6)])), key="bars")
"""
# What is drawn in each visible chart, as the shapes and places of its marks. Far-away charts are not waited for.
# The watcher resolves with the milliseconds from now until the first, and until every, visible chart looks different.
WATCH = """() => {
  const charts = () => [...document.querySelectorAll(".js-plotly-plot")];
  const visible = (n) => n.offsetParent && n.getBoundingClientRect().top < innerHeight;
  const shape = (p) => p.getAttribute("d") + p.getAttribute("transform");
  const shapes = (n) => [...n.querySelectorAll(".point path, path.point, .js-line")].map(shape).join();
  const seen = charts().map(visible), before = charts().map(shapes), start = performance.now();
  let first = null;
  window.watched = new Promise((done) => {
    const again = () => {
      const now = charts().map(shapes), passed = performance.now() - start;
      const changed = now.filter((drawn, i) => seen[i] && drawn && drawn !== before[i]).length;
      if (changed && first === null) first = passed;
      if ((changed && changed === seen.filter(Boolean).length) || passed > 3000) done([first, passed]);
      else requestAnimationFrame(again);
    };
    again();
  });
}"""


class Served:
    """A script, served in a process of its own."""

    def __init__(self, script: Path, folder: Path, name: str) -> None:
        """Start it on a free port and wait until it answers."""
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.durations = folder / f"{name}.txt"
        command = [sys.executable, Path(__file__).with_name("serve.py"), script, str(self.port), self.durations]
        environment = {"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"}
        self.process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        while True:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{self.port}/_stcore/health", timeout=1).close()
                return
            except OSError:
                time.sleep(0.2)

    def runs(self) -> list[float]:
        """Milliseconds of all script runs so far."""
        return [1000 * float(line) for line in self.durations.read_text().split()]


def spread(values: list[float]) -> str:
    """Median / 95th percentile."""
    return f"{statistics.median(values):6.1f} /{statistics.quantiles(values, n=20)[-1]:6.1f}"


def main() -> None:
    """Measure, and print the table."""
    folder = Path(tempfile.mkdtemp())
    (folder / "text.py").write_text(TAMED)
    (folder / "chart.py").write_text(TAMED + CHART)
    scripts = {"one slider, one text": (folder / "text.py", "/"), "one slider, one chart": (folder / "chart.py", "/")}
    scripts |= {path: (ROOT / "app.py", path) for path in ("/", "/training", "/scaling", "/method")}
    served = {name: Served(script, folder, str(i)) for i, (name, (script, _)) in enumerate(scripts.items())}
    server: dict[str, list[float]] = {name: [] for name in scripts}
    browser_ms: dict[str, list[list[float]]] = {name: [] for name in scripts}
    try:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(
                executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"]
            )
            pages = {}
            for name, (_, path) in scripts.items():
                page = pages[name] = browser.new_page(viewport={"width": 1440, "height": 1000})
                page.goto(f"http://127.0.0.1:{served[name].port}{path}")
                page.get_by_role("slider", name="Width").wait_for()
                page.wait_for_timeout(2500)
            for step in range(STEPS + 3):
                for name, page in pages.items():
                    page.bring_to_front()
                    page.get_by_role("slider", name="Width").focus()
                    before = len(served[name].runs())
                    page.evaluate(WATCH)
                    page.keyboard.press("ArrowRight")
                    first, every = (
                        page.evaluate("window.watched") if "text" not in name and name != "/method" else (0, 0)
                    )
                    while len(served[name].runs()) == before:
                        page.wait_for_timeout(20)
                    page.wait_for_timeout(150)
                    if step >= 3:  # the first steps warm up caches
                        server[name].append(sum(served[name].runs()[before:]))
                        browser_ms[name].append([first or 3000, every])
    finally:
        for each in served.values():
            each.process.terminate()

    floor = statistics.median(server["one slider, one text"])
    base = statistics.median(first for first, _ in browser_ms["one slider, one chart"])
    print(f"{STEPS} steps of a slider; milliseconds, median / p95; × is the ratio of medians")
    print(f"{'':24}{'server':>15}{'× text':>8}{'first chart':>17}{'× chart':>9}{'all charts':>17}{'× chart':>9}")
    for name in scripts:
        line = f"{name:24}{spread(server[name]):>15}{statistics.median(server[name]) / floor:8.1f}"
        if any(every for _, every in browser_ms[name]):
            for column in zip(*browser_ms[name], strict=True):
                line += f"{spread(list(column)):>17}{statistics.median(column) / base:9.2f}"
        print(line)


if __name__ == "__main__":
    main()
