"""A question as somebody would type it, "4 x A100 80 GB, Llama 3 8B, 8k, LoRA": which inputs it sets.

>>> read_phrase("4 x A100 80 GB, Llama 3 8B, 8k, LoRA").ask
'lora'
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from llmcalc.catalog.accelerators import ACCELERATORS
from llmcalc.configuration import Configuration
from llmcalc.inputs import MODELS, PASTED, integer
from llmcalc.question import FULL, LORA, PRETRAIN, QLORA, SERVE, asking, blanks

LONGEST = 300  # characters
# What is said for each purpose, and what is said besides without being needed, in English and in Indonesian
_SAID: Mapping[str, str] = {
    QLORA: r"qlora",
    LORA: r"lora",
    PRETRAIN: r"pre-?train\w*|pra-?latih|pra-?pelatihan",
    SERVE: r"serv(?:e|ing)|inference|inferensi|layani|penyajian",
    FULL: r"full|fine-?tun\w*|penuh",
}
_IDLE = re.compile(
    r"a|an|the|of|on|for|with|and|at|by|to|does|do|it|fits?|what|how|many|fast|should|i|change|we|my|is|are|x|each|model|"
    r"cards?|devices?|gpus?|di|pada|untuk|dengan|dan|apakah|muat|berapa|cepat|banyak|saya|kami|ke|perangkat"
)
_MANY = r"(\d+)\s*(?:users?|requests?|pengguna|permintaan)\b"
_BATCH = r"batch(?:\s+size)?\s*(?:of\s+)?(\d+)\b|(\d+)\s*(?:sequences?|sekuens)\b"
_LENGTH = r"(\d+)\s*(k)(?:\s*(?:tokens?|context|konteks))?\b|(\d+)\s*(?:tokens?|context|konteks)\b"


@dataclass(frozen=True)
class Phrase:
    """What was understood; None for what was not said. ``unread`` are the words that mean nothing here."""

    ask: str | None
    model: str | None
    device: str | None
    devices: int | None
    users: int | None
    batch: int | None
    length: int | None
    unread: tuple[str, ...]

    def inputs(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """The inputs to set, but for what a model decides. Where an engine's devices were not counted, as few as hold
        what is asked."""
        ask = self.ask or (SERVE if self.users else None)
        found = asking(ask, values) if ask else {}
        ids = blanks({**values, **found})
        many = self.users if ids["many"] == "concurrency" else self.batch
        said = {ids["many"]: many, ids["length"]: self.length, ids["devices"]: self.devices}
        found |= {id: _within(id, number) for id, number in said.items() if number is not None}
        if self.device:
            found["accelerator"] = self.device
        if ids["devices"] == "n_devices" and self.devices is not None:
            found["data_parallel"] = None
        if ids["many"] == "concurrency" and self.devices is None and self.device:
            found |= self._fewest({**values, **found}, ids["devices"])
        return found

    def _fewest(self, values: Mapping[str, Any], id: str) -> dict[str, int]:
        told = {key: values[key] for key in ("engine", "accelerator", "concurrency", "context", "weight_format")}
        config = Configuration({"model": self.model or values["model"], "config": values["config"], **told})
        fewest = config.serving.fewest_devices if config.served else None
        return {id: fewest} if fewest else {}


def read_phrase(text: str) -> Phrase:
    """What a question says."""
    rest = re.sub(r"(\d)\s*[x×*]\s*(?=[a-z])", r"\1 x ", text[:LONGEST].lower().replace("×", "x"))
    rest = re.sub(r"(?<=\d),(?=\d{3}\b)", "", rest)
    words = re.findall(r"[a-z0-9][a-z0-9.\-]*", rest)
    model, at = _named(words, (name for name in MODELS if name != PASTED))
    words[at] = ["|"]
    by_memory = sorted(ACCELERATORS, key=lambda id: -ACCELERATORS[id].memory)
    device, at = _named(words, by_memory)
    devices = None
    if device:
        before = [word for word in words[: at.start] if word != "x"]
        if before and before[-1].isdigit():
            devices = int(before[-1])
            at = slice(len(words[: at.start]) - words[: at.start][::-1].index(before[-1]) - 1, at.stop)
        words[at] = ["|"]
    rest = " ".join(words)
    numbers: list[int | None] = []
    for pattern in (_MANY, _BATCH, _LENGTH):
        found = re.search(pattern, rest)
        given = [group for group in found.groups() if group] if found else []
        numbers.append(int(given[0]) * (1024 if "k" in given[1:] else 1) if given else None)
        rest = rest.replace(found[0], "|", 1) if found else rest
    ask = next((ask for ask, said in _SAID.items() if re.search(rf"(?<![a-z])(?:{said})(?![a-z])", rest)), None)
    for said in _SAID.values():
        rest = re.sub(rf"(?<![a-z])(?:{said})(?![a-z])", "|", rest)
    unread = tuple(word for word in rest.split() if word.strip("|") and not _IDLE.fullmatch(word))
    users, batch, length = numbers
    return Phrase(ask, model, device, devices, users, batch, length, unread)


def _named(words: Sequence[str], names: Iterable[str]) -> tuple[str | None, slice]:
    """The name that most of the words in a row begin, of these the one that they say in full, else the first; and where
    they stand."""
    keys = {name: _key(name) for name in names}
    for length in range(min(8, len(words)), 0, -1):
        for start in range(len(words) - length + 1):
            said = _key("".join(words[start : start + length]))
            if len(said) < 2 or not re.search(r"[a-z]", said) or not re.search(r"\d", said):
                continue
            found = [name for name, key in keys.items() if key.startswith(said)]
            if found:
                best = min(found, key=lambda name: keys[name] != said)
                return best, slice(start, start + length)
    return None, slice(0, 0)


def _key(name: str) -> str:
    return re.sub(r"[^a-z0-9.]", "", name.lower())


def _within(id: str, number: int) -> int:
    declared = integer(id)
    return min(max(number, declared.low), declared.high)
