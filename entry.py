"""Where every script that Streamlit runs enters, before it imports anything else of ours.

Readers run scripts at once, on threads of one process. Of two threads that load a package and one of its modules at the
same moment each can wait for the other, and Python then gives one of them an error. Through one module they take turns.
"""

from pages.ui.shell import PAGES, draw, inside_app, pages, speak_to_reader, tame_python

__all__ = ["PAGES", "draw", "inside_app", "pages", "speak_to_reader", "tame_python"]
