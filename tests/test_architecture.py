"""The arrows go one way: pages draw what llmcalc computes."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

from laws import for_each

ROOT = Path(__file__).parent.parent
CALCULATION = sorted((ROOT / "llmcalc").rglob("*.py"))
IMPORT_ALL = """
import importlib, pkgutil, sys
import llmcalc
for module in pkgutil.walk_packages(llmcalc.__path__, prefix="llmcalc."):
    importlib.import_module(module.name)
print(*sorted({name.partition(".")[0] for name in sys.modules}))
"""


def imported_by(code: str) -> set[str]:
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True)
    return set(done.stdout.split())


def imports_of(path: Path) -> set[str]:
    """Top names of all imports in a file, those inside functions too."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            found.add((node.module or "").partition(".")[0])
    return found


def test_calculation_loads_nothing_that_draws():
    loaded = imported_by(IMPORT_ALL)
    assert "numpy" in loaded
    assert not loaded & {"streamlit", "plotly", "altair", "matplotlib", "pages", "app", "pandas", "huggingface_hub"}


@for_each("path", CALCULATION)
def test_calculation_imports_only_the_standard_library_numpy_and_pandas(path):
    allowed = {"llmcalc", "numpy", "pandas"} | ({"huggingface_hub"} if path.name == "hub.py" else set())
    assert imports_of(path) <= sys.stdlib_module_names | allowed


def test_pages_and_app_are_not_imported_by_one_another():
    for path in (ROOT / "pages").rglob("*.py"):
        assert "app" not in imports_of(path), path
