"""A process that has just started serves everyone who comes: scripts that load what is ours at the same moment."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SCRIPTS = [ROOT / "app.py", *sorted((ROOT / "pages").glob("*.py"))]
OURS = ("llmcalc", "pages")
AT_ONCE = """
import sys, threading
import streamlit  # which is what runs them
sys.setswitchinterval(1e-6)
start, failed = threading.Barrier(len(sys.argv) - 1), []
def load(imports):
    start.wait()
    try:
        exec(imports, {})
    except BaseException as error:
        failed.append(repr(error))
threads = [threading.Thread(target=load, args=(imports,)) for imports in sys.argv[1:]]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
sys.exit("\\n".join(failed) or 0)
"""


def imports_of(script: Path) -> list[ast.Import | ast.ImportFrom]:
    return [node for node in ast.parse(script.read_text("utf-8")).body if isinstance(node, ast.Import | ast.ImportFrom)]


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
def test_a_script_enters_by_the_one_door(script):
    froms = [node.module for node in imports_of(script) if isinstance(node, ast.ImportFrom)]
    ours = [module for module in froms if str(module).split(".")[0] in OURS]
    assert ours[0] == "pages.ui.app.shell"
    assert not [
        name for node in imports_of(script) if isinstance(node, ast.Import) for name in node.names if name.name in OURS
    ]


@pytest.mark.parametrize("time", range(2))
def test_scripts_that_start_at_once_load_all_they_need(time):
    loading = ["\n".join(map(ast.unparse, imports_of(script))) for script in SCRIPTS]
    done = subprocess.run([sys.executable, "-c", AT_ONCE, *loading], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2_000:]
