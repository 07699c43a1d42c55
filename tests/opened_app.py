"""The app as AppTest runs it: open a page with a link, read its charts and metrics."""

from __future__ import annotations

import json
from collections.abc import Mapping

from streamlit.testing.v1 import AppTest


def opened(page: str = "explore", link: Mapping[str, str] | None = None) -> AppTest:
    """The app on one page, with a link's parameters, after one run without an exception."""
    app = AppTest.from_file("../app.py", default_timeout=60)
    for key, value in (link or {}).items():
        app.query_params[key] = value
    app.switch_page(f"pages/{page}.py").run()
    assert not app.exception, [e.value for e in app.exception]
    return app


def charts(app: AppTest) -> list[dict]:
    """The figures of all charts, from the top."""
    return [json.loads(element.proto.spec) for element in app.get("plotly_chart")]


def metrics(app: AppTest) -> dict[str, str]:
    """The headline numbers, by their labels."""
    return {metric.label: metric.value for metric in app.metric}


def copied_link(app: AppTest) -> str:
    """The link in its menu, once that is open."""
    app.session_state["copy_link"] = True
    app.run()
    (code,) = app.sidebar.code
    return code.value
