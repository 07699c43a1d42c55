"""What plain pytest collects: tests/oracle only where torch and transformers (the oracle extra) are installed."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from importlib.util import find_spec

import pytest
from hypothesis import settings
from real_browser import Browser, Page, chromium, dashboard

from pages.ui.app import sections

collect_ignore = [] if find_spec("torch") and find_spec("transformers") else ["oracle"]

# Files, and the page that shows every measured step
COMPARES = {"accuracy", "test_accuracy", "test_step_accuracy", "test_step_pages", "test_report"}
NEED_A_BROWSER = {"browser", "address"}  # what has a page has the browser too

# How long an example takes says more of the machine than of the code. What must hold before a change lands tries the
# same examples whenever it is run; at a desk each run tries others
settings.register_profile("llmcalc", deadline=None, derandomize="CI" in os.environ)
settings.load_profile("llmcalc")


@pytest.hookimpl(tryfirst=True)  # before pytest leaves out what is slow, and xdist reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What needs a browser is slow, shares one browser in one process, and has a second try: on a machine that is busy
    with other tests a browser can take longer than anything waits. What needs every measured step compared is in one
    process, so that it is done once."""
    for item in items:
        if COMPARES & set(re.split(r"\W", item.nodeid)):
            item.add_marker(pytest.mark.xdist_group("measured steps"))
        if NEED_A_BROWSER & set(getattr(item, "fixturenames", ())):
            for mark in (pytest.mark.slow, pytest.mark.xdist_group("browser"), pytest.mark.flaky(reruns=1)):
                item.add_marker(mark)


@pytest.fixture(autouse=True)
def whole_runs_at_once(monkeypatch):
    """AppTest shows of a run only what it drew, so let each draw the whole app; and no chart waits for a browser.

    That what is drawn in parts is the same is tested in a browser, and in test_sections.py.
    """
    monkeypatch.setattr(sections, "HEAD_START", 0)
    monkeypatch.setattr(sections, "rerun_fragments", lambda keys: None)


@pytest.fixture(scope="session")
def address() -> Iterator[str]:
    """Where the app runs for the browser."""
    with dashboard() as found:
        yield found


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """One browser for all tests that need one."""
    with chromium() as found:
        yield found


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page of its own for a test, on a desktop."""
    context = browser.new_context(viewport={"width": 1440, "height": 1000})
    page = context.new_page()
    page.set_default_timeout(30_000)
    yield page
    context.close()
