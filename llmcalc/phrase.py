"""A question as somebody would type it, "4 x A100 80 GB, Llama 3 8B, 8k, LoRA": which inputs it sets.

>>> read_phrase("4 x A100 80 GB, Llama 3 8B, 8k, LoRA").ask
'lora'
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from llmcalc.configuration import Configuration
from llmcalc.devices.layout import TAKES_DEVICES
from llmcalc.inputs import INPUTS
from llmcalc.kinds import Integer, Real
from llmcalc.question import FULL, LORA, PRETRAIN, QLORA, SERVE, SPREADS, asked, asking, blanks
from llmcalc.typed_formats import OF_RECIPE, TypedFormat, read_formats
from llmcalc.typed_names import PLACE, Named, read_device, read_model
from llmcalc.typed_negations import read_negations
from llmcalc.typed_settings import TypedSetting, read_settings

LONGEST = 300  # characters
# What is said for each purpose, and what is said besides without being needed, in English and in Indonesian
_TUNE, _TRAIN = "tune", "train"  # in whichever way
# Of a model that is there: "serve my fine-tuned Llama"
_DONE = r"(?:pre|fine)?[-\s]?(?:trained|tuned)"
_SERVING = r"serv(?:es?|ing)|host(?:s|ing)?|deploy(?:s|ing|ment)?|infer(?:ence|ensi)|(?:me)?layani|pelayanan|menyajikan"
_TRAINING = (PRETRAIN, LORA, QLORA, _TUNE, _TRAIN)
_SAID = (
    (QLORA, r"qlora"),
    (LORA, r"lora"),
    (PRETRAIN, r"pre[-\s]?train(?!ed)\w*|(?:mem)?pra[-\s]?latih\w*|pra[-\s]?pelatihan|from scratch|dari (?:nol|awal)"),
    (SERVE, r"serv(?:es?|ed|ing)|host(?:s|ed|ing)?|deploy\w*|infer(?:ence|ensi)|(?:me|di)?layani|pelayanan|penyajian"),
    (SERVE, r"menyajikan|disajikan|users?|requests?|people|pengguna|permintaan"),
    (SERVE, r"(?:kv|key[-\s]value)(?:[-\s]cache)?|cache kv"),
    (SERVE, r"tokens? (?:per|/|a) s(?:econd|ec)?|token per detik"),
    (FULL, r"full|penuh"),
    (_TUNE, r"fine[-\s]?tun\w*"),
    (_TRAIN, r"train(?:s|ed|ing)?|(?:me|di)?latih|pelatihan"),
    (SERVE, r"runs?|running|(?:men|di)?jalankan"),
)
_ASKS = {  # what can be negated
    ask: "|".join(said for other, said in _SAID if other == ask) for ask in dict.fromkeys(ask for ask, _ in _SAID)
}
_IDLE = re.compile(
    r"a|an|the|of|on|for|with|and|at|by|to|in|does|do|it|fits?|what|how|many|much|fast|long|should|i|change|we|my|our|is|"
    r"are|be|can|could|will|would|if|when|using|needs?|needed|takes?|per|that|there|which|x|each|model|llm|parameters?|"
    r"switch|opt|pytorch|deepspeed|pre-?trained|but|then|tapi|tetapi|melainkan|lalu|kemudian|transformers?|weights?|precision|in|as|quanti[sz]ed|bobot|presisi|dikuantisasi|"
    r"memory|vram|context|tokens?|length|window|concurrent|simultaneous|instruct|nvidia|amd|cards?|devices?|gpus?|"
    r"di|pada|untuk|dengan|dan|apakah|muat\w*|berapa|seberapa|cepat|lama|banyak|saya|kami|kita|ke|oleh|dalam|yang|jika|bisa|"
    r"bisakah|dapat|cukup|perlu|butuh|dibutuhkan|diperlukan|memori|parameter|konteks|panjang|masing-masing|sekaligus|"
    r"bersamaan|sebuah|buah|kartu|perangkat|adalah"
)
_NUMBER_WORDS = {
    **{word: 1 for word in ("one", "single", "satu", "sebuah")},
    **{word: count for count, words in enumerate(
        ("two dua", "three tiga", "four empat", "five lima", "six enam", "seven tujuh", "eight delapan"), 2
    ) for word in words.split()},
    **{"ten": 10, "sepuluh": 10, "sixteen": 16, "thirty-two": 32},
}  # fmt: skip
_POSITIVE = r"(?<![\s(,]-)(?<!^-)"  # no sign is before it
_WHOLE = rf"(?<![a-z0-9.$]){_POSITIVE}(\d+)(?!\d|\.\d)"
_ANY = rf"(?<![a-z0-9.]){_POSITIVE}(\d+(?:\.\d+)?)"
_MONEY = r"(?:us\s?)?\$|usd|dollars?|dolar|€|eur|euros?|£|rp\.?|idr|rupiah"  # any money will do
_PER_HOUR = r"\s*(?:(?:/|per|an|a|se)\s*)?(?:(?:gpu|device|card|perangkat)\s*[-/]?\s*)?(?:per\s*)?(?:hours?|hr|h|jam)\b"
_PRICE = rf"(?:{_MONEY})\s*(\d+(?:\.\d+)?){_PER_HOUR}|{_ANY}\s*(?:{_MONEY}){_PER_HOUR}"
_TRAINED_ON = rf"{_ANY}([bt])\s*(?:of\s+)?(?:training\s+)?tokens?\b(?:\s+(?:pelatihan|latih)\b)?"
_MANY = rf"{_WHOLE}\s*(?:concurrent\s+|simultaneous\s+)?(?:users?|requests?|people|pengguna|permintaan)\b"
_BATCH = rf"batch(?:\s+size)?\s*(?:of\s+)?{_WHOLE}\b|{_WHOLE}\s*(?:sequences?|sekuens)\b"
_LENGTH = (
    rf"\b(?:context|konteks|length|panjang)\s*(?:length|window|konteks)?\s*(?:of|is|=|:)?\s*{_WHOLE}\s*([km])?\b"
    rf"|{_WHOLE}\s*([km])[\s-]*(?:tokens?|context|konteks)\b|{_WHOLE}\s*(k)\b|{_WHOLE}[\s-]*(?:tokens?|context|konteks)\b"
)
_TIMES = {"k": 1024, "m": 1024**2}
_COST = r"costs?|costing|prices?|pricing|expensive|cheap|money|biaya\w*|(?:se)?harga\w*|ongkos\w*|mahal|murah"
_OF = r"(?:(?:x|of|units?|buah|gpus?|cards?|kartu|perangkat|nvidia|amd)\s*)*"
_DEVICE = "§"
_COUNTED = (
    rf"{_WHOLE}\s*{_OF}{_DEVICE}|{_DEVICE}[\s-]*(?:gpus?|cards?)?\s*x\s*{_WHOLE}\b"
    rf"|{_WHOLE}\s*(?:x\s*)?(?:gpus?|cards?|devices?|kartu|perangkat)\b"
)
_NODES = r"(?:nodes?|servers?|machines?|simpul|mesin)"
_EACH = r"(?:(?:of|with|each|x|,|berisi|dengan|masing-masing)\s*)*"
_NODES_OF = rf"{_WHOLE}\s*{_NODES}\s*{_EACH}(\d+)\s*{_OF}{_DEVICE}"
_PER_NODE = rf"{_WHOLE}\s*{_OF}{_DEVICE}\s*(?:(?:per|/|each|x)\s*)?(?:{_NODES}\s*(?:x|,)\s*)?{_WHOLE}\s*{_NODES}\b"
_OVER_NODES = rf"{_WHOLE}\s*{_OF}{_DEVICE}\s*(?:in|on|over|across|di|dalam)\s*{_WHOLE}\s*{_NODES}\b"


@dataclass(frozen=True)
class Phrase:
    """What was understood; None for what was not said. ``train_tokens`` are billions, ``price`` is that of a device and
    an hour. ``unread`` are the words that mean nothing here, ``also`` what else was asked, which is left out."""

    ask: str | None = None
    named_model: Named | None = None
    named_device: Named | None = None
    devices: int | None = None
    users: int | None = None
    batch: int | None = None
    length: int | None = None
    train_tokens: float | None = None
    price: float | None = None
    asks_cost: bool = False
    formats: tuple[TypedFormat, ...] = ()
    settings: tuple[TypedSetting, ...] = ()
    unread: tuple[str, ...] = ()
    also: tuple[str, ...] = ()
    node_size: int | None = None

    @property
    def model(self) -> str | None:
        """The model that was taken."""
        return self.named_model.id if self.named_model else None

    @property
    def device(self) -> str | None:
        """The device that was taken."""
        return self.named_device.id if self.named_device else None

    def inputs(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """The inputs to set, but for what a model decides. Where an engine's devices were not counted, as few as hold
        what is asked."""
        found = self._asking(values)
        ask = asked({**values, **found})
        for setting in self.settings:
            found |= setting.recipe(ask) or setting.inputs(ask)
        for told in self._read_formats({**values, **found}):
            found |= {id: value for id, value in told[1].items() if value is not OF_RECIPE}
        ids = blanks({**values, **found})
        found |= {id: _within(id, number) for id, number in self._numbers({**values, **found}).items()}
        if self.device:
            found["accelerator"] = self.device
        if ids["devices"] == "n_devices" and self.devices is not None:
            found["data_parallel"] = None
        elif ask != SERVE and "data_parallel" in self._dealt_out(ask):
            found["n_devices"] = None
        if ask == SERVE and self.devices is None and self.device and not self._dealt_out(ask):
            found |= self._fewest({**values, **found}, ids["devices"])
        return found if self.devices is None else found | _elsewhere({**values, **found})

    def cut(self, values: Mapping[str, Any]) -> tuple[tuple[str, float, float], ...]:
        """The numbers that no input can be: the input, what was said, and what it is set to."""
        now = {**values, **self._asking(values)}
        numbers = self._numbers(now).items()
        found = [(id, said, _within(id, said)) for id, said in numbers if _within(id, said) != said]
        dealt_out = math.prod(self._dealt_out(asked(now)).values())
        if self.devices is not None and dealt_out > 1 and self.devices % dealt_out and asked(now) == SERVE:
            found.append(("n_devices", self.devices, dealt_out))
        copies = self._dealt_out(asked(now)).get("data_parallel", 0)
        if self.devices is not None and copies and dealt_out != self.devices:
            found.append(("data_parallel", copies, max(1, self.devices * copies // dealt_out)))
        return tuple(found)

    def read_formats(self, values: Mapping[str, Any]) -> tuple[tuple[str, dict[str, Any]], ...]:
        """What was said of number formats, and which inputs each sets to what; none where it says nothing of what is
        asked."""
        now = {**values, **self.inputs(values)}
        formats = [(said, {id: now[id] for id in inputs}) for said, inputs in self._read_formats(now)]
        return (*((setting.said, self._set_by(setting, now)) for setting in self.settings), *formats)

    def _set_by(self, setting: TypedSetting, now: Mapping[str, Any]) -> dict[str, Any]:
        """Which inputs it set to what; none where something else that was said decided them."""
        ask = asked(now)
        if number := setting.number_of(ask):
            return {number[0]: _within(*number)}
        inputs = setting.inputs(ask)
        return inputs if all(now[id] == value for id, value in inputs.items()) else {}

    def _dealt_out(self, ask: str) -> dict[str, int]:
        """How many devices were said to share what in which way."""
        numbers = (number for setting in self.settings if (number := setting.number_of(ask)))
        shares = SPREADS if ask == SERVE else TAKES_DEVICES
        return {id: max(1, number) for id, number in numbers if id in shares}

    def _asking(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """The inputs that say what is asked. Weights that are frozen, where nothing else is asked of training, are
        those of QLoRA."""
        freezes = any(typed.freezes for typed in self.formats)
        trains = self.ask is None and asked(values) != SERVE
        ask = QLORA if freezes and (trains or self.ask == LORA) else self.ask
        if ask is None and any(setting.is_of_training for setting in self.settings):
            adapts = any(setting.ask == LORA for setting in self.settings)
            ask = asked(values) if trains else FULL
            ask = LORA if adapts and ask not in (LORA, QLORA) else ask
        return asking(ask, values) if ask else {}

    def _read_formats(self, values: Mapping[str, Any]) -> list[tuple[str, dict[str, Any]]]:
        ask = asked(values)
        return [(typed.said, typed.inputs(ask, values["engine"])) for typed in self.formats]

    def _numbers(self, values: Mapping[str, Any]) -> dict[str, float]:
        """The number that was said for each input, whatever it is."""
        ids, ask = blanks(values), asked(values)
        many = self.users if ids["many"] == "concurrency" else self.batch
        said: dict[str, float | None] = {"train_tokens": self.train_tokens, "price_per_hour": self.price}
        said["node_size"] = self.node_size
        said |= {ids["many"]: many, ids["length"]: self.length, ids["devices"]: self.devices}
        said |= dict(number for setting in self.settings if (number := setting.number_of(ask)))
        dealt_out = self._dealt_out(ask)
        if ask == SERVE and dealt_out:
            copies, left = divmod(self.devices or 1, math.prod(dealt_out.values()))
            free = [id for id in dict.fromkeys((ids["devices"], "serve_data", *SPREADS)) if id not in dealt_out]
            said |= dict.fromkeys(free, 1)
            if free and copies and not left:
                said[free[0]] = copies
        return {id: number for id, number in said.items() if number is not None}

    def _fewest(self, values: Mapping[str, Any], id: str) -> dict[str, int]:
        told = {key: values[key] for key in ("engine", "accelerator", "concurrency", "context", "weight_format")}
        config = Configuration({"model": self.model or values["model"], "config": values["config"], **told})
        fewest = config.serving.fewest_devices if config.served else None
        return {id: fewest} if fewest else {}


def _elsewhere(values: Mapping[str, Any]) -> dict[str, Any]:
    """The devices of what is not asked: those of a former question are over. What is served is trained on as many,
    where no layout says otherwise; to serve what is trained it takes one, until that is asked."""
    if asked(values) != SERVE:
        return dict.fromkeys(SPREADS, 1)
    if any(values[id] != 1 for id in TAKES_DEVICES if id != "data_parallel"):
        return {}
    return {"n_devices": math.prod(values[id] for id in SPREADS), "data_parallel": None}


def read_phrase(text: str) -> Phrase:
    """What a question says."""
    text = _plain(text[:LONGEST])
    negated, rest = read_negations(text, _ASKS)
    settings, rest = read_settings(rest)
    price, rest = _number(_PRICE, rest)
    train_tokens, rest = _number(_TRAINED_ON, rest, {"b": 1, "t": 1000})
    users, rest = _number(_MANY, rest)
    batch, rest = _number(_BATCH, rest)
    length, rest = _number(_LENGTH, rest, _TIMES)
    formats, rest = read_formats(rest)
    model, rest = read_model(rest)
    device, rest = read_device(rest.replace(_DEVICE, PLACE), _DEVICE)
    of_nodes, node_size, rest = _in_nodes(rest)
    devices, rest = _number(_COUNTED, rest) if of_nodes is None else (of_nodes, rest)
    ask = next((ask for ask, said in _SAID if _words(said).search(rest)), SERVE if users is not None else None)
    if ask is None and any(no.ask == LORA for no in negated):
        ask = FULL
    if ask is None or (ask == _TRAIN and any(setting.ask == PRETRAIN for setting in settings)):
        serves = any(typed.of_cache for typed in formats)
        means = (setting.ask for setting in settings if setting.ask in (SERVE, PRETRAIN))
        ask = next(means, SERVE if serves else ask)
    if ask == _TUNE:
        ask = QLORA if any(typed.freezes for typed in formats) else FULL
    if ask == _TRAIN or (ask is None and train_tokens is not None):
        ask = FULL if train_tokens is None else PRETRAIN
    also = _also(text, rest, ask)
    asks_cost = bool(_words(_COST).search(rest)) or price is not None or train_tokens is not None
    for said in (*(said for _, said in _SAID), _COST):
        rest = _words(said).sub(PLACE, rest)
    words = (word.rstrip(".-") for word in re.findall(r"(?:(?:^|(?<=[\s(,]))-(?=[\d$]))?[a-z0-9$€£][a-z0-9.\-]*", rest))
    told_not = (no.said for no in negated if no.ask is None or ask is None)
    unread = (*told_not, *(word for word in words if not _IDLE.fullmatch(word)))
    if model and model.how in ("stands_for", "nearest"):
        model, unread = _unknown_name(text, model, unread)
    counted = (_whole(devices), _whole(users), _whole(batch), _whole(length))
    return Phrase(
        ask, model, device, *counted, train_tokens, price, asks_cost, formats, settings, unread, also, node_size
    )


def _also(text: str, rest: str, ask: str | None) -> tuple[str, ...]:
    """What was asked besides, of a text and of what is left of it: to train where it is served, to serve where it is
    trained, and how many at once of the other."""
    if ask is None:
        return ()
    trains = "|".join(said for other, said in _SAID if other in _TRAINING)
    asks = _words(trains if ask == SERVE else _SERVING).search(_words(_DONE).sub(PLACE, rest))
    many = re.search(_BATCH if ask == SERVE else _MANY, text)
    return tuple(found[0].strip() for found in (asks, many) if found)


def _unknown_name(text: str, model: Named, unread: tuple[str, ...]) -> tuple[Named, tuple[str, ...]]:
    """The model where a word before its size means nothing here: it is the name of one that is not in the library."""
    before = re.search(rf"([a-z][a-z0-9.]*)[\s-]+{re.escape(model.said)}(?![a-z0-9])", text)
    if not before or not model.id or before[1] not in unread:
        return model, unread
    named = Named(before[0], None, "none", (model.id, *model.others))
    return named, tuple(word for word in unread if word != before[1])


def _plain(text: str) -> str:
    """The same in small letters, numbers in digits with a point before decimals, sizes with a letter."""
    text = re.sub(r"(?<=\d)x(?=[a-z]|\d{4}(?!\d))|[×*]", " x ", text.lower())
    text = re.sub(r"(?<=\d),(?=\d{3}(?!\d))", "", text)
    text = re.sub(r"\b(\d{1,3})\.(\d{3})(?=\s*(?:token|pengguna|permintaan|sekuens|x |rupiah))", r"\1\2", text)
    text = re.sub(r"\b(rp\.?\s*\d{1,3})\.(\d{3})\b", r"\1\2", text)
    text = re.sub(
        rf"{_ANY}\s*(?:ribu|thousand)\b", lambda found: f"{float(found[1].replace(',', '.')) * 1000:.0f}", text
    )
    text = re.sub(r"(?<=\d),(?=\d)", ".", text)
    text = re.sub(r"\benam belas\b", "16", text)
    text = re.sub(rf"\b({'|'.join(_NUMBER_WORDS)})\b", lambda word: str(_NUMBER_WORDS[word[0]]), text)
    for letter, names in {"b": "billion|bn|b|miliar|milyar", "m": "million|m|juta", "t": "trillion|t|triliun"}.items():
        text = re.sub(rf"(?<=\d)[\s-]*(?:{names})\b", letter, text)
    return text


def _number(pattern: str, text: str, times: Mapping[str, int] | None = None) -> tuple[float | None, str]:
    """The number that a pattern finds, times what a letter after it means, and the text without that."""
    found = re.search(pattern, text)
    if not found:
        return None, text
    digits, *letters = (group for group in found.groups() if group)
    factor = (times or {}).get(letters[0], 1) if letters else 1
    number = (int(digits) if digits.isdigit() else float(digits)) * factor
    return number, text.replace(found[0], PLACE, 1)


def _in_nodes(text: str) -> tuple[int | None, int | None, str]:
    """How many devices there are where they are counted by nodes, how many of a node, and the text without that."""
    for pattern in (_NODES_OF, _PER_NODE, _OVER_NODES):
        if found := re.search(pattern, text):
            first, second = int(found[1]), int(found[2])
            rest = text.replace(found[0], PLACE, 1)
            if pattern != _OVER_NODES:
                return first * second, second if pattern == _NODES_OF else first, rest
            return first, None if not second or first % second else first // second, rest
    return None, None, text


def _whole(number: float | None) -> int | None:
    return None if number is None else int(number)


def _words(pattern: str) -> re.Pattern[str]:
    return re.compile(rf"(?<![a-z])(?:{pattern})(?![a-z])")


def _within(id: str, number: float) -> float:
    """What the input is nearest to the number."""
    declared = INPUTS[id]
    assert isinstance(declared, Integer | Real)
    if isinstance(declared, Integer):
        number = round(number)
    return min(max(number, declared.low), declared.high)
