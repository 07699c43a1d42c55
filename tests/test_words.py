"""Everything that has an id has words, and there are no words without an id."""

from __future__ import annotations

import functools
import itertools
import re
import string
import tomllib
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from kinds import KINDS

from pages.ui.app.shell import PAGES
from llmcalc import LAWS, Budget, InferenceRun, Quantity, Serving, inference, serve, training_cost
from llmcalc.accuracy.published_results import PUBLISHED_RESULTS
from llmcalc.article import article_parameters
from llmcalc.bases import base
from llmcalc.catalog.accelerators import ACCELERATORS
from llmcalc.catalog.models import models
from llmcalc.configuration import Configuration
from llmcalc.devices.rank import OF_SHARDED
from llmcalc.errata import ERRATA, EXAMPLE_STEPS, LAYER_TERMS, complete_parameters
from llmcalc.errors import InputError
from llmcalc.huggingface import from_config, read_config
from llmcalc.huggingface.beside import TOWERS, towers_of
from llmcalc.huggingface.encoders import ENCODERS
from llmcalc.huggingface.families import FAMILIES
from llmcalc.inputs import DEFAULTS, INPUTS, MODELS, PASTED
from llmcalc.lessons.facts import read_for_one, training_state
from llmcalc.rates.flops import forward_flops
from llmcalc.reference import formulas
from llmcalc.serving.batches import batches, quantity_of_turn
from llmcalc.serving.held import cache_per_token, inference_memory
from llmcalc.serving.pasted import beside, read_pasted
from llmcalc.serving.speed import Load, Split, machine_of, speed
from llmcalc.step.course import MOMENTS
from llmcalc.step.run import ATTENTIONS, LOSSES, RECOMPUTATIONS
from llmcalc.stored.weights import stored_weights
from llmcalc.symbols import SYMBOLS
from llmcalc.techniques.mix import SWITCHES
from llmcalc.techniques.pruning import PRUNINGS, pruned_weights
from llmcalc.words import FOLDER, dictionary
from llmcalc.words.names import name
from pages.ui.figures.palette import COLOURS

ARTICLE_SHAPE = {"d_model": 768, "d_ff": 3072, "n_layers": 12, "vocab_size": 50_000}
ROOT = Path(__file__).parent.parent
LANGUAGES = [drawer.name for drawer in FOLDER.iterdir() if any(drawer.glob("*.toml"))]
DRAWN = "\n".join(
    file.read_text()
    for file in [*ROOT.glob("pages/**/*.py"), *FOLDER.glob("*.py"), ROOT / "app.py", ROOT / "llmcalc" / "notebook.py"]
)

CHANGES = (
    {"dropout": 0.1, "keep_logits": True, "gradient_accumulation": 2},
    {"lora_rank": 8, "lora_targets": "all", "lora_base": "NF4", "precision": "bf16"},
    {"optimizer": "adafactor"},
    {"optimizer": "adamw_for_loop"},
)
# Every loss however activations are recomputed, in turn with the rest
WAYS_TO_RUN = [
    {"recompute": recompute, "loss": loss, "attention": ATTENTIONS[turn // 4 % len(ATTENTIONS)], **CHANGES[turn % 4]}
    for turn, (recompute, loss) in enumerate(itertools.product(RECOMPUTATIONS, LOSSES))
]
SAVED = {"lora_rank": 8, "precision": "bf16", "modules_to_save": "embed_tokens+lm_head"}
WAYS_TO_RUN += [SAVED, SAVED | {"lora_base": "int8", "padding": True, "use_cache": True, "seq_len": 331}]
WAYS_TO_RUN += [{"optimizer_in_backward": True, "activation_offload": True, "padding": True}]
FIGURES = (*ERRATA.values(), *EXAMPLE_STEPS, *LAYER_TERMS)


def units() -> set[str]:
    """The units of all formulas and symbols."""
    return ({f.unit for found in formulas().values() for f in found} | {s.unit for s in SYMBOLS.values()}) - {""}


DETAILS = (
    {"model_type": "deberta", "relative_attention": True, "pos_att_type": ["c2p", "p2c"]},
    {"model_type": "xmod", "languages": ["en", "id"]},
    {"model_type": "speech_to_text", "conv_kernel_sizes": [5, 5, 5]},
)
AHEAD = {"model_type": "deepseek_v3", "num_nextn_predict_layers": 1}
HEADS = (
    "LlamaForSequenceClassification",
    "RobertaForTokenClassification",
    "ModernBertForSequenceClassification",
    "BigBirdForQuestionAnswering",
    "XLMForMultipleChoice",
)


SERVED = ("deepseek-v2-lite", "gemma-3-1b", "gemma-4-26b-a4b", "qwen3.5-27b", "gpt2", "bert-base", "gpt-oss-20b")
WAYS_TO_SERVE = (
    *({"engine": engine} for engine in ("vllm", "sglang", "tensorrt-llm", "llama.cpp")),
    *({"engine_version": version, "tensor_parallel": 2} for version in ("0.8", "0.22", "0.30")),
    {"pipeline_parallel": 2, "kv_cache_memory": 2**30},
    {"engine": "llama.cpp", "engine_version": "b4000", "flash_attention": False},
    {"engine": "llama.cpp", "engine_version": "b9100", "cpu_moe_layers": 3, "weights": "Q4_K_M"},
)


def quantities_of_serving():
    """Everything that serving a model is told by."""
    for id in SERVED:
        served_model = from_config(models()[id].config)
        for way in WAYS_TO_SERVE:
            with suppress(InputError):
                served = serve(served_model, Serving(**{"context": 256, **way}))
                yield from (value for value in vars(served).values() if isinstance(value, Quantity))
    run = InferenceRun(seq_len=64, kv_cache="fp8")
    for memory in (
        inference(from_config({"model_type": "gpt2"}), run),
        inference(from_config({"model_type": "phi3"}), run),
    ):
        yield from (memory.weights, memory.kv_cache, memory.prefill_peak, memory.decode_peak)
    yield serve(from_config({"model_type": "gpt2"}), Serving(engine="transformers", context=64)).needed
    yield serve(from_config({"model_type": "gpt2"}), Serving(context=64)).longest_context
    yield serve(from_config({"model_type": "gpt2"}), Serving(context=64, lora_slots=2, draft="eagle")).weights
    alone = Serving(context=64, input_tokens=1, output_tokens=1)
    yield quantity_of_turn(batches(from_config({"model_type": "llama", "num_key_value_heads": 8}), alone))


@functools.cache
def shown_quantities():
    """Ids of all quantities that a page can open: of every kind of model, in both accounts, of every formula."""
    ids = {f.id for found in formulas().values() for f in found} | {article_parameters(**ARTICLE_SHAPE).id}
    other = {"gated": True, "tied_head": False, "norm": "RMSNorm", "attention": "eager", "n_kv_heads": 4}
    models = [DEFAULTS | {"model": model} | dict(base(model).values) for model in KINDS]
    for values in (*models, DEFAULTS | other):
        config = Configuration(values)
        model = config.model
        roots = [model.parameters(), model.active_parameters(), model.non_embedding_parameters(), config.inference]
        roots += [*model.components().values(), model.kv_elements_per_token(), cache_per_token(model)]
        roots += [training_state(config), read_for_one(config)]
        roots += [flops] if (flops := forward_flops(model, seq_len=1024)) else []
        for memory in (config.step, config.article):
            roots += [memory.peak, memory.saved_activations, memory.steady_state, *memory.moments.values()]
        ids |= {q.id for root in roots for _, q in root.walk() if not q.is_given}
    for library in ("GPT-2 124M", "Mixtral 8x7B", "Qwen3 Next 80B A3B"):
        roots = quantities_of_speed(Configuration(DEFAULTS | dict(base(library).values)).model)
        ids |= {q.id for root in roots for _, q in root.walk() if not q.is_given}
    for model in models_of_families():
        roots = [model.parameters(), model.active_parameters(), model.kv_elements_per_token(), model.state_elements()]
        roots += [model.kv_cache_elements(seq_len=1000), *model.components().values()]
        roots += [flops] if (flops := forward_flops(model, seq_len=1024)) else []
        roots += [inference_memory(model, batch_size=2, seq_len=100)]
        ids |= {q.id for root in roots for _, q in root.walk() if not q.is_given}
    for changes in WAYS_TO_RUN:
        step = Configuration(models[0] | changes).step
        roots = [step.saved_activations, step.logits, step.weight_casts, *step.moments.values()]
        ids |= {q.id for root in roots for _, q in root.walk() if not q.is_given}
    for changes in ({"objective": "ppo", "rollout_engine": "beside"}, {"objective": "ppo", "lora_rank": 8},
                    {"objective": "grpo", "rollout_engine": "sleeping"}):  # fmt: skip
        moments = Configuration(models[0] | changes).step.moments.values()
        ids |= {q.id for moment in moments for _, q in moment.walk() if not q.is_given or q.meaning}
    everything = {"data_parallel": 2, "zero_stage": 3, "tensor_parallel": 2, "sequence_parallel": True}
    everything |= {"pipeline_parallel": 2, "context_parallel": 2, "expert_parallel": 2, "gradient_accumulation": 4}
    mixture = next(values for values in models if values["model"] == "Mixtral 8x7B")
    lora = {"lora_rank": 8, "lora_base": "NF4", "offload_optimizer": True, "lora_targets": "all"}
    shared = {"data_parallel": 2, "zero_stage": 3}
    layouts = ({}, everything, everything | {"interleave": 2, "recompute": "full"}, lora, SAVED)
    for changes in (*layouts, shared, {"data_parallel": 2}, {"data_parallel": 2, "zero_stage": 2}):
        rank = Configuration(mixture | changes).rank
        roots = [rank.peak, rank.weights, rank.gradients, rank.optimizer_state, rank.communication, rank.traffic]
        roots += rank.moments.values()
        ids |= {q.id for root in roots for _, q in root.walk() if not q.is_given}
    ids |= {q.id for root in quantities_of_techniques(mixture, lora) for _, q in root.walk() if not q.is_given}
    ids |= {q.id for root in quantities_of_pasted() for _, q in root.walk() if not q.is_given or q.meaning}
    towers = [
        part
        for name in set(TOWERS) - {"aya_vision"}
        for given in ({}, {"vision_config": {}, "audio_config": {}} if name.startswith("gemma4") else {})
        for part in towers_of({"model_type": name, **given}, {"d_model": 64, "d_ff": 64})[0]
    ]
    ahead = read_config(AHEAD)
    beside = [replace(ahead.model, beside=parts) for parts in (*([tower] for tower in towers), ahead.left_out)]
    heads = [
        read_config(
            {
                "model_type": {"BigBird": "big_bird"}.get(name.split("For")[0], name.split("For")[0].lower()),
                "architectures": [name],
            }
        )
        for name in HEADS
    ]
    read = [read_config({"model_type": name}) for name in (*ENCODERS, "led", "pegasus_x", "whisper", "speech_to_text")]
    read += [read_config({**c, "type_vocab_size": 1}) for c in DETAILS]
    beside += [reading.model for reading in read]
    roots = [root for model in beside for root in (model.parameters(), *model.components().values())]
    roots += [reading.model.parameters() for reading in heads]
    ids |= {q.id for root in roots for _, q in root.walk() if not q.is_given}
    ids |= {q.id for root in quantities_of_laws() for _, q in root.walk() if not q.is_given or q.meaning}
    ids |= {q.id for root in quantities_of_serving() for _, q in root.walk() if not q.is_given or q.meaning}
    errata = [figure.right() for figure in FIGURES]
    ids |= {q.id for root in (*errata, complete_parameters(tied_head=False)) for _, q in root.walk() if not q.is_given}
    return ids | {q.id for q in errata} | {"rounding", *OF_SHARDED}


# Settings that add a part which a family's defaults lack
MORE_PARTS = (
    {
        "model_type": "kimi_linear",
        "mla_use_output_gate": True,
        "routed_expert_hidden_size": 1152,
        "latent_moe_use_norm": True,
        "attn_res_block_size": 12,
    },
    {"model_type": "zamba2", "use_shared_attention_adapter": True, "add_bias_linear": True},
    {
        "model_type": "gemma4_text",
        "enable_moe_block": True,
        "num_experts": 4,
        "top_k_experts": 2,
        "moe_intermediate_size": 8,
    },
    {"model_type": "nemotron_h", "moe_latent_size": 64, "use_bias": True},
    {"model_type": "blip_text_model", "encoder_hidden_size": 1024},
    {"model_type": "ernie4_5_vl_moe"},
    {"model_type": "git", "num_image_with_embedding": 6},
    {
        **{"model_type": "yuan", "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2},
        **{"num_attention_heads": 4, "vocab_size": 100},
    },
    {"model_type": "qwen3_next", "attention_bias": True},
    {"model_type": "deepseek_v4", "compress_ratios": [0, 4, 128] * 15},
    {
        "model_type": "minimax_m3_vl_text",
        "sparse_attention_config": {"sparse_attention_freq": [0, 1] * 30},
    },
    {
        "model_type": "nemotron-nas",
        "hidden_size": 64,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
        "vocab_size": 100,
        "block_configs": [
            {"attention": {"n_heads_in_group": 2}, "ffn": {"ffn_mult": 2.5}},
            {"attention": {"no_op": True}, "ffn": {"ffn_mult": 1.5}},
            {"attention": {"replace_with_linear": True}, "ffn": {"replace_with_linear": True}},
            {"attention": {"n_heads_in_group": 4}, "ffn": {"ffn_mult": 2.5}},
        ],
    },
)


@functools.cache
def models_of_families():
    """A model of every family whose class has defaults, and of those with more parts."""
    found = []
    for config in ({"model_type": model_type} for model_type in FAMILIES):
        with suppress(InputError):
            found.append(from_config(config))
    return (*found, *map(from_config, MORE_PARTS))


def quantities_of_speed(model):
    """How fast a model is served, with drafts and users who wait."""
    machine = machine_of(ACCELERATORS["H100 SXM"], "bf16")
    for load in (Load(concurrency=100, seats=10), Load(tokens_each=3, acceptance=0.5), Load(prefill_apart=True)):
        found = speed(model, machine=machine, split=Split(tensor_parallel=2), load=load)
        yield from (quantity for quantity in vars(found).values() if quantity is not None)


def quantities_of_pasted():
    """Differences of what an engine printed from what is predicted, graphs among it."""
    told = "Available KV cache memory: 1 GiB\nGPU memory utilization is (0.9, 60 GiB)\n2 GiB for weight, 30MiB / 40MiB"
    told += "\n1 GiB for peak activation, 1 GiB for non-torch memory, 0.5 GiB for CUDAGraph memory"
    start = Serving(context=64, engine_version="0.22")
    for row in beside(read_pasted(told), from_config({"model_type": "gpt2"}), start).rows:
        yield from (*filter(None, (row.predicted, row.difference)), *row.parts)


def quantities_of_laws():
    """What scaling laws and the cost of training are told by."""
    law, laws = LAWS["besiroglu_2024"], [law for law in LAWS.values() if "optimal" in law.answers]
    for found in (*(law.optimal(compute=1e21) for law in laws), law.cheapest(loss=2.5, served_tokens=1e12)):
        yield from (found.compute, found.parameters, found.tokens)
    yield law.tokens_for(parameters=1e9, loss=2.6)
    yield law.times_parameters(parameters=1e9, improvement=1)
    for model in (from_config({"model_type": "mixtral"}), from_config({"model_type": "zamba2"})):
        cost = training_cost(model, Budget(tokens=10**9, price_per_device_hour=2, recompute="full"))
        yield from (cost.token_flops, cost.flops, cost.model_flops, cost.six_nd, cost.palm, cost.carbon, cost.money)
        yield from (cost.model_flops_utilization, cost.hardware_flops_utilization, *cost.components.values())


def quantities_of_techniques(mixture, lora):
    """Everything that the page on techniques can open."""
    values = DEFAULTS | {"gradient_accumulation": 4, "optimizer": "sgd", "recompute": "full"}
    several = {"data_parallel": 2, "zero_stage": 1, "tensor_parallel": 2, "pipeline_parallel": 2}
    several |= {"context_parallel": 2, "expert_parallel": 2, "gradient_accumulation": 2}
    for changed in (values, values | lora, mixture | several | {"offload_optimizer": True}):
        config = Configuration(changed)
        yield from (config.mix.memory, config.mix.time, config.mix.result.time)
    for weight_format in ("bf16", "NF4"):
        yield stored_weights(Configuration(mixture).model, weight_format)
    for pruning in PRUNINGS[:2]:
        yield from pruned_weights(Configuration(mixture).model, "NF4", pruning, 50).values()
    yield from (config.distillation.peak, config.distillation.work, config.distillation.teacher_pass)
    yield config.distillation.moments["loss_backward"]


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_key_is_in_two_drawers(language):
    found = [key for file in (FOLDER / language).glob("*.toml") for key in tomllib.loads(file.read_text("utf-8"))]
    assert sorted(found) == sorted(set(found))


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_id_has_words(language):
    words = dictionary(language)
    wanted = {f"inputs.{i}.{part}" for i in INPUTS for part in ("label", "help")}
    wanted |= {f"components.{c}" for c in COLOURS} | {f"pages.{p}.title" for p in PAGES}
    wanted |= {f"figures.{figure.id}" for figure in FIGURES} | {f"errata.{erratum}.why" for erratum in ERRATA}
    wanted |= {f"modules.{m.removeprefix('llmcalc.').replace('.', '_')}" for m in formulas()}
    wanted |= {f"phases.{moment}" for moment in MOMENTS}
    wanted |= {f"techniques.switch_{switch}" for switch in SWITCHES}
    wanted |= {f"techniques.cost_{switch}" for switch in SWITCHES if switch != "loss"}
    wanted |= {f"techniques.cost_loss_{loss}" for loss in LOSSES if loss != "plain"}
    wanted |= {f"published.{result}" for result in PUBLISHED_RESULTS}
    code = "".join(file.read_text() for file in ROOT.glob("llmcalc/**/*.py"))
    codes = {c for c in re.findall(r"code=\"(\w+)\"", code) if f"reasons.{c}" not in words}
    wanted |= {f"problems.{c}" for c in codes}
    wanted |= {f"notices.{n}" for n in re.findall(r"(?:Notice|\.note|\.warn)\(\s*\"(\w+)\"", code)}
    wanted |= {f"model_notes.{note}" for model in MODELS if model != PASTED and (note := base(model).note)}
    wanted |= named_options(words)
    wanted |= {f"formulas.{f.id}" for found in formulas().values() for f in found}
    wanted |= {f"units.{u.replace('/', '_per_')}" for u in units() if u != "FLOP" and not re.match(r"E|B·", u)}
    wanted |= {key for key in re.findall(r"\bw\(\s*\"([\w.]+)\"", DRAWN)}
    assert wanted - set(words) == set(), f"llmcalc/words/{language} lacks these keys"
    assert all(name(quantity) for quantity in shown_quantities())


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_words_are_left_over(language):
    written, patterns = set(re.findall(r"[\"']([a-z_]+\.[\w.]+)[\"']", DRAWN)), []
    for quote in "\"'":
        for template in re.findall(rf"f{quote}([a-z_]+\.(?:[^{quote}{{]|{{[^}}{quote}]*}})*){quote}", DRAWN):
            pieces = re.split(r"({[^}]*})", template)
            patterns.append("".join(r"[\w.+-]+" if "{" in piece else re.escape(piece) for piece in pieces))
    used = re.compile("|".join(f"(?:{p})" for p in patterns))
    others = {key for key in dictionary(language).keys() - written if not key.startswith("phrases.")}
    left_over = {key for key in others if not used.fullmatch(key)}
    assert left_over == set()
    assert set(dictionary(language)) == set(dictionary("en")), "the same keys in every language"
    figures = {f"figures.{figure.id}" for figure in FIGURES} | {f"errata.{erratum}.why" for erratum in ERRATA}
    assert {key for key in dictionary(language) if key.startswith(("figures.", "errata."))} - figures == set()
    roles = {
        f"roles.{word}"
        for drawer in ("step", "serving")
        for f in ROOT.glob(f"llmcalc/{drawer}/**/*.py")
        for word in re.findall(r'"(\w+)"', f.read_text())
    }
    assert {key for key in dictionary(language) if key.startswith("roles.")} - roles == set()
    assert {key for key in dictionary(language) if key.startswith("options.")} == named_options(dictionary(language))
    pieces = {piece for id in shown_quantities() for piece in suffixes(id)}
    assert {key for key in dictionary(language) if key.startswith("quantities.")} - pieces == set()


def named_options(words) -> set[str]:
    """Every option of each input that has words for one of them."""
    named = {key.split(".")[1] for key in words if key.startswith("options.")}
    return {f"options.{input_id}.{option}" for input_id in named for option in INPUTS[input_id].options}


def suffixes(id: str) -> set[str]:
    """An id and what it can be put together from: x_block_attention_cache has attention in it."""
    words = id.removesuffix("_cache").split("_")
    return {f"quantities.{'_'.join(words[start:])}" for start in range(len(words))} | {f"quantities.{id}"}


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_language_fills_in_the_same_values(language):
    for key, text in dictionary(language).items():
        assert fields(text) == fields(dictionary("en")[key]), f"{key} in {language}"


def fields(text: str) -> set[str]:
    """What is filled in by the page, and by Plotly; not the braces of LaTeX, nor what only tells one from several."""
    pieces = [(field, spec or "") for _, field, spec, _ in string.Formatter().parse(text)]
    return {field for field, spec in pieces if field and field.isidentifier() and ("|" not in spec or "#" in spec)}
