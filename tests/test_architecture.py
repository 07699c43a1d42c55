"""The arrows go one way: pages draw what llmcalc computes."""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import pytest
from laws import for_each

import llmcalc.transformer
from llmcalc.devices.layout import Layout
from llmcalc.transformer import part as questions

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
    drawing = {"streamlit", "plotly", "altair", "matplotlib", "pages", "app"}
    assert not loaded & (drawing | {"pandas", "huggingface_hub", "torch"})


@for_each("path", CALCULATION)
def test_calculation_imports_only_the_standard_library_numpy_and_pandas(path):
    allowed = {"llmcalc", "numpy", "pandas"} | ({"huggingface_hub"} if path.name == "hub.py" else set())
    allowed |= {"torch", "transformers", "peft"} if path.parent.name == "measure" else set()  # once a step is run
    assert imports_of(path) <= sys.stdlib_module_names | allowed


# From the ground up: what stands later in the list is imported by nothing before it
FLOORS = (
    *("version", "cached", "errors", "sources", "symbols", "units", "sizes", "tex", "quantity", "words"),
    *("transformer", "catalog", "huggingface", "hub", "stored", "rates", "step", "devices", "serving"),
    *("article", "scaling", "fit", "accuracy", "techniques", "kinds", "inputs", "link_text", "bases", "adapters"),
    *(
        "comparison",
        "link",
        "facets",
        "configuration",
        "beside",
        "snippets",
        "question",
        "unlisted_devices",
        "typed_names",
        "typed_formats",
        "typed_settings",
        "typed_negations",
        "phrase",
        "sweeps",
        "errata",
        "lessons",
    ),
    *("reference", "notebook", "measure", "export"),
)
# How a value shows itself at a prompt is asked of it, and answered far above; what a formula counts is said in English
# by the formula itself. Imported only then
SHOWN = {(below, "notebook") for below in ("quantity", "transformer", "step")} | {("words", "reference")}


def drawers_imported(path: Path) -> set[str]:
    """The drawers and files right under `llmcalc` that a file imports, inside functions too."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module == "llmcalc":
            found |= {f"llmcalc.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(node.module or "")
    return {name.split(".")[1] for name in found if name.startswith("llmcalc.")}


def test_no_import_runs_upwards():
    up, drawers = set(), set()
    for path in CALCULATION:
        drawer = path.relative_to(ROOT / "llmcalc").with_suffix("").parts[0]
        if drawer != "__init__":
            drawers.add(drawer)
            up |= {(drawer, other) for other in drawers_imported(path) if FLOORS.index(other) > FLOORS.index(drawer)}
    assert up == SHOWN
    assert drawers == set(FLOORS)


def test_rows_that_were_measured_are_in_the_drawer_that_measures_us():
    """What drivers report as a device's memory is the one figure that a row of the catalogue is read off."""
    package = ROOT / "llmcalc"
    kept = {str(path.relative_to(package)) for suffix in ("jsonl", "csv") for path in package.rglob(f"*.{suffix}")}
    assert {row for row in kept if not row.startswith("accuracy/")} == {"catalog/reported_memory.csv"}


def collections_of(path: Path) -> Iterator[set[str]]:
    """The words in each tuple, list, set and dictionary that is written out."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        members = node.keys if isinstance(node, ast.Dict) else getattr(node, "elts", [])
        yield {n.value for member in members if member for n in ast.walk(member) if isinstance(n, ast.Constant)}


def test_the_fields_of_a_layout_are_listed_once():
    """Whoever wants them all, or those of a kind, asks the class. A plan's name says them in an order of its own, with
    its micro-batches."""
    names = {field.name for field in fields(Layout)}
    for path in (*CALCULATION, *(ROOT / "pages").rglob("*.py")):
        listed = [found for found in collections_of(path) if len(names - found) <= 2 and "micro_batch" not in found]
        assert listed == [], path


def test_every_file_of_data_is_in_the_package_that_is_built():
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["setuptools"]["package-data"]
    found = {path for pattern in wanted["llmcalc"] for path in (ROOT / "llmcalc").glob(pattern)}
    assert all(any((ROOT / "llmcalc").glob(pattern)) for pattern in wanted["llmcalc"])
    others = {path for path in (ROOT / "llmcalc").rglob("*.*") if path.is_file() and path.suffix not in {".py", ".pyc"}}
    assert others == found


def test_pages_and_app_are_not_imported_by_one_another():
    for path in (ROOT / "pages").rglob("*.py"):
        assert "app" not in imports_of(path), path


# Each drawer of the pages uses only those before it, and the first four know no screen; last come the pages themselves
DRAWERS = ("words", "figures", "document", "content", "chart", "app", "page")
WITHOUT_SCREEN = DRAWERS[:4]


def drawer_of(module: str) -> str:
    """Of ``pages.ui.figures.plans`` figures, of ``pages.content.explore`` content, of ``pages.explore`` page."""
    names = module.removeprefix("pages.").removeprefix("ui.").split(".")
    return names[0] if len(names) > 1 or names[0] in DRAWERS else "page"


def of_pages(path: Path) -> set[str]:
    """The modules under ``pages`` that a file imports from."""
    nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
    named = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    named |= {node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)}
    return {module for module in named if module.split(".")[0] == "pages"}


@for_each("path", sorted((ROOT / "pages").rglob("*.py")))
def test_a_drawer_of_the_pages_uses_only_those_before_it(path):
    at = DRAWERS.index(drawer_of(".".join(path.relative_to(ROOT).with_suffix("").parts)))
    used = {drawer_of(module) for module in of_pages(path)}
    assert used <= set(DRAWERS[: at + 1]) - {"page"}, path


def test_what_pages_say_is_loaded_without_anything_that_draws():
    drawers = (found for drawer in WITHOUT_SCREEN for found in (ROOT / "pages").glob(f"**/{drawer}"))
    files = [path for drawer in drawers for path in sorted(drawer.glob("*.py"))]
    assert {path.parent.name for path in files} == set(WITHOUT_SCREEN)
    modules = [".".join(path.relative_to(ROOT).with_suffix("").parts) for path in files]
    loaded = imported_by(f"import sys, {', '.join(modules)}; print(*{{name.split('.')[0] for name in sys.modules}})")
    assert "pages" in loaded
    assert not loaded & {"streamlit", "plotly", "altair", "matplotlib", "app"}


# A part answers for itself

TRANSFORMER = "llmcalc.transformer"
KINDS = {
    name
    for found in pkgutil.iter_modules(llmcalc.transformer.__path__)
    for name, value in vars(importlib.import_module(f"{TRANSFORMER}.{found.name}")).items()
    if inspect.isclass(value) and {"id", "component"} <= set(vars(value).get("__dataclass_fields__", ()))
}
PROTOCOLS = {name for name, value in vars(questions).items() if getattr(value, "_is_protocol", False)}
GROUND = ("cached", "quantity", "tex", "units", "sources", "symbols", "errors")  # on which the parts stand
KNOWS_NO_PARTS = {f"{name}.py" for name in (*GROUND, "hub")}
OTHERS = [
    path
    for path in (*CALCULATION, *sorted((ROOT / "pages").rglob("*.py")), ROOT / "app.py")
    if path.relative_to(ROOT).parts[:2] not in {("llmcalc", "transformer"), ("llmcalc", "huggingface")}
    and not (path.parent.name == "llmcalc" and path.name in KNOWS_NO_PARTS)
]


def named_in(node: ast.expr) -> set[str]:
    return {n.id for n in ast.walk(node) if isinstance(n, ast.Name)} | {
        n.attr for n in ast.walk(node) if isinstance(n, ast.Attribute)
    }


def told_apart(code: str) -> list[str]:
    """Where a module asks of an object what kind of part it is, or whether it has something at all."""
    tree = ast.parse(code)
    imported = [n for n in ast.walk(tree) if isinstance(n, ast.ImportFrom) and (n.module or "").startswith(TRANSFORMER)]
    of_parts = KINDS | PROTOCOLS | {alias.asname or alias.name for node in imported for alias in node.names}
    found = []
    for node in ast.walk(tree):
        match node:
            case ast.Call(ast.Name("isinstance" | "issubclass"), [_, kind]) | ast.MatchClass(kind):
                wrong = bool(named_in(kind) & of_parts)
            case ast.Call(ast.Name("type"), [_]) | ast.Call(ast.Name("hasattr")) | ast.Attribute(attr="__class__"):
                wrong = True
            case ast.Call(ast.Name("getattr"), [_, _, _]):
                wrong = True
            case _:
                wrong = False
        if wrong:
            found.append(ast.unparse(node))
    return found


def test_only_a_part_says_of_what_kind_it_is():
    """What depends on the kind is asked of the part, by the functions of `llmcalc.transformer.part`."""
    for path in OTHERS:
        assert told_apart(path.read_text(encoding="utf-8")) == [], path


@pytest.mark.parametrize(
    "code",
    [
        "isinstance(part, LatentAttention)",
        "isinstance(part, int | attention.Attention)",
        "isinstance(part, tuple(NORMS.values()))",
        "isinstance(part, Caching)",
        "type(part) is Other",
        "part.__class__.__name__",
        "getattr(part, 'window', None)",
        "hasattr(part, 'window')",
        "match part:\n    case Experts(n_experts=n): pass",
    ],
)
def test_every_way_of_telling_parts_apart_is_seen(code):
    assert len(told_apart(f"from llmcalc.transformer.norm import NORMS\n{code}")) == 1


def test_kinds_of_parts_are_known_by_name_only_to_what_runs_them():
    """A model is made in `transformer` and `huggingface`; in `step` each file names the kinds that it runs."""
    for path in OTHERS:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        imported = {alias.name for n in ast.walk(tree) if isinstance(n, ast.ImportFrom) for alias in n.names}
        assert path.parent.name == "step" or not imported & KINDS, path


def test_no_table_goes_by_the_formula_of_a_number():
    """Which formula gave a number is for its words; what else depends on that is said by the part that calls it."""
    for path in OTHERS:
        read = [n for n in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(n, ast.Attribute)]
        assert path.parent.name in ("words", "document") or "formula_id" not in {node.attr for node in read}, path


def test_a_part_knows_nothing_of_what_is_done_with_it():
    for path in (ROOT / "llmcalc" / "transformer").glob("*.py"):
        nodes = [n for n in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(n, ast.ImportFrom)]
        modules = {node.module for node in nodes if (node.module or "").startswith("llmcalc.")}
        assert {m for m in modules if not m.startswith(TRANSFORMER)} <= {f"llmcalc.{name}" for name in GROUND}, path


@pytest.mark.xdist_group("shared")
def test_tests_of_a_group_share_a_process(request):
    """xdist deals groups out one by one only where a test's name ends in its group's."""
    if getattr(request.config.option, "loadgroup", False):
        assert request.node.nodeid.endswith("@shared")
