"""What is written says no more and no less than is so: laws over every page, report and working, in both languages."""

from __future__ import annotations

import re
from datetime import date

import pytest
from configurations import CONFIGURATIONS, HOSTILE, configured
from laws import some_of
from opened_app import openers
from test_export import SAME_FOR_ALL
from test_languages import drawn, opened

from pages.ui.app.shell import PAGES
from llmcalc import words
from llmcalc.bases import base, compact
from llmcalc.configuration import Configuration
from llmcalc.export import TABLES
from llmcalc.export.rows import working as rows_of
from llmcalc.inputs import DEFAULTS, INPUTS, PASTED
from llmcalc.lessons.chapters import CHAPTERS
from llmcalc.link import read_link
from llmcalc.quantity import Quantity, given_quantity
from llmcalc.stored.weights import stored_weights
from llmcalc.words.names import unit_name
from pages.content.pages import EVERY_PAGE, WORKING
from pages.content.report import report
from pages.ui.app.choose import changes_in_words
from pages.ui.document.blocks import Table, Working
from pages.ui.document.markdown import markdown
from pages.ui.words.problems import problem_words
from pages.ui.words.working import latex_steps, rounded

LANGUAGES = ("en", "id")


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_no_level_of_a_working_repeats_its_only_part(name):
    config = CONFIGURATIONS[name]
    roots = [config.model.parameters(), config.inference, config.training.peak, *config.model.components().values()]
    roots += [config.training.saved_activations, config.rank.peak, config.rank.traffic]
    for root in roots:
        for _, q in root.collapsed.walk():
            parts = [part for part in q.inputs.values() if not part.is_given]
            assert not (len(q.inputs) == len(parts) == 1 and parts[0].working.result == q.working.values), q.id
            steps = latex_steps(q)
            assert len(set(steps)) == len(steps), (q.id, steps)
        assert root.collapsed.value == root.value
        assert [row["depth"] for row in rows_of(root)] == [depth for depth, _ in root.collapsed.walk()]


@pytest.mark.parametrize(
    ("name", "language"), some_of([(name, language) for name in CONFIGURATIONS for language in LANGUAGES], 3)
)
def test_no_working_in_a_report_says_one_number_twice_in_a_row(name, language):
    words.speak(language)
    document = report(CONFIGURATIONS[name], "http://localhost/", date(2031, 2, 3))
    words.speak("en")
    workings = [block for section in document.sections for block in section.blocks if isinstance(block, Working)]
    assert len(workings) > 10
    for block in workings:
        said = [step[0].text for step in block.steps]
        assert len(set(said)) == len(said), said


def test_the_working_of_inference_goes_down_to_the_heads_of_a_layer():
    app = opened("explore", {"lang": "en", "model": "Llama 3 8B", "seq_len": "1024", "batch_size": "2"}, {})
    (inference,) = (button for label, button in openers(app).items() if label == "Weights and a cache of 2 × 1,024")
    inference.click().run()
    told = "\n".join(markdown.value for markdown in app.get("dialog")[0].markdown)
    # Llama 3 8B: 8 key/value heads of 128, so 2·8·128 = 2,048 numbers a token and layer; 1,024 tokens, 32 layers
    assert r"$= 2 \cdot 8 \cdot 128$" in told
    assert r"$= 1{,}024 \cdot 2{,}048$" in told
    assert rf"$= {f'{1024 * 2048 * 32:,}'.replace(',', '{,}')}$" in told


def test_one_is_told_from_several_where_it_counts():
    words.speak("en")
    said = [words.w("cluster.batch", batch=batch, length=length) for batch, length in ((1, 1), (1, 2_048), ("1", "2"))]
    assert said == [
        "Every plan goes through 1 sequence of 1 token in a step.",
        "Every plan goes through 1 sequence of 2,048 tokens in a step.",
        "Every plan goes through 1 sequence of 2 tokens in a step.",
    ]
    assert [unit_name("parameters", n) for n in (0, 1, 2)] == ["parameters", "parameter", "parameters"]
    words.speak("id")
    assert unit_name("parameters", 1) == "parameter"
    words.speak("en")


# One of several: "1 sequences". Not the end of a longer number, and not a verb: "batch 1 peaks"
VERBS = r"(?:is|was|has|does|needs|takes|peaks|asks|plus|as|times|less|this|its|holds|fits)\b"
ONE_OF_SEVERAL = rf"(?<![\w.,·×])1 (?:[a-z/-]+ )?(?!{VERBS})[a-z/-]*[a-z]s\b"
# An article that a name does not suit: "a A100", "a H100", "an T4"
WRONG_ARTICLE = r"\ba (?:[AEHLMRX]\d|RTX|MI\d|8|11\b|18\b)|\ban (?:[BTV]\d|GB)"
NOT_ENGLISH = f"{ONE_OF_SEVERAL}|{WRONG_ARTICLE}"


def test_nothing_that_is_counted_stands_bare_in_the_plural_and_no_article_before_a_name():
    english = {key: text for key, text in words.dictionary("en").items() if not key.startswith("kinds.")}
    counted = {
        noun for text in english.values() for noun in re.findall(r"\|[^{}|]*?# (?:[a-z/-]+ )?([a-z]+s)\b[^{}|]*}", text)
    }
    assert {"sequences", "tokens", "layers", "heads", "devices", "steps"} <= counted
    bare = rf"\{{[a-z_]+(?::,)?}}[*]* (?:[a-z/-]+ )?(?:{'|'.join(counted - {'parameters', 'times'})})\b"
    assert not {key: found[0] for key, text in english.items() if (found := re.search(bare, text))}
    assert not {key: text for key, text in english.items() if re.search(r"\b[Aa]n? [*`]*\{", text)}


ONES = dict.fromkeys(
    (
        *("d_model", "n_layers", "n_heads", "vocab_size", "batch_size", "seq_len", "d_ff", "n_kv_heads", "d_head"),
        *("n_positions", "n_devices", "node_size", "global_batch", "lora_rank", "improvement"),
    ),
    "1",
)
ON_HOST = {"offload_optimizer": "true", "lora_rank": "0"}  # a layout over one device
SCENES_OF_ONE = [(page, ONES, {}) for page in PAGES]
MORE_OF_ONE = [("learn", ONES | {"chapter": str(number)}, {}) for number in CHAPTERS]
MORE_OF_ONE += [("techniques", ONES | {"technique": technique}, {}) for technique in INPUTS["technique"].options[1:]]
MORE_OF_ONE += [("training", ONES | ON_HOST, {"savings": True}), ("techniques", ONES | ON_HOST, {})]
MORE_OF_ONE += [
    ("fits", ONES | {"purpose": "inference"}, {}),
    ("fits", {"seq_len": "1", "n_layers": "1000", "d_model": "65536", "n_heads": "1"}, {}),
    ("explore", ONES | {"n_heads": "3", "seq_len": "2"}, {}),
    (
        "explore",
        ONES | {"pipeline_parallel": "2", "interleave": "2", "tensor_parallel": "3", "expert_parallel": "2"},
        {},
    ),
    ("compare", ONES | {"compare": "Llama 3 8B;n_layers=1|Mixtral 8x7B"}, {"compare_working": 0}),
    *(("explore", ONES, {"more_of_explore": f"explore.{part}"}) for part in ("formats", "all_working")),
]


SCENES_OF_ONE += [pytest.param(*scene, marks=pytest.mark.slow) for scene in MORE_OF_ONE]


@pytest.mark.parametrize(("page", "link", "state"), SCENES_OF_ONE)
def test_no_page_writes_one_of_several_or_an_article_that_does_not_suit(page, link, state):
    app = opened(page, link | {"lang": "en"}, state)
    wrong = {m[0] for text in drawn(app) for m in re.finditer(NOT_ENGLISH, text)}
    assert not wrong


@pytest.mark.parametrize("name", ["ones", *CONFIGURATIONS])
def test_no_report_writes_one_of_several_or_an_article_that_does_not_suit(name):
    one = CONFIGURATIONS["preset"].values | {id: INPUTS[id].read(value) for id, value in ONES.items()}
    config = Configuration(one) if name == "ones" else CONFIGURATIONS[name]
    text = markdown(report(config, "http://localhost/", date(2031, 2, 3)))
    assert not {m[0] for m in re.finditer(NOT_ENGLISH, text)}


RAW = rf"\b(?:{'|'.join(id for id in INPUTS if '_' in id)})\b"


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_message_names_an_input_by_its_id(language):
    told = {
        key: text for key, text in words.dictionary(language).items() if re.match("problems|notices|reasons|side", key)
    }
    assert not {key: text for key, text in told.items() if re.search(RAW, re.sub(r"{[^}]*}", "", text))}


CONTRADICTIONS = [
    ("GPT-2 124M", {"n_heads": 10}, "10 heads do not divide the width of 768"),
    ("Llama 3 8B", {"n_heads": 30}, "Key/value heads = 8 does not divide Heads = 30"),
    ("Llama 3 8B", {"n_kv_heads": 7}, "Key/value heads = 7 does not divide Heads = 32"),
    ("Mixtral 8x7B", {"top_k": 9}, "Experts for each token = 9 experts of Experts = 8"),
    ("Llama 3 8B", {"tensor_parallel": 3}, "3 does not divide"),
    ("Llama 3 8B", {"context_parallel": 3}, "3 does not divide Sequence length = 1,024"),
    ("Llama 3 8B", {"expert_parallel": 2}, "2 does not divide Experts = 1"),
]


@pytest.mark.parametrize(("model", "changes", "said"), CONTRADICTIONS)
def test_what_is_wrong_with_an_input_is_said_by_its_label(model, changes, said):
    problems = configured(model, **changes).problems
    assert problems
    for language in LANGUAGES:
        words.speak(language)
        texts = [problem_words(problem) for problem in problems]
        assert not [text for text in texts if re.search(RAW + "|hidden_size|num_", text)], texts
        assert language != "en" or any(said in text for text in texts), texts
    words.speak("en")


def test_what_was_changed_is_told_by_labels_as_the_controls_show_it():
    config = configured("GPT-2 124M", n_layers=1_000, tied_head=False, positions="none", n_kv_heads=4)
    told = {}
    for language in LANGUAGES:
        words.speak(language)
        told[language] = changes_in_words(config.base, config.base.changed(config.values))
    words.speak("en")
    assert told["en"] == (
        "Changed: Layers 12 → 1,000, Key/value heads empty (derived) → 4, Positions learned → none, Tied head on → off"
    )
    assert told["id"].startswith("Diubah: Lapisan 12 → 1.000,")


@pytest.mark.parametrize(("page", "link"), [("training", {}), ("cluster", {}), ("cluster", {"n_devices": "8"})])
def test_neither_what_a_process_takes_nor_what_is_sent_is_called_measured(page, link):
    """Instruments counted tensors: no row has a process, no row a message."""
    app = opened(page, link | {"lang": "en"}, {})
    never = [words.w("overhead.process"), words.w("cluster.sends")]
    labels = [button.label for button in app.button if any(button.label.startswith(name) for name in never)]
    assert labels
    assert all(":orange-badge[estimate]" in label for label in labels), labels


@pytest.mark.parametrize("device", ["M4 Max", "TPU v5e", "Gaudi 3", "MI300X"])
def test_what_is_only_so_with_cuda_is_not_said_of_another_device(device):
    """None of them has a CUDA context or an nvidia-smi; and but for AMD's, which PyTorch runs by way of HIP, nothing
    that was measured ran kernels like theirs."""
    for page in ("explore", "training", "fits", "cluster"):
        app = opened(page, {"lang": "en", "accelerator": device}, {})
        said = [
            element.value for kind in ("markdown", "caption", "header", "subheader") for element in app.main.get(kind)
        ]
        said += [button.label for button in app.main.button]
        false = ("nvidia-smi", "PyTorch's allocator", "cuBLAS", "the CUDA context")
        assert not [text for text in said if any(words in text for words in false)]
        assert ("green-badge[checked] are tensors" in " ".join(said)) == (device == "MI300X")
        assert any("as much as on a CUDA device" in text for text in said)


def test_on_stage_the_verdict_is_said_once():
    app = opened("explore", {"lang": "en", "present": "true"}, {})
    said = [markdown.value for markdown in app.markdown if "a training step needs" in markdown.value]
    assert len(said) == 1


TINY = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 128}
TINY |= {"vocab_size": 1_000, "architectures": ["SomeForCausalLM"]}
# A model_type that is no family's, or none at all; also one that we use as a name ourselves, and one within another
GUESSES = [{"model_type": name, **TINY} for name in ("qwen99", "nanogpt", "", "?", "LLaMA", "llama ", HOSTILE)]
GUESSES += [{"model_type": "llava", "text_config": {"model_type": "qwen99", **TINY}}]
GUESSES += [{"model_type": "x", "vision_config": {}, **TINY}]
SURE = r"\b(?:green|blue)-badge|✓|\b[Ee]xact\b"
SURE_LABELS = {words.dictionary("en")[f"standing.{reason}"] for reason in ("held_out", "read", "counted", "by_formula")}


def guessed(config: dict) -> dict[str, str]:
    """A link to a config.json."""
    return {"lang": "en", "model": PASTED, "config": compact(config)}


def from_link(link: dict[str, str]) -> Configuration:
    """What a link describes."""
    found = read_link({key: [value] for key, value in link.items()}).values
    return Configuration(DEFAULTS | dict(base(found["model"], found.get("config", "")).values) | found)


@pytest.mark.parametrize("config", GUESSES)
def test_whatever_is_guessed_is_an_estimate(config):
    found = from_link(guessed(config) | {"n_devices": "2"})
    assert found.base.is_guess
    standings = [found.standing, found.verdict_standing, found.count_standing, found.inference_standing]
    standings += [found.standing_of_plan(found.plans.iloc[0].to_dict())]
    assert {standing.label for standing in standings} == {"estimate"}


def test_a_guess_is_called_an_estimate_wherever_it_stands():
    found = from_link(guessed(GUESSES[0]) | {"n_devices": "2"})
    told = report(found, "http://localhost/", date(2031, 2, 3))
    (numbers,) = (block for block in told.sections[0].blocks if isinstance(block, Table))
    assert not SURE_LABELS & {cell[0].text for row in numbers.rows for cell in row}
    assert not re.findall(SURE, markdown(told))
    assert "as if it were built like LLaMA" in markdown(told)
    of_this_model = {id: rows for id, rows in TABLES.items() if id not in SAME_FOR_ALL}
    for id, rows in of_this_model.items():
        assert {row["standing"] for row in rows(found) if "standing" in row} <= {"estimate"}, id
    for id, page in EVERY_PAGE.items():
        if make := page.data(found).get(WORKING):
            assert {row["standing"] for row in make()} <= {"estimate", None}, id


@pytest.mark.parametrize("page", ["explore", "parameters", "training", "fits", "cluster", "techniques", "compare"])
@pytest.mark.parametrize("config", GUESSES[1:2] + GUESSES[-2:-1])
def test_no_page_calls_a_guess_more_than_an_estimate(page, config):
    link = guessed(config)
    pinned = f"{PASTED};{link['config'].replace(';', '')}"
    app = opened(page, link | {"compare": pinned} if page == "compare" else link, {})
    texts = [text for text in drawn(app) if re.search(SURE, text)]
    assert not texts
    assert "as if it were built like LLaMA" in "\n".join(caption.value for caption in app.main.caption)


def test_what_a_model_leaves_out_is_said_beside_its_title_and_in_its_report():
    vision = {"model_type": "gemma3n", "vision_config": {"hidden_size": 1152}, "text_config": {"vocab_size": 1000}}
    links = [({"model": "Gemma 3 4B (text)"}, "Only the language model of a multimodal model is counted")]
    links += [({"model": "DeepSeek-V3 671B"}, "without the layer for multi-token prediction")]
    links += [({"model": PASTED, "config": compact(vision)}, "Only the language model is counted")]
    for page, (link, said) in zip(("explore", "parameters", "explore"), links, strict=True):
        app = opened(page, link | {"lang": "en"}, {})
        assert said in app.main.caption[0].value
    link, said = links[0]
    assert said in markdown(report(from_link(link), "http://localhost/", date(2031, 2, 3)))


FORMATS = {
    "bf16": ("All weights in one plain format", {"bfloat16"}),
    "NF4": ("Weights that are quantised", {"Dettmers et al. 2023", "get_modules_to_not_convert"}),
    "int4 g128": ("Weights that are quantised", {"Frantar et al. 2023", "get_modules_to_not_convert"}),
    "GGUF Q4_K_M": ("Weights that are quantised", {"llama-quant.cpp"}),
}


@pytest.mark.parametrize("name", FORMATS)
def test_stored_weights_cite_who_says_how_they_are_stored(name):
    meaning, cited = FORMATS[name]
    parts = stored_weights(configured("Llama 3 8B").model, name).parts
    assert any(part.meaning.startswith(meaning) for part in parts)
    assert {place for place in cited for part in parts if place in str(part.source)} == cited
    assert all(any(place in str(part.source) for place in cited) for part in parts)
    assert not [part for part in parts if "too sensitive" in part.meaning and name == "bf16"]


SWITCHED = {"precision": "amp_bf16", "attention": "sdpa", "recompute": "full", "loss": "hf", "optimizer": "adamw_fused"}
SWITCHED |= {"gradient_accumulation": 2, "data_parallel": 2, "zero_stage": 1}


def test_a_time_that_is_not_modelled_is_no_time_of_zero():
    """Kernels, losses and optimizers move bytes, and the model of time counts operations and messages."""
    bars = {bar.id: bar for bar in configured("GPT-2 124M", **SWITCHED).mix.bars}
    untimed = {id for id, bar in bars.items() if bar.time is None}
    assert untimed == {"attention", "loss", "optimizer", "micro_batches"}
    assert bars["zero"].time.value == 0  # modelled: stage 1 sends what an all-reduce sends (Rajbhandari et al., sec. 7)
    chunked = {bar.id: bar for bar in configured("GPT-2 124M", loss="chunked").mix.bars}
    assert chunked["loss"].time.value > 0  # the head runs once more
    mix = configured("GPT-2 124M", **SWITCHED).mix
    assert mix.time.value == pytest.approx(mix.result.time.value)


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_table_of_switches_says_what_each_costs_as_it_is_set(language):
    link = {id: str(value) for id, value in SWITCHED.items()} | {"lang": language, "model": "GPT-2 124M"}
    app = opened("techniques", link, {})
    told = words.dictionary(language)
    (table,) = (m.value for m in app.main.markdown if m.value.startswith(f"| {told['techniques.column_switch']} "))
    rows = {line.split(" | ")[0].removeprefix("| "): line for line in table.splitlines()[2:]}
    loss, optimizer = rows[told["techniques.switch_loss"]], rows[told["techniques.switch_optimizer"]]
    for row in (loss, optimizer):
        assert f"| {told['techniques.untimed']} |" in row
    assert told["techniques.cost_loss_hf"] in loss
    assert told["techniques.cost_optimizer_adamw_fused"] in optimizer
    assert told["techniques.cost_optimizer"] not in optimizer


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("batch_size", ["8", "4096"])
def test_how_much_of_the_memory_is_taken_is_a_phrase(language, batch_size):
    told = {
        ("en", "8"): "13.2% of the memory on one H100 SXM",
        ("id", "8"): "13,2% dari memori pada satu H100 SXM",
        ("en", "4096"): "times the memory on one H100 SXM",
        ("id", "4096"): "kali memori pada satu H100 SXM",
    }
    app = opened("fits", {"lang": language, "batch_size": batch_size}, {})
    assert any(caption.value.endswith(told[language, batch_size]) for caption in app.main.caption)


def test_nothing_is_not_rounded():
    assert rounded(given_quantity("element_bytes", 0)) == ""
    assert rounded(Quantity("peak", 0, "bytes", "M")) == ""
    assert rounded(Quantity("peak", 2**31, "bytes", "M")) == "≈ 2.00 GiB"


@pytest.mark.parametrize("language", ["en", "id"])
def test_what_fits_in_inference_tells_of_serving_alone(language):
    link = {"model": "Llama 3 8B", "accelerator": "A100 80GB SXM", "purpose": "inference", "lang": language}
    app = opened("fits", link, {})
    told = [element.value for element in app.main.markdown if "material/c" in element.value]
    assert len(told) == 1
    assert "vLLM" in told[0]
