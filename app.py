"""llmcalc: which pages there are, and what every page shares; nothing else."""

import streamlit as st

from pages.ui.history import keep_history
from pages.ui.sections import prepare_unseen
from pages.ui.shell import draw, link_messages, pages, read_link, speak_to_reader, tame_python
from pages.ui.style import style
from pages.ui.words import w

speak_to_reader()
st.set_page_config(page_title=w("app.title"), page_icon="🧮", layout="wide", initial_sidebar_state="auto")
tame_python()
style()
keep_history()
prepare_unseen()
page = st.navigation(pages(), position="top")
read_link()
link_messages()
draw(page)
