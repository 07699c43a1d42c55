"""Reads what a machine printed: start-up logs of vLLM, SGLang, llama.cpp and ollama, PyTorch as it runs out of memory,
and nvidia-smi.

Anything may be pasted. A line in which nothing is found is passed over; those that name a size and were not understood
are kept, to be said.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import reduce
from typing import Any

from llmcalc.errors import InputError
from llmcalc.serving.job import CUSTOM, ENGINES, OF_LLAMA_CPP, Serving
from llmcalc.serving.pasted.figures import FIGURES, Figure, added, figure, later
from llmcalc.serving.pasted.names import device_called, model_called
from llmcalc.serving.pasted.rules import RULES, Rule
from llmcalc.serving.pasted.settings import command_in, options_in, pairs_in, settled

LONGEST = 2**20  # characters
MOST_PASSED_OVER = 8
_LONGEST_LINE, _SHOWN = 20_000, 160
_ESCAPES = re.compile(r"\x1b(?:\[[0-?]{0,32}[ -/]{0,4}[@-~]|\][^\x07\x1b]{0,200}(?:\x07|\x1b\\)?|[@-Z\\^_])")
_SIZED = re.compile(r"(?<![\w.])\d[\d.,]{0,19} ?[MGT]i?B(?!\w|/s)")
_OVERRIDDEN = re.compile(r"(?:T|t)ensor blk\.(\d{1,4})\.ffn_\w{1,12}_exps\.\w{1,10} .{0,60}overrid\w{1,6} to CPU")
# nvidia-smi --query-gpu=… --format=csv
_COLUMNS = {"memory.total": "device_memory", "memory.used": "used"}


@dataclass(frozen=True, kw_only=True)
class Pasted:
    """What was read of a pasted text.

    ``kinds``: the programs whose lines these are, by the order of their first ("vllm", "sglang", "llama.cpp",
    "ollama", "pytorch", "nvidia-smi"). ``model_name`` and ``device_name`` as printed; "" where they were not.
    ``settings``: fields of `Serving`; ``unclear``: those whose printed values none stands for. ``figures`` by id.
    ``lines``: how many there are, ``understood`` in how many something was read; ``passed_over``: the first of the
    ``n_passed_over`` others that name a size.
    """

    kinds: tuple[str, ...]
    model_name: str
    device_name: str
    settings: Mapping[str, Any]
    unclear: Mapping[str, str]
    figures: Mapping[str, Figure]
    lines: int
    understood: int
    passed_over: tuple[str, ...]
    n_passed_over: int

    @property
    def engine(self) -> str:
        """The engine that printed it; "" where none did."""
        return _engine(self.kinds)

    @property
    def library_id(self) -> str:
        """The library's id of the model; "" for one that it has not."""
        return model_called(self.model_name)

    @property
    def device(self) -> str:
        """The catalogue's id of the device, "custom" for another whose memory was printed; "" where nothing says."""
        return device_called(self.device_name) or (CUSTOM if "device_memory" in self.figures else "")

    def job(self, start: Serving) -> tuple[Serving, tuple[InputError, ...]]:
        """The job that was printed, of ``start`` what was not; and what of it cannot be, where it is ``start``'s."""
        asked: dict[str, Any] = dict(self.settings)
        if self.engine:
            asked["engine"] = self.engine
        asked |= {"device": self.device} if self.device else {}
        if total := self.figures.get("device_memory"):
            asked["device_memory"] = max(1, round(total.value))
        refused: list[InputError] = []
        while True:
            try:
                return replace(start, **asked), tuple(refused)
            except InputError as error:
                if error.input_id not in asked:
                    raise
                del asked[error.input_id]
                refused.append(error)


def read_pasted(text: str) -> Pasted:
    """What of ``text`` is understood. Raises InputError only for more than `LONGEST` characters."""
    if len(text) > LONGEST:
        raise InputError("pasted", "longer than any log's start", code="pasted_too_long", longest=LONGEST)
    text = _ESCAPES.sub("", text)
    reader = _Reader(tuple(rule for rule in RULES if rule.key in text))
    lines = text.splitlines()
    for number, line in enumerate(lines, 1):
        reader.read(line[:_LONGEST_LINE], number)
    engine = _engine(tuple(reader.kinds))
    settings, unclear = settled(reader.raw, engine)
    if engine in OF_LLAMA_CPP:
        settings |= _placed(reader)
    return Pasted(
        kinds=tuple(reader.kinds),
        model_name=reader.raw.get("model_name", "").strip(),
        device_name=reader.raw.get("device_name", "").strip(),
        settings=settings,
        unclear=unclear,
        figures=_whole(reader.figures),
        lines=len(lines),
        understood=reader.understood,
        passed_over=tuple(reader.passed_over),
        n_passed_over=reader.n_passed_over,
    )


def _placed(reader: _Reader) -> dict[str, Any]:
    """What llama.cpp put where: layers on how many devices, the cache, and experts, on the host."""
    devices = len(reader.figures["device_weights"])
    found: dict[str, Any] = {}
    if devices > 1:
        found["pipeline_parallel"] = devices
    if devices and reader.figures["host_cache"] and not reader.figures["device_cache"]:
        found["kv_on_host"] = True
    if reader.expert_layers:
        found["cpu_moe_layers"] = len(reader.expert_layers)
    return found


def _engine(kinds: tuple[str, ...]) -> str:
    """ollama prints llama.cpp's lines beside its own."""
    return "ollama" if "ollama" in kinds else next((kind for kind in kinds if kind in ENGINES), "")


def _whole(parts: Mapping[str, Mapping[str, Figure]]) -> dict[str, Figure]:
    """Each figure of all its parts, or of the device that counts."""
    found: dict[str, Figure] = {}
    for id in FIGURES:
        if some := list(parts.get(id, {}).values()):
            found[id] = reduce(added if FIGURES[id].together == "sum" else later, some)
    if "weights" not in found and "free_before" in found and "free_after" in found:  # SGLang before it said how much
        before, after = found["free_before"], found["free_after"]
        value, rounding = before.value - after.value, before.rounding + after.rounding
        if value > 0:
            printed = f"{before.printed} − {after.printed}"
            found["weights"] = Figure("weights", value, rounding, printed, after.line)
    return found


@dataclass
class _Reader:
    """What was read so far, by the rules for lines that there are."""

    rules: tuple[Rule, ...]
    kinds: dict[str, None] = field(default_factory=dict)
    raw: dict[str, str] = field(default_factory=dict)
    figures: dict[str, dict[str, Figure]] = field(default_factory=lambda: defaultdict(dict))
    understood: int = 0
    passed_over: list[str] = field(default_factory=list)
    n_passed_over: int = 0
    command: str = ""
    columns: tuple[str, ...] = ()
    expert_layers: set[str] = field(default_factory=set)

    def read(self, line: str, number: int) -> None:
        """One line more."""
        found = [self._by_rules(line, number), self._settings(line), self._table(line, number), self._overridden(line)]
        if any(found):
            self.understood += 1
        elif _SIZED.search(line):
            self.n_passed_over += 1
            if len(self.passed_over) < MOST_PASSED_OVER:
                self.passed_over.append(line.strip()[:_SHOWN])

    def _by_rules(self, line: str, number: int) -> bool:
        found = False
        for rule in self.rules:
            if rule.key not in line or not (match := rule.pattern.search(line)):
                continue
            found = True
            self.kinds.setdefault(rule.of)
            for id in rule.clears:
                self.figures.pop(id, None)
            self._keep({k: v for k, v in match.groupdict().items() if v is not None}, number)
        return found

    def _keep(self, groups: dict[str, str], number: int) -> None:
        tag = groups.pop("tag", "")
        sums: dict[str, Figure] = {}
        for name, printed in groups.items():
            id = re.sub(r"_(?:\d|mib)$", "", name)
            if id not in FIGURES:
                self.raw[id] = printed
            elif one := figure(id, f"{printed} MiB" if name.endswith("_mib") else printed, number):
                sums[id] = added(sums[id], one) if id in sums else one
        for id, one in sums.items():
            before = self.figures[id].get(tag)
            self.figures[id][tag] = added(before, one) if before and FIGURES[id].in_pieces else later(before, one)

    def _settings(self, line: str) -> bool:
        told = dict(pairs_in(line))
        if engine := command_in(line):
            self.command = engine
            self.kinds.setdefault(engine)
        if engine or (self.command and line.lstrip().startswith("-")):
            told |= dict(options_in(line, self.command))
        else:
            self.command = ""
        self.raw |= told
        return bool(told or engine)

    def _overridden(self, line: str) -> bool:
        """A tensor of experts that llama.cpp was told to leave on the host."""
        match = _OVERRIDDEN.search(line) if "overrid" in line else None
        if match:
            self.expert_layers.add(match[1])
        return bool(match)

    def _table(self, line: str, number: int) -> bool:
        """nvidia-smi's table with commas: its head, then a row a device."""
        cells = tuple(cell.strip() for cell in line.split(",", 64))
        if "memory." in line and "[MiB]" in line:
            self.columns = tuple(cell.partition(" ")[0] for cell in cells)
            self.kinds.setdefault("nvidia-smi")
            return True
        if not self.columns or len(cells) != len(self.columns):
            self.columns = ()
            return False
        for column, cell in zip(self.columns, cells, strict=True):
            if column == "name":
                self.raw["device_name"] = cell[:80]
            elif column in _COLUMNS:
                self._keep({_COLUMNS[column]: cell if cell.endswith("MiB") else f"{cell} MiB"}, number)
        return True
