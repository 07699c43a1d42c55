"""What plain pytest collects: tests/oracle only where torch and transformers (the oracle extra) are installed."""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Iterator
from importlib.util import find_spec

import pytest
from hypothesis import settings
from real_browser import Browser, Page, chromium, dashboard
from streamlit.components.v2 import manifest_scanner

from pages.ui.app import sections

collect_ignore = [] if find_spec("torch") and find_spec("transformers") else ["oracle"]

# What needs the same long work, which a process does once: files, tests, and the page that shows every measured step
NEEDS = {
    "measured steps": {
        *("accuracy", "test_accuracy", "test_step_accuracy", "test_step_pages", "test_report"),
        "test_every_table_is_parsed_back_to_the_same_numbers",
        "test_the_articles_figures_and_the_measured_steps_are_all_there",
        "test_every_page_offers_its_data_in_one_menu_and_makes_nothing_before_it_is_asked_for",
        "test_every_chart_says_in_words_what_it_shows",
    },
    "all ids": {"test_every_id_has_words", "test_no_words_are_left_over"},
    "ends of inputs": {
        "test_a_question_has_distinct_answers_at_the_ends_of_inputs_and_every_mistake_is_made_somewhere"
    },
}
NEED_A_BROWSER = {"browser", "address"}  # what has a page has the browser too

# How long an example takes says more of the machine than of the code. What must hold before a change lands tries the
# same examples whenever it is run; at a desk each run tries others
settings.register_profile("llmcalc", deadline=None, derandomize="CI" in os.environ)
settings.load_profile("llmcalc")


@pytest.hookimpl(tryfirst=True)  # before pytest leaves out what is slow, and xdist reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What needs a browser is slow, shares one browser in one process, and has a second try: on a machine that is busy
    with other tests a browser can take longer than anything waits. What `NEEDS` the same work is in one process."""
    for item in items:
        called = set(re.split(r"\W", item.nodeid))
        for work, needing in NEEDS.items():
            if needing & called:
                item.add_marker(pytest.mark.xdist_group(work))
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


@pytest.fixture(scope="session", autouse=True)
def installed_packages_are_read_once() -> Iterator[None]:
    """AppTest looks for components in all of them whenever an app is opened: two fifths of what that took."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(
            manifest_scanner, "scan_component_manifests", functools.cache(manifest_scanner.scan_component_manifests)
        )
        yield


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
