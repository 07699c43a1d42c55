"""README's table of additions is true: each is made in a copy of the tree, which then has it, and touches what its row
names and nothing else."""

from __future__ import annotations

import inspect
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import test_parts

pytestmark = pytest.mark.slow  # they guard what is told of the code, not a value
ROOT = Path(__file__).parent.parent
COPIED = ("llmcalc", "pages", "tests", "app.py", "pyproject.toml", "README.md", ".streamlit")
WORDS = "llmcalc/words/"
LINES = re.findall(
    r"^\| (\w.+) \| (.+) \|$", (ROOT / "README.md").read_text("utf-8").split("| to add | touch |")[1], re.M
)
ROWS = dict(LINES)

Addition = Callable[["Copy"], None]
ADDITIONS: dict[str, Addition] = {}


@dataclass(frozen=True)
class Copy:
    """A copy of the tree, and which of its files were touched since."""

    root: Path
    touched: set[str] = field(default_factory=set)

    def read(self, path: str) -> str:
        return (self.root / path).read_text("utf-8")

    def write(self, path: str, text: str) -> None:
        self.touched.add(path)
        (self.root / path).unlink(missing_ok=True)  # until now it is a link to the file that was copied
        (self.root / path).parent.mkdir(exist_ok=True)
        (self.root / path).write_text(text, "utf-8")

    def change(self, path: str, before: str, after: str) -> None:
        assert self.read(path).count(before) == 1, f"{path} has not {before!r} once"
        self.write(path, self.read(path).replace(before, after))

    def insert(self, path: str, beginning: str, *lines: str) -> None:
        """Put lines behind the one that is, or begins a table, so."""
        self.change(path, f"{beginning}\n", "\n".join((beginning, *lines, "")))

    def say(self, section: str, words: Mapping[str, str]) -> None:
        """Words in every language: in the file that has the section, or in a new section of one that has its like."""
        lines = [f"{key} = {json.dumps(text)}" for key, text in words.items()]
        for language in {path.parent.name for path in (self.root / WORDS).glob("*/*.toml")}:
            drawer = {p: p.read_text("utf-8") for p in (self.root / WORDS / language).glob("*.toml")}
            like = section.rpartition(".")[0]
            has = [p for p, text in drawer.items() if f"[{section}]\n" in text]
            path = (has or [p for p, text in drawer.items() if f"[{like}." in text])[0]
            file = path.relative_to(self.root).as_posix()
            if has:
                self.insert(file, f"[{section}]", *lines)
            else:
                self.write(file, "\n".join((drawer[path].rstrip("\n"), "", f"[{section}]", *lines, "")))

    def find(self, text: str, under: str) -> str:
        """The one file that has a text."""
        (found,) = [p for p in (self.root / under).rglob("*.py") if text in p.read_text("utf-8")]
        return found.relative_to(self.root).as_posix()

    def run(self, *command: str) -> str:
        """What a Python of its own prints, that finds the copy and not what was copied."""
        path = os.pathsep.join((str(self.root), str(self.root / "tests")))
        environment = {**os.environ, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"}
        done = subprocess.run(
            [sys.executable, *command], cwd=self.root, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"[-3000:]
        return done.stdout

    def found(self, code: str) -> Any:
        """What an expression is, after lines that prepare it."""
        *lines, last = COMMON + code.strip().splitlines()
        return json.loads(self.run("-c", "\n".join((*lines, f"import json; print(json.dumps({last}))"))))

    def passes(self, *asked: str) -> None:
        """That tests of the house pass there too."""
        self.run("-m", "pytest", "-q", "-p", "no:cacheprovider", "-n", "0", "-m", "not slow", *asked)


COMMON = [
    "import llmcalc",
    "assert llmcalc.__file__.startswith(__import__('os').getcwd())",
    "from llmcalc.bases import base",
    "from llmcalc.configuration import Configuration",
    "from llmcalc.inputs import DEFAULTS, INPUTS, in_group",
    "from llmcalc.link_text import read_parameters",
    "from llmcalc.words import dictionary, LANGUAGES",
    "def configured(**changes): return Configuration(DEFAULTS | changes)",
]


@pytest.fixture
def copy(tmp_path: Path) -> Copy:
    """Links to every file: one that is written becomes the copy's own."""
    for name in COPIED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, tmp_path / name, copy_function=os.symlink)
        else:
            (tmp_path / name).symlink_to(ROOT / name)
    return Copy(tmp_path)


def adds(what: str) -> Callable[[Addition], Addition]:
    def register(addition: Addition) -> Addition:
        assert what not in ADDITIONS
        ADDITIONS[what] = addition
        return addition

    return register


def places(cell: str) -> set[str]:
    """The files and folders that a row says are touched. Commands are none; its words are those of every language."""
    named = set(re.findall(r"`((?:llmcalc|pages|tests)/[\w/.]*)`", cell))
    return named | ({WORDS} if "words" in cell else set())


def test_every_row_has_its_test_and_every_test_its_row():
    assert len(LINES) == len(ROWS), "no row twice"
    assert ROWS.keys() == ADDITIONS.keys()


@pytest.mark.parametrize("what", ROWS)
def test_an_addition_touches_what_its_row_names(what, copy):
    ADDITIONS[what](copy)
    named = places(ROWS[what])
    assert all((ROOT / place).exists() for place in named)
    assert {path for path in copy.touched if not path.startswith(tuple(named))} == set(), "nobody is told of"
    assert {place for place in named if not any(path.startswith(place) for path in copy.touched)} == set(), "not needed"
    left_out = "{language: sorted(set(dictionary('en')) ^ set(dictionary(language))) for language in LANGUAGES}"
    assert not any(copy.found(left_out).values())


def test_what_holds_for_everything_holds_with_every_addition(copy):
    for what in ROWS:
        ADDITIONS[what](copy)
    copy.passes(*(f"tests/test_{name}.py" for name in LAWS))


LAWS = ("catalog", "words", "inputs", "architecture", "models")


# Rows of the catalogue

WORK = 'FOUND = Work("Somebody", 2026, "What was found", "https://example.org/found")\n'


@adds("an optimizer, a precision, a preset")
def _rows(copy: Copy) -> None:
    copy.write("llmcalc/sources.py", copy.read("llmcalc/sources.py") + WORK)
    for name, row in {
        "optimizers": 'Optimizer("sign", FOUND.at("algorithm 1"), (Beside(1),), of_each=(Beside(1),)),',
        "precisions": 'Precision("half", "fp16", None, "fp16", "fp16", None, FOUND.at("table 1")),',
    }.items():
        path = f"llmcalc/catalog/{name}.py"
        copy.change(path, "    for row in (\n", f"    for row in (\n        {row}\n")
        copy.change(
            path, "from llmcalc.sources import ", "from llmcalc.sources import FOUND\nfrom llmcalc.sources import "
        )
    shape = "Dimensions(d_model=64, n_layers=2, n_heads=4, vocab_size=100)"
    presets = "llmcalc/catalog/presets.py"
    copy.insert(
        presets,
        "PRESETS = {row.id: row for row in (",
        f'    Preset("Small 1M", "Small", FOUND.at("table 2"), {shape}),',
    )
    copy.change(presets, "import ARTICLE,", "import ARTICLE, FOUND,")
    found = copy.found(
        """
step = configured(optimizer="sign", precision="half").step
small = configured(model="Small 1M", **base("Small 1M").values).model.parameters()
[INPUTS["optimizer"].read("sign"), step.optimizer_state.value, step.weights.value, small.value]
"""
    )
    n, width, layers = 124_439_808, 64, 2
    small = layers * (12 * width**2 + 13 * width) + (100 + 1_024) * width + 2 * width
    assert found == ["sign", 2 * n, 2 * n, small]


@adds("a recipe of a library")
def _recipe(copy: Copy) -> None:
    work = WORK.replace("FOUND", "LIBRARY").replace("/found", "/library")
    copy.write("llmcalc/sources.py", copy.read("llmcalc/sources.py") + work)
    path, sets = "llmcalc/catalog/recipes.py", '{"precision": "bf16", "lora_rank": 4}'
    row = f'Recipe(library="Small", method=LORA, source=LIBRARY.at("trainer.py"), sets={sets}),'
    copy.insert(path, "RECIPES: Mapping[str, Recipe] = {row.id: row for row in (", f"    {row}")
    copy.change(
        path, "from llmcalc.sources import ", "from llmcalc.sources import LIBRARY\nfrom llmcalc.sources import "
    )
    found = copy.found('[Configuration({"recipe": "Small LoRA"}).run.lora_rank, INPUTS["recipe"].read("Small LoRA")]')
    assert found == [4, "Small LoRA"]


@adds("a figure that somebody printed of a GPU")
def _printed(copy: Copy) -> None:
    path = "llmcalc/accuracy/reports.jsonl"
    row = {"id": "new", "framework": "loop", "model": "GPT-2 124M", "run": {"precision": "fp32"}}
    row |= {"printed": {"allocated": 9.5}, "repository": "somebody/loop", "place": "README.md"}
    copy.write(path, copy.read(path) + json.dumps(row) + "\n")
    asked = "[(r.error(f), r.is_complete, r.source.work.url) for r, f in printed() if r.id == 'new']"
    ((off, complete, address),) = copy.found(f"from llmcalc.accuracy.reports import printed\n{asked}")
    assert abs(off) < 1
    assert [complete, address] == [True, "https://github.com/somebody/loop/blob/HEAD/README.md"]


WEIGHTS = "WEIGHT_FORMATS = {\n    row.id: row\n    for row in (\n"


@adds("a number format, a device")
def _held_to_figures(copy: Copy) -> None:
    row = 'NumberFormat("int5", 5 + 16 / 32, PYTORCH.at("table 1")),'
    copy.change("llmcalc/catalog/formats.py", WEIGHTS, WEIGHTS + f"        {row}\n")
    row = '_device("X1", 100, 1000, 200, 300, "B", NVIDIA.at("X1")),'
    copy.change("llmcalc/catalog/accelerators.py", "    for row in (\n", f"    for row in (\n        {row}\n")
    found = copy.found(
        """
x1 = configured(accelerator="X1", weight_format="int5")
[x1.verdict.available.value, x1.accelerator.watts, INPUTS["weight_format"].read("int5"), x1.inference.value > 0]
"""
    )
    assert found == [100 * 10**9, 300, "int5", True]
    for name, row in {
        "accelerators": "X1,NVIDIA,1,100,1000,,200,200,,,,300,B,",
        "quant_formats_bits": "int5,int5,5 + 16/32,5.5,a paper",
    }.items():
        path = f"tests/golden/{name}.csv"
        copy.write(path, f"{copy.read(path).rstrip(chr(10))}\n{row}\n")
    copy.passes("--noconftest", "tests/test_catalog.py")


@adds("a reading of a device's memory")
def _reading(copy: Copy) -> None:
    path = "llmcalc/catalog/reported_memory.csv"
    copy.write(path, f"{copy.read(path).rstrip(chr(10))}\nB300,268 GiB,somebody/something,issue 7,2026,PyTorch\n")
    b300 = copy.found("[(d := configured(accelerator='B300').accelerator).memory, str(d.memory_source)]")
    assert b300 == [268 * 2**30, "somebody/something 2026, issue 7"]


# Models


@adds("a published model")
def _model(copy: Copy) -> None:
    config = {"model_type": "llama", "architectures": ["LlamaForCausalLM"], "hidden_size": 64, "vocab_size": 100}
    config |= {"num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 96, "num_key_value_heads": 2}
    row = {"id": "new", "name": "New 1M", "group": "New", "year": 2026, "source": "https://huggingface.co/a/b"}
    path = "llmcalc/catalog/models.json"
    copy.write(
        path, f"{copy.read(path).rstrip().removesuffix(']').rstrip()},\n{json.dumps(row | {'config': config})}\n]\n"
    )
    width, n_layers = 64, 2
    parts = {"embedding": 100 * width, "attention": n_layers * (2 * width**2 + 2 * width * width // 2)}
    parts |= {"feed_forward": n_layers * 3 * width * 96, "norm": (2 * n_layers + 1) * width, "head": 100 * width}
    total = sum(parts.values())
    path = "llmcalc/accuracy/counted_models.jsonl"
    counted = {"id": "new", "class_name": "LlamaForCausalLM", "total": total, "components": parts, "active": total}
    versions = {"torch": "2.13.0", "transformers": "5.23.0"}
    copy.write(path, f"{copy.read(path)}{json.dumps(counted | versions)}\n")
    model = 'configured(model="New 1M", **base("New 1M").values)'
    assert copy.found(f"[{model}.model.parameters().value, {model}.count_standing.label]") == [total, "measured"]


TABLES = {
    "decoders": ("DECODERS: Mapping[str, Family] = {", "llama"),
    "mixtures": ("MIXTURES: Mapping[str, Family] = {", "mixtral"),
    "encoders": ("ENCODERS: Mapping[str, Family] = {", "bert"),
    "families": ("_ENCODER_DECODERS: Mapping[str, Family] = {", "t5"),
    "hybrids/delta": ("FAMILIES: Mapping[str, Family] = {", "qwen3_5_text"),
    "sparse": ("SPARSE: Mapping[str, Family] = {", "glm_moe_dsa"),
    "variants/language_parts": ("FAMILIES: Mapping[str, Family] = {", "muse_glimmer_text"),
}


@adds("a family of `config.json`")
def _family(copy: Copy) -> None:
    defaults = "llmcalc/huggingface/defaults.json"
    filled_in = json.loads(copy.read(defaults))
    for file, (table, like) in TABLES.items():
        path = f"llmcalc/huggingface/{file}.py"
        entry = re.search(rf'^    "{like}": (.*),$', copy.read(path), re.M)[1]
        copy.insert(path, table, f'    "new_{like}": {entry},')
        filled_in["families"][f"new_{like}"] = filled_in["families"][like]
    copy.write(defaults, json.dumps(filled_in))
    count = "llmcalc.from_config({{'model_type': {0!r}}}).parameters().value"
    pairs = ", ".join(f"[{count.format(like)}, {count.format('new_' + like)}]" for _, like in TABLES.values())
    assert all(old == new > 10**6 for old, new in copy.found(f"[{pairs}]"))


@adds("a tower for images or sound")
def _tower(copy: Copy) -> None:
    path, filled_in = "llmcalc/huggingface/towers/projected.py", "llmcalc/huggingface/towers.json"
    copy.insert(path, "READERS: Mapping[str, Reader] = {", '    "new_eye": _llava,')
    copy.insert("llmcalc/huggingface/named.py", "TEXT_OF: Mapping[str, str] = {", '    "new_eye": "llama",')
    written = json.loads(copy.read(filled_in))
    written["models"]["new_eye"] = written["models"]["llava"]
    copy.write(filled_in, json.dumps(written))
    asked = """
from llmcalc.huggingface import read_config
vision = {"hidden_size": 64, "num_hidden_layers": 2, "intermediate_size": 96, "num_attention_heads": 4}
vision |= {"model_type": "clip_vision_model", "image_size": 28, "patch_size": 14, "projection_dim": 32}
text = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 4, "vocab_size": 100}
reading = read_config({"model_type": "new_eye", "vision_config": vision, "text_config": text})
{id: q.value for id, q in reading.model.components().items()}
"""
    d, d_ff, of_text = 64, 96, 32
    layer = 4 * (d * d + d) + 2 * d * d_ff + d_ff + d + 2 * 2 * d
    front = 3 * 14 * 14 * d + d + (2 * 2 + 1) * d  # patches, the class and the positions
    found = copy.found(asked)
    assert found["vision_tower"] == front + 2 * layer + 2 * 2 * d  # norms before the layers and after them
    assert found["projector"] == d * of_text + of_text + of_text * of_text + of_text


@adds("how a family's code runs its layers")
def _code(copy: Copy) -> None:
    step = "llmcalc.training_step(llmcalc.from_config({'model_type': 'helium'}), llmcalc.TrainingRun())"
    saved = f"{step}.saved_activations.value"
    before = copy.found(saved)
    path = "llmcalc/huggingface/code.py"
    copy.change(
        path,
        'HELIUM_CODE = replace(LLAMA_CODE, norm="rms_weight_cast"',
        'HELIUM_CODE = replace(LLAMA_CODE, norm="layer_norm"',
    )
    assert before != copy.found(saved)


@adds("a measured step, and so what a label may claim")
def _measured(copy: Copy) -> None:
    label = """
config = '{"model_type": "qwen3"}'
of_model = {**base("config.json", config).values, "model": "config.json", "config": config}
step = configured(**of_model, optimizer="adamw_8bit", precision="bf16")
[step.standing.label, step.step.peak.value]
"""
    before, peak = copy.found(label)
    assert before == "estimate"  # no row has these settings
    sizes = {"param_bytes": 400, "buffer_bytes": 0, "opt_bytes": 400, "saved": {"total": 100}, "n_params": 100}
    sizes |= {"phase_peaks": dict.fromkeys(("fwd1", "bwd1", "opt1"), peak)}
    ops = {f"at_{phase}": {"op": "aten.add.Tensor"} for phase in ("fwd1", "bwd1", "opt1")}
    step = {"recipe": "bf16", "attn": "sdpa", "ckpt": False, "dropout": 0.0, "loss": "hf", "optimizer": "adamw_8bit"}
    step |= {"model": "qwen3", "config": {"model_type": "qwen3"}, "B": 8, "S": 1024, "hold_logits": False}
    (copy.root / "rows.jsonl").write_text(json.dumps(step | sizes | ops))
    shipped = "llmcalc/accuracy/steps.jsonl"
    copy.write(shipped, copy.read(shipped))
    copy.run("tests/oracle/measured_rows.py", "rows.jsonl", "another")
    assert len(copy.read(shipped).splitlines()) == len((ROOT / shipped).read_text("utf-8").splitlines()) + 1
    assert copy.found(label) == ["measured", peak]


@adds("what is predicted for measured steps, passes and reports, however little")
def _predicted(copy: Copy) -> None:
    """Of two rows of each, for all take a while; what was kept of them had gone wrong."""
    kept = {path: copy.read(path) for path in re.findall(r"`(llmcalc/[\w/]+\.jsonl)`", ROWS[PREDICTED])}
    for path in kept:
        copy.write(path, '{"key": "gone wrong"}\n')
    few = "from llmcalc.accuracy import {0}; few_{1} = {0}.{1}()[:2]; {0}.{1} = lambda: few_{1}"
    sources = (("rows", "measured_steps"), ("inference", "measured_inference"), ("reports", "reports"))
    lines = [few.format(module, name) for module, name in sources]
    copy.run("-c", "\n".join((*lines, "import runpy", "runpy.run_module('llmcalc.accuracy', run_name='__main__')")))
    for path, before in kept.items():
        written = copy.read(path).splitlines()
        assert 0 < len(written) <= 2
        assert set(written) <= set(before.splitlines()), "what is kept here is what is predicted"
        copy.write(path, before)


PREDICTED = "what is predicted for measured steps, passes and reports, however little"


# Parts, techniques, inputs


@adds("a kind of attention, feed-forward network or norm")
def _attention(copy: Copy) -> None:
    """That of test_parts, which shows that it is counted, cached, cut up and simulated."""
    part = inspect.getsource(test_parts.key_as_value_elements.function), inspect.getsource(test_parts.KeyIsValue)
    running = inspect.getsource(test_parts.KeyIsValueAttention)
    of_parts, of_steps = _imports("quantity", "sources", r"transformer\.\w+"), _imports(r"step(?:\.\w+)?")
    title = '"""Attention whose keys are its values."""'
    copy.write("llmcalc/transformer/key_is_value.py", "\n\n\n".join((f"{title}\n\n{of_parts}", *part)))
    of_steps += "from llmcalc.transformer.key_is_value import KeyIsValue\n"
    copy.write("llmcalc/step/key_is_value.py", f"{title}\n\n{of_steps}\n\n{running}")
    copy.say("quantities", {"key_as_value_elements": "One vector"})
    copy.say("modules", {"transformer_key_is_value": "Parameters: keys that are values"})
    copy.insert(f"{WORDS}id/formulas.toml", "[formulas]", 'key_as_value_elements = "Satu vektor."')
    found = copy.found(
        """
from dataclasses import replace
from llmcalc.transformer.key_is_value import KeyIsValue
from llmcalc.transformer.model import Block
from llmcalc.words.names import name
plain = llmcalc.Dimensions(d_model=64, n_layers=3, n_heads=8, d_head=8, vocab_size=96).model()
block = plain.blocks[0][0]
own = KeyIsValue(64, 8, 2, 8)
parts = tuple(own if part.id == "attention" else part for part in block.parts)
model = replace(plain, blocks=((replace(block, parts=parts), 3),))
step = llmcalc.training_step(model, llmcalc.TrainingRun(batch_size=2, seq_len=128))
named = [bool(name(q.id)) for root in (model.parameters(), step.peak) for _, q in root.walk() if not q.is_given]
formulas = __import__("llmcalc.reference").reference.formulas()
[model.components()["attention"].value, all(named), "llmcalc.transformer.key_is_value" in formulas]
"""
    )
    width, kv = 64, 2 * 8
    assert found == [3 * (width * width + width * kv + width * width), True, True]


def _imports(*modules: str) -> str:
    """What test_parts imports of these modules of llmcalc, and of the standard library."""
    wanted = rf"from (?:__future__|dataclasses|llmcalc\.(?:{'|'.join(modules)})) import (?:\([^)]*\)|.*)\n"
    return "".join(re.findall(rf"^{wanted}", inspect.getsource(test_parts), re.M))


@adds("a technique of training")
def _technique(copy: Copy) -> None:
    copy.change("llmcalc/techniques/mix.py", OPTIMIZER, ZEROING)
    copy.say("techniques", {"switch_zeroing": "Zeroing", "cost_zeroing": "Nothing."})
    path = "llmcalc/accuracy/published_results.py"
    copy.change(
        path,
        "    for row in (\n",
        '    for row in (\n        PublishedResult("zeroing", "mix", DAO_2022.at("abstract")),\n',
    )
    copy.say("published", {"zeroing": "Zeroing was measured."})
    bars, adds_up, names = copy.found(
        """
from llmcalc.words import speak
from llmcalc.words.names import name
mix = configured(set_to_none=False).mix
parts = mix.memory.parts
[[bar.id for bar in mix.bars], sum(p.value for p in parts) == mix.memory.value, [name(p.id) for p in parts]]
"""
    )
    assert adds_up
    assert bars[-1] == "zeroing"
    assert names[-1] == "Change: Zeroing"


OPTIMIZER = '    "optimizer": _of_run("optimizer", "set_to_none", '
ZEROING = '    "zeroing": _of_run("set_to_none"),\n    "optimizer": _of_run("optimizer", '


@adds("an input")
def _input(copy: Copy) -> None:
    before = '    Switch(id="keep_logits", group="run", default=False),\n'
    line = '    Integer(id="loss_chunks", group="run", low=1, high=64, default=None),\n'
    copy.change("llmcalc/inputs.py", before, line + before)
    copy.say("inputs.loss_chunks", {"label": "Pieces of the loss", "help": "How many."})
    of_link, listed, peaks = copy.found(
        """
peaks = [configured(loss="chunked", loss_chunks=n).step.peak.value for n in (None, 8, 2)]
[read_parameters({"loss_chunks": ["2"]})[0], [i.id for i in in_group("run")], peaks]
"""
    )
    assert of_link == {"loss_chunks": 2}
    assert "loss_chunks" in listed
    assert peaks[0] == peaks[1] < peaks[2]  # without one, as many as PyTorch would: 8


@adds("a field of a layout over devices")
def _layout(copy: Copy) -> None:
    line = (
        '    offload_optimizer: Size = field(default=False, metadata=_declared(is_planned=False, switch="offload"))\n'
    )
    new = "    offload_weights: Size = field(default=False, metadata=_declared(is_planned=False))\n"
    copy.change("llmcalc/devices/layout.py", line, line + new)
    copy.change(
        copy.find("\n_SAID = {", "pages"),
        '    "zero_stage": 0,\n',
        '    "offload_weights": False,\n    "zero_stage": 0,\n',
    )
    copy.say("inputs.offload_weights", {"label": "Weights on the host", "help": "Where they are."})
    copy.say("techniques", {"switch_offload_weights": "Weights on the host", "cost_offload_weights": "Time."})
    copy.say("cluster", {"offload_weights": "weights on the host"})
    found = copy.found(
        """
asked = {"n_devices": 8, "offload_weights": True}
config = configured(**asked)
[config.layout.offload_weights, [bar.id for bar in config.mix.bars], config.problems]
"""
    )
    assert found[0] is True
    assert found[1][-1] == "offload_weights"
    assert found[2] == []


# Laws and engines


@adds("a scaling law")
def _law(copy: Copy) -> None:
    work = WORK.replace("FOUND", "NEW_LAW").replace("/found", "/law")
    copy.write("llmcalc/sources.py", copy.read("llmcalc/sources.py") + work)
    laws, forms = "llmcalc/scaling/laws.py", "llmcalc/scaling/forms.py"
    copy.write(forms, f"{copy.read(forms)}{TWENTY}")
    copy.change(laws, "    Routed,\n    ask,", "    Routed,\n    Twenty,\n    ask,")
    copy.change(laws, "    MUENNIGHOFF_2023,\n    SARDANA", "    MUENNIGHOFF_2023,\n    NEW_LAW,\n    SARDANA")
    row = 'Law("twenty", NEW_LAW.at("eq. 1"), Twenty(), ALL, Fitted()),'
    copy.change(laws, "    for law in (\n", f"    for law in (\n        {row}\n")
    copy.insert("pages/ui/figures/palette.py", "LAW_COLOURS = {", '    "twenty": "#445566|#99AABB",')
    copy.say("law_notes", {"twenty": "Twenty tokens a parameter."})
    copy.say("law_names", {"twenty": "Twenty"})
    copy.say("law_short", {"twenty": "Twenty"})
    best = copy.found(
        """
from pages.content.laws import laws
told = [row[0][0].text for block in laws(configured()) if hasattr(block, "rows") for row in block.rows]
best = llmcalc.LAWS["twenty"].optimal(compute=1.2e20)
[best.parameters.value, best.tokens.value, "Twenty" in told]
"""
    )
    assert best == [pytest.approx(1e9), pytest.approx(20e9), True]  # 6 · 1e9 · 20e9 FLOP


TWENTY = '''


@dataclass(frozen=True)
class Twenty:
    """Laws of twenty tokens a parameter."""

    @property
    def answers(self) -> Answers:
        """See `Form`."""
        return {"optimal": Powers("parameters", 120**-0.5, 0.5).optimal}
'''


@adds("a line that an engine prints, read where a log is pasted")
def _line_of_a_log(copy: Copy) -> None:
    rules, of = "llmcalc/serving/pasted/rules.py", "llmcalc/serving/pasted"
    line = '("Free for the cache:", rf"Free for the cache: (?P<cache_room>{SIZE})"),'
    first = '        VLLM.at("v1/core/kv_cache_utils.py"),\n'
    copy.change(rules, first, f"{first}        {line}\n")
    copy.insert(f"{of}/figures.py", "    # of the engine", '    "cache_room": Kind("bytes", "least"),')
    predicted = "_PREDICTED: Mapping[str, Callable[[Served, Model], Quantity | None]] = {"
    copy.insert(f"{of}/beside.py", predicted, '    "cache_room": lambda served, model: served.kv_available,')
    copy.insert(f"{of}/beside.py", "_WHY: Mapping[str, str] = {", '    "cache_room": "of_device",')
    copy.say("printed", {"cache_room": "Room for the cache"})
    copy.write("tests/golden/pasted/vllm_room.log", "INFO: Free for the cache: 1.50 GiB\n")
    read = '    "vllm_room.log": (("vllm",), {}, {"cache_room": 1.5 * GiB}),'
    copy.insert("tests/test_pasted.py", "EXPECTED = {", read)
    asked = """
from llmcalc.serving.pasted import beside, read_pasted
printed = read_pasted(open("tests/golden/pasted/vllm_room.log").read())
model = llmcalc.from_config({"model_type": "gpt2"})
rows = beside(printed, model, llmcalc.Serving(context=64)).rows
[(row.figure.id, row.figure.value, row.predicted is not None) for row in rows]
"""
    assert copy.found(asked) == [["cache_room", 1.5 * 2**30, True]]
    copy.passes("--noconftest", "tests/test_pasted.py", "-k", "every_figure_and_setting or log_of_everything or room")


@adds("an option of an engine's command")
def _option(copy: Copy) -> None:
    path, before = "llmcalc/serving/snippets.py", '        "--page-size": job.block_size,\n'
    copy.change(path, before, f'{before}        "--kv-bytes": job.kv_cache_memory,\n')
    known = '    known |= {"memory_utilization", "max_sequences", "batched_tokens", "block_size"'
    copy.change(path, f"{known}}} | _ADDITIONS\n", f'{known}, "kv_cache_memory"}} | _ADDITIONS\n')
    asked = """
from llmcalc.serving.snippets import serving_snippets
job = llmcalc.Serving(engine="sglang", kv_cache_memory=10**9)
[(snippet.text.split()[-2:], snippet.leaves_out) for snippet in serving_snippets("a/b", job)]
"""
    assert copy.found(asked) == [[["--kv-bytes", "1000000000"], []]]


# The lesson


@adds("a question of the lesson")
def _question(copy: Copy) -> None:
    path = "llmcalc/lessons/questions.py"
    copy.change(path, "QUESTIONS = {\n    question.id: question\n    for question in (\n", QUESTION)
    copy.change(
        "llmcalc/lessons/chapters.py", '("feed_forward_share", "twice', '("all_layers", "feed_forward_share", "twice'
    )
    copy.say("learn.questions.all_layers", {"text": "How many are in the layers?", "right": "{right}."})
    copy.say("learn.mistakes", {"half": "Too few.", "double": "Too many.", "treble": "Far too many."})
    first = "[(q := CHAPTERS['1'].questions[0]).id, float(q.answer(configured()))]"
    found = copy.found(f"from llmcalc.lessons.chapters import CHAPTERS\n{first}")
    assert found == ["all_layers", 12 * (12 * 768**2 + 13 * 768)]


QUESTION = """QUESTIONS = {
    question.id: question
    for question in (
        Question(
            "all_layers",
            "parameters",
            _in_layers,
            {"half": times(1 / 2, _in_layers), "double": times(2, _in_layers), "treble": times(3, _in_layers)},
        ),
"""


# Pages, tables, words

PAGES = "EVERY_PAGE: Mapping[str, Page] = {"


@adds("a page")
def _page(copy: Copy) -> None:
    content = """from llmcalc.words import w
from pages.ui.document.blocks import heading


def glossary():
    yield heading(w("pages.glossary.title"))
"""
    copy.write("pages/content/glossary.py", content)
    page = """from pages.ui.app.shell import alone
from pages.content.glossary import glossary
from pages.ui.app.screen import draw


def page():
    draw(glossary())


if __name__ == "__main__":
    alone()
"""
    copy.write("pages/glossary.py", page)
    copy.change(copy.find("\nSECTIONS: ", "pages"), '"accuracy", "method"', '"accuracy", "glossary", "method"')
    every = "pages/content/pages.py"
    copy.insert(every, PAGES, '    "glossary": Page(lambda config: glossary.glossary(), ("symbols",)),')
    copy.change(every, "    explore,\n", "    explore,\n    glossary,\n")
    copy.say("pages", {"glossary.title": "Glossary"})
    assert copy.found(
        "from pages.content.pages import EVERY_PAGE\nlist(EVERY_PAGE['glossary'].data(configured()))"
    ) == ["symbols"]
    draw = """
from streamlit.testing.v1 import AppTest
app = AppTest.from_file("app.py", default_timeout=100).switch_page("pages/glossary.py").run()
[[e.value for e in app.exception], [h.value for h in app.subheader]]
"""
    assert copy.found(draw) == [[], ["Glossary"]]


@adds("a table to download")
def _table(copy: Copy) -> None:
    path = "llmcalc/export/techniques.py"
    rows = 'def losses(config):\n    """Which loss it is."""\n    yield {"loss": config.values["loss"]}\n\n\n'
    copy.change(path, "TABLES: tuple[Table, ...] = (", f"{rows}TABLES: tuple[Table, ...] = (losses, ")
    copy.change("pages/content/pages.py", "Page(_techniques, (", 'Page(_techniques, ("losses", ')
    copy.say("download", {"losses": "Losses"})
    csv = "from pages.content.pages import EVERY_PAGE\nlist(EVERY_PAGE['techniques'].data(configured())['losses']())"
    assert copy.found(csv) == [{"loss": "hf"}]


@adds("words")
def _words(copy: Copy) -> None:
    """What another optimizer costs, which is told where there are words for it."""
    copy.say("techniques", {"cost_optimizer_lion": "One state of {number:,} numbers."})
    said = "from llmcalc.words import speak, w\n[speak('id'), w('techniques.cost_optimizer_lion', number=1000)][1]"
    assert copy.found(said) == "One state of 1.000 numbers."


@adds("a language")
def _language(copy: Copy) -> None:
    """Dutch, for which Indonesian words stand in, but for its name."""
    for file in (copy.root / WORDS / "id").glob("*.toml"):
        text = file.read_text("utf-8").replace('name = "Bahasa Indonesia"', 'name = "Nederlands"')
        copy.write(f"{WORDS}nl/{file.name}", text.replace('codes = "id in"', 'codes = "nl"'))
    found = copy.found(
        """
from llmcalc.words import language_asked, speak, value_of, w
asked = [language_asked(code) for code in ("nl-BE", "id", "fr", "")]
speak("nl")
[asked, INPUTS["lang"].options, read_parameters({"lang": ["nl"]})[0], value_of("lang", "nl"), w("pages.compare.title")]
"""
    )
    assert found == [["nl", "id", "en", "en"], ["en", "id", "nl"], {"lang": "nl"}, "Nederlands", "Bandingkan"]
