"""Serve a Streamlit script as `streamlit run` does, and write the duration of each script run to a file.

python tests/bench/serve.py SCRIPT PORT FILE
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

from streamlit import config
from streamlit.runtime.scriptrunner.script_runner import ScriptRunner
from streamlit.web import bootstrap

script, port, durations = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])
run_script = ScriptRunner._run_script


def timed(self: ScriptRunner, *arguments: Any) -> None:
    """One run of the script, the garbage collection after it included."""
    start = time.perf_counter()
    run_script(self, *arguments)
    with durations.open("a") as file:
        file.write(f"{time.perf_counter() - start}\n")


ScriptRunner._run_script = timed  # type: ignore[method-assign]
options = {
    "server.port": port,
    "server.address": "127.0.0.1",
    "server.headless": True,
    "server.fileWatcherType": "none",
    "browser.gatherUsageStats": False,
}
for name, value in options.items():
    config.set_option(name, value)
bootstrap.run(script, False, [], {})
