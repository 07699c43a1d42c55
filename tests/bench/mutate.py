"""Small faults, one at a time, and how many of them the tests find.

    python tests/bench/mutate.py                        # 60 of each drawer below
    python tests/bench/mutate.py devices --number 200   # more of one
    python tests/bench/mutate.py fit/advice.py --all    # every one of a file

A fault is one change of the syntax tree: + for -, / for *, a number one more or less, a comparison the other way round,
"and" for "or", no "not", a call's first argument in its place, one term of a sum left out. The drawer's tests run once
without a fault, and what each enters is noted. Then, for each fault, a process of its own runs those that enter the
function where it is, the quickest first, until one fails; tests that take longer than `LONGEST` seconds are left out.
What is outside of functions is changed in a copy of the repository, where all of them run. Which faults are tried is
settled by the seed. Those that change nothing that anyone could see are named in `EQUIVALENT`, with the reason; they
are left out.
"""

from __future__ import annotations

import argparse
import ast
import copy
import functools
import gc
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any

import pytest
from _pytest.runner import runtestprotocol
from hypothesis import HealthCheck, settings

ROOT = Path(__file__).parents[2]
LONGEST = 5.0  # seconds a test may take here
PATIENCE = 60  # seconds of a processor that a fault may take; then it counts as found, as one that never ends
OPTIONS = ["-p", "no:xdist", "-p", "no:cacheprovider", "-o", "addopts=", "-q", "--hypothesis-seed=0"]
OPTIONS += ["-m", "not browser and not slow"]
# What tests hold each drawer
TESTS = {
    "devices": (
        *("test_devices.py", "test_devices_golden.py", "test_device_laws.py", "test_fit_golden.py", "test_parts.py"),
        *("test_techniques.py", "test_techniques_golden.py", "test_training_cost.py"),
    ),
    "fit": ("test_fits.py", "test_fit_golden.py", "test_alignment.py", "test_verdict.py"),
    "techniques": ("test_techniques.py", "test_techniques_golden.py", "test_alignment.py", "test_caches_golden.py"),
    "rates": ("test_compute.py", "test_techniques.py", "test_techniques_golden.py", "test_devices_golden.py"),
    "stored": ("test_techniques.py", "test_techniques_golden.py"),
}
# Faults that no test could find: file, what stands there, what would; and why
EQUIVALENT: dict[tuple[str, str, str], str] = {
    ("fit/solve.py", "np.unique(np.geomspace(low + 1, high - 1, min(_POINTS, high - low - 1)).round().astype(int))",
     "(np.geomspace(low + 1, high - 1, min(_POINTS, high - low - 1)).round().astype(int))"): "the caller sorts again",
    ("fit/solve.py", "min(_POINTS, high - low - 1)", "(_POINTS)"): "more points fall on the same numbers",
    ("fit/solve.py", "high - 1", "(high)"): "what is no number between is left out below",
    ("fit/solve.py", "high - 1", "(high + 1)"): "the same",
    ("fit/solve.py", "high - low - 1", "(high - low)"): "one point more falls on the same numbers",
    ("fit/solve.py", "24", "(25)"): "how many are tried at once decides only how fast the end is found",
    ("fit/solve.py", "24", "(23)"): "the same",
    ("fit/solve.py", "points < high", "(points <= high)"): "what is known to fail is tried again",
    ("fit/solve.py", "points > low", "(points >= low)"): "what is known to fit is tried again",
    ("fit/solve.py", "most + 1", "(most)"): "the largest is always among those that are tried first",
    ("devices/rank.py", "min(part.batch_size.min(), 2)", "(part.batch_size.min())"): "Work takes two at most itself",
    ("devices/work.py", "smallest(run)", "(run)"): "larger numbers of the same events, which are put in later anyway",
    ("devices/gathering.py", "chosen((layout.pipeline_parallel > 1) | (layout.keep_gathered > 0), 1, 0)",
     "((layout.pipeline_parallel > 1) | (layout.keep_gathered > 0))"): "a truth counts as 1 or 0",
    ("devices/plans.py", "16384", "(16385)"): "how many rows are worked out at once changes none of them",
    ("devices/plans.py", "16384", "(16383)"): "the same",
    ("techniques/pruning.py", "part.n_kv_heads > 1", "(part.n_kv_heads >= 1)"): "of one head one is left",
    ("stored/weights.py", "max((mixture.n_experts for mixture in mixtures(block.parts)), default=1)",
     "(0)"): "no rule asks for fewer than four experts",
}  # fmt: skip

_SWAPPED = {
    ast.Add: [ast.Sub], ast.Sub: [ast.Add], ast.Mult: [ast.Div], ast.Div: [ast.Mult], ast.FloorDiv: [ast.Div],
    ast.Mod: [ast.Mult], ast.Pow: [ast.Mult], ast.BitOr: [ast.BitAnd], ast.BitAnd: [ast.BitOr],
    ast.Lt: [ast.LtE, ast.GtE], ast.LtE: [ast.Lt, ast.Gt], ast.Gt: [ast.GtE, ast.LtE], ast.GtE: [ast.Gt, ast.Lt],
    ast.Eq: [ast.NotEq], ast.NotEq: [ast.Eq], ast.In: [ast.NotIn], ast.NotIn: [ast.In], ast.Is: [ast.IsNot],
    ast.IsNot: [ast.Is], ast.And: [ast.Or], ast.Or: [ast.And],
}  # fmt: skip
# Calls that give their argument in another type
_KEEPS_ITS_ARGUMENT = (
    "asarray",
    "array",
    "float",
    "int",
    "list",
    "tuple",
    "dict",
    "astype",
    "set",
    "bool",
    "str",
    "at",
)


@dataclass(frozen=True)
class Fault:
    """One change of a file: what stands between two places in it, and what is put there."""

    file: str
    line: int
    start: int
    end: int
    was: str
    becomes: str
    within: tuple[int, int, str]  # first and last line and name of the function or method, or zeros

    def put_in(self) -> bytes:
        """The file with it."""
        sound = (ROOT / "llmcalc" / self.file).read_bytes()
        return sound[: self.start] + self.becomes.encode() + sound[self.end :]

    @property
    def key(self) -> tuple[str, str, str]:
        """What it is looked up by."""
        return self.file, " ".join(self.was.split()), self.becomes

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.key[1]}  →  {self.becomes}"


def faults(file: str) -> Iterator[Fault]:
    """All of a file of llmcalc."""
    source = (ROOT / "llmcalc" / file).read_text(encoding="utf-8")
    lines = source.encode().splitlines(keepends=True)
    begins = [0]
    for line in lines:
        begins.append(begins[-1] + len(line))
    tree = ast.parse(source)
    functions = dict(_functions(tree))
    for node in _nodes(tree):
        start = begins[node.lineno - 1] + node.col_offset
        end = begins[node.end_lineno - 1] + node.end_col_offset
        was = source.encode()[start:end].decode()
        for changed in _changed(node):
            within = functions.get(id(node), (0, 0, ""))
            yield Fault(file, node.lineno, start, end, was, f"({ast.unparse(changed)})", within)


def _functions(tree: ast.Module) -> Iterator[tuple[int, tuple[int, int, str]]]:
    """Of every node in the body of a function or method, which that is."""
    classes = [(node, f"{node.name}.") for node in tree.body if isinstance(node, ast.ClassDef)]
    for owner, prefix in [(tree, ""), *classes]:
        for node in owner.body:
            if isinstance(node, ast.FunctionDef):
                first = min([node.lineno, *(d.lineno for d in node.decorator_list)])
                told = first, node.end_lineno or node.lineno, prefix + node.name
                for statement in node.body:
                    yield from ((id(each), told) for each in ast.walk(statement))


def _nodes(node: ast.AST) -> Iterator[ast.expr]:
    """The expressions that compute something: not annotations, decorators, text, or what only a type checker reads."""
    for name, value in ast.iter_fields(node):
        if name in ("annotation", "returns", "decorator_list", "format_spec"):
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST) and not _is_for_readers(child):
                if isinstance(child, ast.expr):
                    yield child
                yield from _nodes(child)


def _is_for_readers(node: ast.AST) -> bool:
    if isinstance(node, (ast.JoinedStr, ast.Import, ast.ImportFrom, ast.Raise, ast.Assert)):
        return True
    if isinstance(node, ast.If) and isinstance(node.test, ast.Name):
        return node.test.id == "TYPE_CHECKING"
    named_type = isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
    return named_type and node.targets[0].id in ("Size", "Table", "Place", "Fields", "Rule")


def _changed(node: ast.expr) -> Iterator[ast.expr]:
    """The same expression with one fault in it, each in turn."""
    if isinstance(node, ast.BinOp):
        yield from (_with(node, op=other()) for other in _SWAPPED.get(type(node.op), []))
        if isinstance(node.op, (ast.Add, ast.Sub)):
            yield node.left
        if isinstance(node.op, ast.Add):
            yield node.right
    if isinstance(node, ast.Compare) and len(node.ops) == 1:
        yield from (_with(node, ops=[other()]) for other in _SWAPPED.get(type(node.ops[0]), []))
    if isinstance(node, ast.BoolOp):
        yield from (_with(node, op=other()) for other in _SWAPPED[type(node.op)])
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.Not, ast.USub, ast.Invert)):
        yield node.operand
    if isinstance(node, ast.IfExp):
        yield _with(node, body=node.orelse, orelse=node.body)
    if isinstance(node, ast.Constant) and isinstance(node.value, bool):
        yield ast.Constant(not node.value)
    elif isinstance(node, ast.Constant) and isinstance(node.value, (int, float)):
        yield from (ast.Constant(node.value + more) for more in (1, -1))
    if isinstance(node, ast.Call) and node.args and not isinstance(node.args[0], ast.Starred):
        name = ast.unparse(node.func).rpartition(".")[2]
        if not (name[0].isupper() or name in _KEEPS_ITS_ARGUMENT):
            yield node.args[0]
    if isinstance(node, (ast.ListComp, ast.GeneratorExp, ast.SetComp, ast.DictComp)):
        for i, generator in enumerate(node.generators):
            for condition in generator.ifs:
                changed = copy.deepcopy(node)
                changed.generators[i].ifs = [c for c in generator.ifs if c is not condition]
                yield changed


def _with(node: ast.expr, **fields: object) -> ast.expr:
    changed = copy.copy(node)
    for name, value in fields.items():
        setattr(changed, name, value)
    return changed


# Tries


class Tries:
    """A plugin of pytest in whose session faults are tried instead of running the tests once."""

    def __init__(self, chosen: list[Fault], jobs: int, place: Path) -> None:
        self.chosen, self.jobs, self.place = chosen, jobs, place
        self.survivors: list[Fault] = []
        self.seconds: dict[str, float] = {}
        self._entered: dict[str, set[tuple[str, int]]] = {}

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Try every fault, so many at a time."""
        items = self._without_a_fault(session)
        running: dict[int, Fault] = {}
        for fault in [*self.chosen, *[None] * self.jobs]:
            if len(running) >= self.jobs or (fault is None and running):
                child, status = os.wait()
                self._told(running.pop(child), survived=status == 0)
            if fault is None:
                continue
            child = os.fork()
            if not child:
                os._exit(self._try(fault, items))
            running[child] = fault
        return True

    def _told(self, fault: Fault, *, survived: bool) -> None:
        print("survives" if survived else "found   ", fault, file=sys.stderr, flush=True)
        if survived:
            self.survivors.append(fault)

    def _without_a_fault(self, session: pytest.Session) -> list[pytest.Item]:
        """The quick tests in the order of what they take; in a process of its own, so that nothing is remembered."""
        told = self.place / "sound.json"
        child = os.fork()
        if not child:
            cut: list[bool] = []  # the clock of a busy machine may say so before that of the process does
            signal.signal(signal.SIGPROF, lambda *_: _too_long(cut))
            files = {str(ROOT / "llmcalc" / fault.file) for fault in self.chosen}
            found = []
            for item in session.items:
                entered: set[tuple[str, int]] = set()

                def note(frame: Any, event: str, _: Any, entered: set = entered) -> None:
                    if frame.f_code.co_filename in files:
                        entered.add((frame.f_code.co_filename, frame.f_code.co_firstlineno))

                _forget()
                cut.clear()
                began = time.process_time()
                signal.setitimer(signal.ITIMER_PROF, LONGEST)
                sys.settrace(note)
                passes = _passes(item)
                sys.settrace(None)
                signal.setitimer(signal.ITIMER_PROF, 0)
                found.append((passes, LONGEST if cut else time.process_time() - began, sorted(entered)))
            told.write_text(json.dumps(found))
            os._exit(0)
        os.waitpid(child, 0)
        sound = json.loads(told.read_text())
        told_of = zip(session.items, sound, strict=True)
        if failing := [i.nodeid for i, (passes, seconds, _) in told_of if not passes and seconds < LONGEST]:
            pytest.exit(f"fail without a fault: {failing}")
        for item, (_, seconds, entered) in zip(session.items, sound, strict=True):
            self.seconds[item.nodeid] = seconds
            self._entered[item.nodeid] = {(file, line) for file, line in entered}
        quick = [item for item in session.items if self.seconds[item.nodeid] < LONGEST]
        return sorted(quick, key=lambda item: self.seconds[item.nodeid])

    def _try(self, fault: Fault, items: list[pytest.Item]) -> int:
        """0 where all tests pass."""
        resource.setrlimit(resource.RLIMIT_CPU, (PATIENCE, PATIENCE))
        file, (first, last, name) = str(ROOT / "llmcalc" / fault.file), fault.within
        if not name or not _put_in_place(fault):
            return self._in_a_copy(fault, items)
        mine = [
            item for item in items
            if any(of == file and first <= line <= last for of, line in self._entered[item.nodeid])
        ]  # fmt: skip
        _forget()
        return int(not all(map(_passes, mine)))

    def _in_a_copy(self, fault: Fault, items: list[pytest.Item]) -> int:
        place = self.place / str(os.getpid())
        for name in ("llmcalc", "pages", "tests"):
            shutil.copytree(ROOT / name, place / name, ignore=shutil.ignore_patterns("__pycache__"))
        for name in ("app.py", "pyproject.toml", "README.md"):
            shutil.copy2(ROOT / name, place / name)
        (place / "llmcalc" / fault.file).write_bytes(fault.put_in())
        asked = [sys.executable, "-B", "-m", "pytest", *OPTIONS, "-x", *(item.nodeid for item in items)]
        code = subprocess.run(asked, cwd=place, capture_output=True, check=False).returncode
        shutil.rmtree(place)
        return code


class TooLong(BaseException):
    """A test has taken all the time that it may."""


def _too_long(cut: list[bool]) -> None:
    cut.append(True)
    raise TooLong


def _passes(item: pytest.Item) -> bool:
    """Run one test."""
    reports = runtestprotocol(item, log=False)
    item.session._setupstate.teardown_exact(None)
    return not any(report.failed for report in reports)


def _forget() -> None:
    """Empty what functions of ours remember of their results."""
    for each in gc.get_objects():
        if isinstance(each, functools._lru_cache_wrapper) and (each.__module__ or "").startswith(("llmcalc", "test")):
            each.cache_clear()


def _put_in_place(fault: Fault) -> bool:
    """Give the functions that are there already the code with the fault; False where that cannot be."""
    sound, changed = (
        _code_of(compile(source, str(ROOT / "llmcalc" / fault.file), "exec"), fault)
        for source in ((ROOT / "llmcalc" / fault.file).read_bytes(), fault.put_in())
    )
    becomes = dict(zip(_nested(sound), _nested(changed), strict=False))
    try:
        for each in gc.get_objects():
            if isinstance(each, FunctionType) and each.__code__ in becomes:
                each.__code__ = becomes[each.__code__]
    except ValueError:  # it closes over other names
        return False
    return True


def _code_of(module: CodeType, fault: Fault) -> CodeType:
    first, _, name = fault.within
    return next(c for c in _nested(module) if c.co_qualname == name and c.co_firstlineno == first)


def _nested(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _nested(constant)


def main() -> None:
    """Try the faults that the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("of", nargs="*", default=list(TESTS), help="a drawer of llmcalc, or a file in one")
    parser.add_argument("--number", type=int, default=60, help="how many faults of each")
    parser.add_argument("--all", action="store_true", help="every fault")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--tests", nargs="+", help="other files of tests than the drawer's")
    parser.add_argument("--jobs", type=int, default=2, help="how many at a time")
    asked = parser.parse_args()
    for of in asked.of:  # each in a process of its own
        if len(asked.of) > 1:
            subprocess.run([sys.executable, __file__, of, *(a for a in sys.argv[1:] if a not in asked.of)], check=True)
            continue
        path = ROOT / "llmcalc" / of
        files = [path] if path.is_file() else sorted(path.glob("*.py"))
        every = [f for file in files for f in faults(str(file.relative_to(ROOT / "llmcalc")))]
        chosen = every if asked.all else random.Random(asked.seed).sample(every, min(asked.number, len(every)))
        chosen = [fault for fault in chosen if fault.key not in EQUIVALENT]
        tests = [ROOT / "tests" / name for name in asked.tests or TESTS[of.partition("/")[0]]]
        with tempfile.TemporaryDirectory() as place:
            tries = Tries(chosen, asked.jobs, Path(place))
            code = pytest.main([*OPTIONS, *(str(test) for test in tests if test.exists())], plugins=[tries])
        if code not in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED):
            sys.exit(int(code))
        ours, theirs = Counter(f.file for f in chosen), Counter(f.file for f in tries.survivors)
        for file, number in sorted(ours.items()):
            print(f"{file}: {number - theirs[file]} of {number} found")
        found = len(chosen) - len(tries.survivors)
        rate = f"{100 * found / len(chosen):.0f} %, of {len(every)} that there are"
        print(f"== {of}: {found} of {len(chosen)} found, {rate}")


if __name__ == "__main__":
    sys.path[:1] = [str(ROOT), str(ROOT / "tests")]
    os.chdir(ROOT)
    # beside other work a draw may take long, which is no fault
    settings.register_profile("faults", deadline=None, suppress_health_check=[HealthCheck.too_slow])
    settings.load_profile("faults")
    main()
