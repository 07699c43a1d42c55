"""Every chart of the app is drawn through `chart`, which `pages.ui.app.screen` calls.

A small component keeps one Plotly chart per key in the page: a rerun changes its data in place, so that zoom
and hidden legend entries stay (Streamlit's own Plotly element is mounted anew on each change). Colours and
fonts are applied in the browser from Streamlit's theme, so a figure carries only what it means.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import lru_cache
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from zlib import crc32

import streamlit as st
from streamlit import runtime
from streamlit.components.v1 import declare_component

from llmcalc.words import w
from pages.ui.document.blocks import Chart

# What a figure may use for a colour besides Plotly's own notations. chart.js takes the values from the theme;
# these are the light ones, for the fallback.
THEME_COLOURS = {
    "text": "#31333F",
    "muted": "#6B6D76",
    "grid": "#E6E6E8",
    "background": "#FFFFFF",
    "primary": "#00659E",
}

_COLOUR = r"(#[0-9a-fA-F]{3,8}|rgba?\([^)|]*\)|theme:[a-z]+)"
_PAIR = re.compile(rf"{_COLOUR}\|{_COLOUR}")
_MOUNT = "plotly"
_MOUNTED = f"{__name__}.{_MOUNT}"
_SCRIPTS = Path(__file__).with_name("browser")
# The server sends no expiry date; the version in the address makes any stored copy good
_SCRIPTS_MOUNT = f"v{crc32(b''.join(file.read_bytes() for file in sorted(_SCRIPTS.glob('*.js')))):08x}"
_SCRIPTS_MOUNTED = f"{__name__}.{_SCRIPTS_MOUNT}"
_FALLBACK_CONFIG = {"displaylogo": False, "scrollZoom": False, "locale": "en"}


def _fetched() -> str:
    """The script that Streamlit sends along with every chart, at every step: it fetches what draws them, once.

    The app may live under a prefix that only the browser knows (a proxy), so it starts from Streamlit's own files.
    """
    return f"""
let fetched;
export default function (chart) {{
  const entry = document.querySelector('script[src*="/static/js/"]');
  const root = entry ? entry.src.split("static/js/")[0] : document.baseURI;
  fetched ??= import(new URL("component/{_SCRIPTS_MOUNTED}/chart.js", root)).catch((error) => {{
    fetched = undefined;
    throw error;
  }});
  fetched.then(({{ draw }}) => draw(chart), (error) => chart.parentElement.replaceChildren(String(error)));
}}
"""


# Not isolated: Plotly puts its style sheet into the page's head, which a shadow root would not see.
_component = st.components.v2.component("llmcalc_chart", js=_fetched(), isolate_styles=False)


@lru_cache(maxsize=1)
def _library() -> tuple[Path, str]:
    """Find the folder of plotly.js in the installed package plotly, without importing it, and its address."""
    spec = find_spec("plotly")
    if spec is None or spec.origin is None:
        raise FileNotFoundError("the package plotly is not installed")
    folder = Path(spec.origin).parent / "package_data"
    file = folder / "plotly.min.js"
    if not file.is_file():
        raise FileNotFoundError(file)
    return folder, f"component/{_MOUNTED}/{file.name}?v={version('plotly')}"


def _library_address() -> str | None:
    """Serve plotly.js and our scripts, and return its address relative to the app's root; None where no server runs.

    Folders are registered as the files of (never shown) components: the one public way to serve files by a path, for
    all sessions at once.
    """
    try:
        folder, address = _library()
        registry = runtime.get_instance().component_registry
        if registry.get_component_path(_MOUNTED) is None:
            declare_component(_SCRIPTS_MOUNT, path=_SCRIPTS)
            declare_component(_MOUNT, path=folder)
        # Under AppTest the registry is a mock and returns no path.
        return address if isinstance(registry.get_component_path(_MOUNTED), str) else None
    except (OSError, RuntimeError, ImportError, AttributeError):
        return None


def _light(value: Any) -> Any:
    """Resolve colour pairs and theme colours to the light ones, as the fallback has no theme to ask."""
    if isinstance(value, str):
        pair = _PAIR.fullmatch(value)
        colour = pair[1] if pair else value
        return THEME_COLOURS[colour.removeprefix("theme:")] if colour.startswith("theme:") else colour
    if isinstance(value, Mapping):
        return {name: _light(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_light(item) for item in value]
    return value


def chart(drawn: Chart, large: bool = False) -> None:
    """Draw a Plotly figure, or change the one drawn under the same key.

    drawn: its figure is `{"data": [...], "layout": {...}}` of plain lists, numbers and strings. A colour may be a pair
        `"#0072B2|#56B4E9"` (light theme | dark theme; each side `#…`, `rgb(…)`, `rgba(…)` or a theme colour)
        or a theme colour, one of THEME_COLOURS written `"theme:muted"`. Fonts, background, grid, legend
        and margins come from the theme unless the layout sets them. A zoom outlives changes of the
        data; give `layout.uirevision` a new value where it should not (say, from linear to logarithmic).
        Its height has a title of one line in it and not the legend, which is drawn below as buttons; it is reserved
        before the chart is drawn.
    large: as high as the window lets it be.

    Without a server (in AppTest) the figure goes to `st.plotly_chart`, which also validates it. A test reads
    it, with the light colours, from `json.loads(at.get("plotly_chart")[0].proto.spec)`, its words from
    `.proto.alt`; `.proto.id` ends with the key.
    """
    key, alt, height = drawn.key, drawn.alt, drawn.height
    address = _library_address()
    if address is None:
        st.plotly_chart(_light(drawn.figure), key=key, alt=alt, height=height, config=_FALLBACK_CONFIG)
        return
    content = {
        "key": key,
        "title": title_of(drawn.figure),
        "alt": alt,
        "height": height,
        "large": large,
        "library": address,
        "words": {act: w(f"chart.{act}") for act in ("png", "svg", "reset", "enlarge", "shrink")},
    }
    told = json.dumps(content, ensure_ascii=False, separators=(",", ":"))
    # as bytes, for Streamlit would write a dict twice
    _component(key=key, data=f'{told[:-1]},"figure":{drawn.json}}}'.encode(), height="content")


def title_of(figure: Mapping[str, Any]) -> str:
    """A figure's title without markup."""
    return re.sub(r"<[^>]*>", " ", figure["layout"]["title"]["text"])
