"""Back and Forward: the browser's own history, with an entry for each page and for each gesture that changes an input."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

_SCRIPT = Path(__file__).with_name("history.js").read_text("utf-8")


def keep_history() -> None:
    """Have the browser's history written as `history.js` says, from the first run of a session on."""
    with st.container(key="unseen_history"):
        st.html(f"<script>{_SCRIPT}</script>", unsafe_allow_javascript=True)
