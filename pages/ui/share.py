"""The link of what is shown, short enough to be scanned from a wall, as a QR code."""

from __future__ import annotations

import html
from functools import lru_cache
from urllib.parse import urlencode, urlsplit

import segno
import streamlit as st

from llmcalc.inputs import link_differences
from pages.ui.ask import defaults, values
from pages.ui.words import w

_HERE_ONLY = ("localhost", "0.0.0.0", "::1", "::")


def short_link() -> str:
    """The address of this page with what differs from the defaults, the language and the version; not as presented."""
    here = urlsplit(st.context.url or "")
    page = f"{here.scheme}://{here.netloc}{here.path or '/'}"
    return f"{page}?{urlencode(link_differences(values() | {'present': False}, defaults()))}"


def qr_code() -> None:
    """The short link as a QR code; where it would be of no use, why, and what to do."""
    address = short_link()
    host = urlsplit(address).hostname or ""
    if host in _HERE_ONLY or host.startswith("127."):
        st.warning(w("link.qr_here_only", host=host))
    if (drawing := _drawn(address)) is None:
        st.warning(w("link.qr_too_long"))
        return
    st.html(f'<img class="qr" src="{drawing}" alt="{html.escape(w("link.qr_label", address=address))}">')
    st.caption(f"{w('link.qr_explained')} [{w('link.qr_open')}]({address})")


def qr_popover() -> None:
    """A button that opens the QR code, large."""
    with st.popover(w("link.qr"), icon=":material/qr_code_2:", key="stage_qr", on_change="rerun") as opened:
        if opened.open:
            qr_code()


@lru_cache(maxsize=64)
def _drawn(address: str) -> str | None:
    """An SVG as a data: address, black on white with the quiet zone that the standard asks for; None if too long."""
    try:
        code = segno.make(address, error="l", micro=False)
    except segno.DataOverflowError:
        return None
    return str(code.svg_data_uri(border=4, light="white", scale=8))
