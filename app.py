"""llmcalc: which pages there are, and what every page shares; nothing else."""

import streamlit as st

from pages.ui.app.shell import PAGES, draw, pages, speak_to_reader, tame_python
from llmcalc.words import w
from pages.ui.app.address import SHORTEN_ADDRESS, address_messages, take_in_address, write_address
from pages.ui.app.history import KEEP_HISTORY
from pages.ui.app.sections import prepare_unseen
from pages.ui.app.style import style

take_in_address()
speak_to_reader()
st.set_page_config(page_title=w("app.title"), page_icon="🧮", layout="wide", initial_sidebar_state="auto")
tame_python()
style(SHORTEN_ADDRESS + KEEP_HISTORY)
prepare_unseen()
page = st.navigation(pages(), position="top", expanded=True)
write_address(page.url_path or PAGES[0])
address_messages()
draw(page)
