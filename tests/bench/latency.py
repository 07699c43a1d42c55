"""How long a slider step takes, on each page and in two small apps, in one real Chromium. A benchmark, not a test.

    python tests/bench/latency.py [steps]

For each page: milliseconds of the script on the server (what it waits for the browser to draw charts included), and
from the key press until the first and until every visible chart looks different, as median / p95; and the ratio to an
app with one slider and one six-bar Plotly chart (for the server: to one with a slider and a text). Each page takes
turns with the two small apps, so that they share what else the machine does; nothing else is open then.
"""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from statistics import median, quantiles

from playwright.sync_api import Browser, sync_playwright

ROOT = Path(__file__).parents[2]
STEPS = int(sys.argv[1]) if len(sys.argv) > 1 else 24
WARM_UP = 3  # steps that are not counted
AT_REST = 150  # milliseconds after which a page that came to the front, or was drawn, has nothing left to do
WITHOUT_CHARTS = ("/?", "/method")
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
    return f"{median(values):6.1f} /{quantiles(values, n=20)[-1]:6.1f}"


def measured(browser: Browser, addresses: Mapping[str, tuple[Served, str]]) -> dict[str, list[list[float]]]:
    """For each of these that take turns: milliseconds on the server, until the first chart, and until all."""
    found: dict[str, list[list[float]]] = {name: [] for name in addresses}
    context = browser.new_context(viewport={"width": 1440, "height": 1000})
    pages = {name: context.new_page() for name in addresses}
    for name, page in pages.items():
        server, path = addresses[name]
        page.goto(f"http://127.0.0.1:{server.port}{path}")
        page.get_by_role("slider", name="Width").wait_for()
        page.wait_for_timeout(2500)
    for step in range(STEPS + WARM_UP):
        for name, page in pages.items():
            server, path = addresses[name]
            page.bring_to_front()
            page.wait_for_timeout(AT_REST)
            page.get_by_role("slider", name="Width").focus()
            before = len(server.runs())
            page.evaluate(WATCH)
            page.keyboard.press("ArrowRight")
            charts = page.evaluate("window.watched") if path not in WITHOUT_CHARTS else []
            while len(server.runs()) == before:
                page.wait_for_timeout(20)
            page.wait_for_timeout(AT_REST)
            if step >= WARM_UP:
                found[name].append([sum(server.runs()[before:]), *charts])
    context.close()
    return found


def main() -> None:
    """Measure, and print the table."""
    folder = Path(tempfile.mkdtemp())
    (folder / "text.py").write_text(TAMED)
    (folder / "chart.py").write_text(TAMED + CHART)
    text, chart = (Served(folder / f"{name}.py", folder, name) for name in ("text", "chart"))
    app = Served(ROOT / "app.py", folder, "app")
    print(f"{STEPS} steps of a slider; milliseconds, median / p95; × is the ratio of medians")
    print(f"{'':24}{'server':>15}{'× text':>8}{'first chart':>17}{'× chart':>9}{'all charts':>17}{'× chart':>9}")
    try:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(
                executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"]
            )
            for path in ("/", "/training", "/scaling", "/method"):
                small = {"one slider, one text": (text, "/?"), "one slider, one chart": (chart, "/")}
                found = measured(browser, {**small, path: (app, path)})
                floor, base, of_page = (list(zip(*steps, strict=True)) for steps in found.values())
                for name, columns in zip(found, (floor, base, of_page), strict=True):
                    line = f"{name:24}{spread(list(columns[0])):>15}{median(columns[0]) / median(floor[0]):8.1f}"
                    for column in columns[1:]:
                        line += f"{spread(list(column)):>17}{median(column) / median(base[1]):9.2f}"
                    print(line)
    finally:
        for each in (text, chart, app):
            each.process.terminate()


if __name__ == "__main__":
    main()
