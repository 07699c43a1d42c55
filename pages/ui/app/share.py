"""The link of what is shown, short enough to be scanned from a wall, as a QR code."""

from __future__ import annotations

import html
from contextlib import nullcontext
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import segno
import streamlit as st

from llmcalc.bases import AT_FIRST_OF_OTHERS, OF_RECIPE
from llmcalc.link_text import LINK_VERSION, link_differences, link_parameters, written
from llmcalc.words import language, w
from pages.ui.app.state import state, values

_COPY = st.components.v2.component(
    "llmcalc_copy", js=Path(__file__).with_name("copy.js").read_text("utf-8"), isolate_styles=False
)
_HERE_ONLY = ("localhost", "0.0.0.0", "::1", "::")


def link() -> str:
    """The address of this page with every input in it, defaults included, and the version."""
    base = (st.context.url or "").split("?")[0]
    return f"{base}?{urlencode(link_parameters(values()))}"


def copy_button() -> None:
    """A button that copies the short link, as it is when it is pressed."""
    always = {"v": str(LINK_VERSION), "lang": language(), "model": values()["model"]}
    # what need not be named; but what a recipe decides can be another before this is drawn again
    usual = {
        id: written(value) for id, value in state().defaults.items() if id not in (*OF_RECIPE, *AT_FIRST_OF_OTHERS)
    }
    told = {"label": w("link.copy"), "done": w("link.copied")}
    _COPY(key="copy_link", data={**told, "always": always, "usual": usual})


def link_menu(address: str) -> None:
    """The link with every value, and the short one's QR code."""
    st.markdown(w("link.explained"))
    st.code(address, language=None, wrap_lines=True)
    qr_code()


def short_link() -> str:
    """The address of this page with what differs from the defaults, the language and the version; not as presented."""
    here = urlsplit(st.context.url or "")
    page = f"{here.scheme}://{here.netloc}{here.path or '/'}"
    return f"{page}?{urlencode(link_differences({**values(), 'present': False}, state().defaults))}"


def qr_code(picture: Any = None) -> None:
    """The short link as a QR code; where it would be of no use, why, and what to do.

    picture: a container for the code, where it is not to be amid what is said of it.
    """
    address = short_link()
    host = urlsplit(address).hostname or ""
    if host in _HERE_ONLY or host.startswith("127."):
        st.warning(w("link.qr_here_only", host=host))
    if (drawing := _drawn(address)) is None:
        st.warning(w("link.qr_too_long"))
        return
    with picture or nullcontext():
        st.html(f'<img class="qr" src="{drawing}" alt="{html.escape(w("link.qr_label", address=address))}">')
    st.caption(f"{w('link.qr_explained')} [{w('link.qr_open')}]({address})")


def qr_popover() -> None:
    """A button that opens the QR code, large."""
    with st.popover(w("link.qr"), icon=":material/qr_code_2:", key="stage_qr", on_change="rerun") as opened:
        if opened.open:
            with st.container(horizontal=True, vertical_alignment="center", key="qr_beside"):
                picture = st.container(width="content")
                with st.container(width=300):
                    qr_code(picture)


@lru_cache(maxsize=64)
def _drawn(address: str) -> str | None:
    """An SVG as a data: address, black on white with the quiet zone that the standard asks for; None if too long."""
    try:
        code = segno.make(address, error="l", micro=False)
    except segno.DataOverflowError:
        return None
    return str(code.svg_data_uri(border=4, light="white", scale=8))
