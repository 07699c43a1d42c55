"""The dashboard in a real Chromium: start it, open it, wait for it, read what is shown."""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO
from urllib.parse import parse_qs, urlsplit

from playwright.sync_api import Browser, Locator, Page, expect, sync_playwright

from pages.ui.app.shell import SECTIONS
from llmcalc.words import LANGUAGES, dictionary

ROOT = Path(__file__).parent.parent
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-sync",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
]
expect.set_options(timeout=30_000)


@contextmanager
def dashboard(log: IO[str] | int = subprocess.DEVNULL) -> Iterator[str]:
    """The address of a fresh process of the app; what it prints goes into ``log``."""
    with process_of_app(log) as (address, _):
        yield address


@contextmanager
def process_of_app(log: IO[str] | int = subprocess.DEVNULL) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """A fresh process of the app, as the README starts it, and its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    options = [f"--server.port={port}", "--server.address=127.0.0.1", "--server.headless=true"]
    command = [sys.executable, "-m", "streamlit", "run", "app.py", *options]
    process = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log)
    try:
        for _ in range(240):
            try:
                urllib.request.urlopen(f"{address}/_stcore/health", timeout=1).close()
                break
            except OSError:
                time.sleep(0.25)
        yield address, process
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:  # a session's run goes on
            process.kill()


@contextmanager
def chromium() -> Iterator[Browser]:
    """A browser, of the system."""
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    assert found, "the browser tests need Chromium: on Debian, apt-get install chromium"
    with sync_playwright() as playwright:
        yield playwright.chromium.launch(executable_path=found, args=FLAGS)


def query(page: Page) -> dict[str, list[str]]:
    """What the address says."""
    return parse_qs(urlsplit(page.url).query)


def metric(page: Page, label: str) -> Locator:
    """The value of a headline number."""
    frames = page.locator('[data-testid="stMetric"], [class*="st-key-number_"] button').filter(has_text=label)
    # A button with a help text is in the page twice, and the one for phones is hidden
    return frames.locator('[data-testid="stMetricValue"], strong').filter(visible=True)


def chart_drawn(page: Page) -> None:
    """Wait for a chart."""
    page.wait_for_selector(".js-plotly-plot .main-svg")


def settled(page: Page) -> None:
    """Wait until the script has run, its elements are there, and it has been so for half a second."""
    page.evaluate("delete window.calmSince")
    page.wait_for_function(
        """() => {
        const calm = document.querySelector('[data-test-script-state="notRunning"]')
            && document.querySelector('[data-testid="stHeading"], .st-key-stage')
            && !document.querySelector('[data-testid="stSkeleton"], [data-testid="stAppSkeleton"]')
            && !document.querySelector('[data-stale="true"]');
        window.calmSince = calm ? (window.calmSince ?? performance.now()) : undefined;
        return calm && performance.now() - window.calmSince > 500;
    }""",
        timeout=90_000,  # Accuracy's first reader waits for every step to be simulated
    )


def to_page(page: Page, name: str) -> None:
    """Click on a page in the menu of its section; it goes by its name in addresses."""
    section = next(section for section, names in SECTIONS.items() if name in names)
    shown = page.get_by_test_id("stTopNavSection").all_inner_texts()
    (words,) = (words for words in map(dictionary, LANGUAGES) if words[f"sections.{section}"] in shown)
    page.get_by_test_id("stTopNavSection").filter(has_text=words[f"sections.{section}"]).click()
    title = words[f"pages.{name}.title"]
    page.get_by_test_id("stTopNavDropdownLink").filter(has_text=re.compile(f"^{re.escape(title)}$")).click()


def elsewhere(url: str, address: str) -> bool:
    """Whether something is asked of another machine."""
    return not url.startswith((address, address.replace("http", "ws"), "data:", "blob:"))
