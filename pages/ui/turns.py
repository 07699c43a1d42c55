"""Whose turn it is: the script's, the sending thread's or the browser's.

The threads of a process share one interpreter, and Streamlit sends in rounds ten milliseconds apart. At each round that
it gets before the first chart the browser draws the whole page anew, and the chart waits. So what comes before that
chart, and the chart, are to be in one round: until it is drawn the script keeps the interpreter to itself.
"""

import sys
import time

# Seconds that charts are ahead of the rest, so that they are sent and drawn before it comes: a script that goes on
# keeps the sending thread from its turn, and the browser lays out all that waits for it.
HEAD_START = 0.07
_TOLD = 0.002  # in which the browser is told that a run began: it does its part of that while we do ours
_KEPT = 0.02  # after which even a script that has drawn no chart yet has to let others in
_SHARED = 0.0005  # a tenth of what is usual: in which the sending thread gets its turn


def share() -> None:
    """Let the sending thread in from now on, as soon as there is something to send."""
    if sys.getswitchinterval() != _SHARED:
        sys.setswitchinterval(_SHARED)
        time.sleep(_SHARED)


def keep() -> None:
    """Let nobody in until `share`."""
    sys.setswitchinterval(_KEPT)


def tell_browser() -> None:
    """Wait until the browser has been told that a run began."""
    time.sleep(_TOLD)


def let_browser_draw() -> None:
    """Wait until the browser has had time to draw what there is."""
    share()
    time.sleep(HEAD_START)
