"""The app as AppTest runs it: open a page with a link, read its charts and metrics."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from unittest.mock import patch

from streamlit.testing.v1 import AppTest
from streamlit.testing.v1.element_tree import Button

_BADGE = re.compile(r" :\w+-badge\[.+\]")
_OPENER = re.compile(r"(.+?) :\w+-badge\[(?:.+)\] \*\*(.+)\*\* :small\[.+\]")


def opened(page: str = "explore", link: Mapping[str, str] | None = None) -> AppTest:
    """The app on one page, with a link's parameters, after one run without an exception."""
    app = AppTest.from_file("../app.py", default_timeout=600)
    for key, value in (link or {}).items():
        app.query_params[key] = value
    app.switch_page(f"pages/{page}.py").run()
    assert not app.exception, [e.value for e in app.exception]
    return app


def taken_in(link: Mapping[str, str]) -> AppTest:
    """The app with its controls and no page: what it makes of a link, whichever page that opens."""
    with patch("pages.ui.app.shell._run"):
        return opened(link=link)


def charts(app: AppTest) -> list[dict]:
    """The figures of all charts, from the top."""
    return [json.loads(element.proto.spec) for element in app.get("plotly_chart")]


def openers(app: AppTest) -> dict[str, Button]:
    """The headline numbers that open their working, by their labels."""
    return {found[1]: button for button in app.button if (found := _OPENER.fullmatch(button.label))}


def metrics(app: AppTest) -> dict[str, str]:
    """The headline numbers, by their labels."""
    opening = {label: _OPENER.fullmatch(button.label)[2] for label, button in openers(app).items()}
    return opening | {_BADGE.sub("", metric.label): metric.value for metric in app.metric}


def copied_link(app: AppTest) -> str:
    """The link in its menu, once that is open."""
    app.session_state["menu"] = "link"
    app.run()
    (code,) = app.sidebar.code
    return code.value
