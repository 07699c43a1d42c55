"""How a model is trained: recipes of libraries, what each way takes, and what to write to train so."""

from __future__ import annotations

import ast
import json
import re
from dataclasses import fields

import pytest
from laws import for_each
from opened_app import opened

from llmcalc.accuracy.reports import printed, reports
from llmcalc.bases import OF_RECIPE, recipe_values
from llmcalc.catalog.recipes import BY_OBJECTIVE, METHODS, PLAIN, RECIPES
from llmcalc.configuration import Configuration
from llmcalc.fit.take import FORMATS, WAYS
from llmcalc.inputs import DEFAULTS, INPUTS
from llmcalc.link import Link, read_link
from llmcalc.snippets import LOADED, LOSS, OPTIM, snippets
from llmcalc.step.overhead import FRAGMENTATION
from llmcalc.step.run import OF_LORA, TrainingRun
from llmcalc.units import GiB
from llmcalc.words import w
from pages.content.finetuning import other_trainings
from pages.ui.document.blocks import Folded, Table
from pages.ui.words.numbers import human

EVERY_RECIPE = for_each("recipe", RECIPES.values(), ids=lambda row: row.id)


# Recipes


@EVERY_RECIPE
def test_a_recipe_sets_what_inputs_take_and_a_link_that_names_it_means_all_of_it(recipe):
    assert recipe.method in METHODS
    assert set(recipe.sets) <= set(OF_RECIPE)
    assert recipe.sizes.keys() <= {"batch_size", "seq_len"}
    assert set(recipe.nearest) <= set(recipe.sets)
    for id, value in recipe.sets.items():
        assert INPUTS[id].read(str(value)) == value
    config = Configuration({"model": "Llama 3.2 1B", "recipe": recipe.id})
    assert not config.beside_recipe
    assert {id: config.values[id] for id in (*OF_RECIPE, *recipe.sizes)} == recipe_values(recipe.id)
    assert bool(config.run.lora_rank) == (recipe.method in ("LoRA", "QLoRA"))
    assert config.objective.is_next_token == (recipe.method in ("full", "LoRA", "QLoRA"))
    assert config.run.quantizes == (recipe.method == "QLoRA")
    assert config.run.lora_rank or not set(recipe.sets) & set(OF_LORA)


def test_libraries_defaults_as_their_sources_print_them():
    """Read in the files that the rows cite, at their commits."""
    of = {id: Configuration({"recipe": id}).run for id in RECIPES}
    # peft, LoraConfig: r = 8, lora_dropout = 0.0; get_peft_model: autocast_adapter_dtype = True
    peft = of["PEFT LoRA"]
    assert (peft.lora_rank, peft.lora_dropout, peft.lora_precision) == (8, 0.0, "fp32")
    # trl, ModelConfig: lora_r = 16, lora_dropout = 0.05; _BaseConfig: gradient_checkpointing = True, bf16 = True
    trl = of["TRL LoRA"]
    assert (trl.lora_rank, trl.lora_dropout, trl.recompute) == (16, 0.05, "full")
    # SFTTrainer: adapters on quantised weights are converted to bf16; use_bnb_nested_quant = False
    assert (of["TRL QLoRA"].lora_precision, of["TRL QLoRA"].lora_base) == ("same", "NF4")
    # unsloth, get_peft_model: r = 16, seven target modules, lora_dropout = 0.0; optim = "adamw_8bit"; double quantised
    unsloth = of["Unsloth QLoRA"]
    assert (unsloth.lora_rank, unsloth.lora_targets, unsloth.optimizer) == (16, "all", "adamw_8bit")
    assert (unsloth.lora_base, unsloth.activation_offload) == ("NF4-double", True)
    # litgpt, finetune/lora.py: lora_r = 8, lora_dropout = 0.05, query and value; no checkpointing on one device
    litgpt = of["LitGPT LoRA"]
    assert (litgpt.lora_rank, litgpt.lora_dropout, litgpt.lora_targets) == (8, 0.05, "query_value")
    assert litgpt.recompute == "none"
    # torchtune, 8B_full_single_device.yaml: PagedAdamW8bit, optimizer_in_bwd: True, bf16, checkpointing
    tune = of["torchtune full"]
    assert (tune.optimizer_in_backward, tune.precision, tune.recompute) == (True, "bf16", "full")
    # torchtitan: SelectiveAC, fp32 weights, bf16 in mixed precision
    assert (of["torchtitan full"].recompute, of["torchtitan full"].precision) == ("selective_ops", "amp_bf16")
    assert of[PLAIN] == TrainingRun()
    # trl, DPOConfig, KTOConfig, RewardConfig: max_length = 1024; beta = 0.1; TrainingArguments: 8 sequences a device
    whole = {id: Configuration({"model": "Llama 3.2 1B", "recipe": f"TRL {id}"}) for id in BY_OBJECTIVE.values()}
    for id in ("DPO", "KTO", "reward model"):
        assert (whole[id].run.batch_size, whole[id].run.seq_len, whole[id].run.recompute) == (8, 1024, "full")
    assert whole["DPO"].objective.beta == whole["KTO"].objective.beta == 0.1
    # GRPOConfig: num_generations = 8, beta = 0.0, use_vllm = False; PPOConfig: kl_coef = 0.05
    grpo = whole["GRPO"].objective
    assert (grpo.generations, grpo.beta, grpo.rollout_engine) == (8, 0.0, "same")
    assert whole["PPO"].objective.beta == 0.05


def test_a_link_with_a_recipe_takes_its_values_and_what_it_names_besides():
    link = read_link({"recipe": ["TRL QLoRA"], "lora_rank": ["64"], "dropout": ["9"]})
    assert link.values == {"recipe": "TRL QLoRA", "lora_rank": 64}
    config = Configuration(link.values)
    assert config.beside_recipe == {"lora_rank": 16}
    assert config.run.lora_base == "NF4"
    (problem,) = link.problems
    assert (problem.key, problem.used) == ("dropout", 0.0)


def test_the_reader_chooses_a_recipe_turns_a_switch_and_goes_back():
    app = opened("training", {"model": "Llama 3.2 1B"})
    app.selectbox(key="recipe_beside").set_value("TRL QLoRA").run()
    assert not app.exception
    assert {id: app.session_state[id] for id in OF_RECIPE} == recipe_values("TRL QLoRA")
    assert app.session_state["fragmentation"] == 6
    app.session_state["lora_rank"] = 64
    app.run()
    assert any("Changed since" in text.value for text in app.markdown)
    app.button(key="back_to_recipe").click().run()
    assert app.session_state["lora_rank"] == 16
    for id in ("PEFT LoRA", PLAIN):
        app.selectbox(key="recipe_beside").set_value(id).run()
    assert {id: app.session_state[id] for id in OF_RECIPE} == {id: DEFAULTS[id] for id in OF_RECIPE}
    assert app.session_state["fragmentation"] == 14


# Fragmentation


def test_fragmentation_follows_what_is_recomputed_until_it_is_set():
    assert Configuration({}).overhead.fragmentation == 14
    assert Configuration({"recompute": "full"}).overhead.fragmentation == 6
    assert Configuration({"recompute": "full", "fragmentation": 10}).overhead.fragmentation == 10
    before = Link({"recompute": "full"}, (), "3").on_page("training").values
    assert before["fragmentation"] == 14
    assert "fragmentation" not in Link({"recompute": "full"}, (), "4").on_page("training").values


def test_full_recomputation_is_as_torn_as_torchtune_prints():
    """LoRA of Llama 2 7B on one device, every layer recomputed: 14.8 to 15.9 GiB reserved, three runs."""
    rows = [r for r in reports() if r.framework == "torchtune" and r.model == "Llama 2 7B"]
    rows = [r for r in rows if r.run.get("recompute") == "full" and not r.not_offered and "reserved" in r.printed]
    torn = sorted(r.printed["reserved"] * GiB / r.predicted["allocated"] - 1 for r in rows)
    assert len(torn) == 3
    assert torn[1] == pytest.approx(FRAGMENTATION["full"] / 100, abs=0.01)
    assert all(0.04 < share < 0.09 for share in torn)


def test_advice_reckons_with_what_the_changed_run_will_have():
    """What is said to fit does once it is put to use, and needs what was said."""
    config = Configuration({"model": "Llama 3.2 1B", "precision": "bf16", "batch_size": 24, "accelerator": "RTX 4090"})
    changes = [advice for advice in config.savings() if advice.fields.get("recompute") == "full"]
    assert changes
    for advice in changes:
        after = Configuration({**config.values, "fragmentation": 6.0, **advice.fields})
        assert after.overhead.fragmentation == 6
        assert (advice.peak, advice.fits) == (after.job.peak, after.verdict.fits)
        assert config.job.changed(advice.fields).verdict.needed.value == after.verdict.needed.value
    kept = Configuration({**config.values, "fragmentation": 30.0}).job.changed({"recompute": "full"})
    assert kept.overhead.fragmentation == 30


# What it would take


def test_what_it_would_take_is_what_each_configuration_needs():
    values = {"model": "Llama 3.1 8B", "batch_size": 1, "accelerator": "RTX 4090", "recompute": "full"}
    takes = {(take.way, take.format): take for take in Configuration(values).takes}
    assert set(takes) == {
        *(("full", f) for f in ("fp32", "bf16")),
        *(("lora", f) for f in ("fp32", "bf16")),
        *(("qlora", f) for f in ("int8", "int4")),
        *(("inference", f) for f in FORMATS),
    }
    assert {way for way, _ in takes} == set(WAYS)
    for take in takes.values():
        same = Configuration({**values, **take.fields})
        verdict = same.verdict_of_inference if take.way == "inference" else same.verdict
        assert take.verdict.needed.value == verdict.needed.value
        assert take.verdict.fits == verdict.fits
    # 8.03 B weights of 4 bytes, with gradients and two states as large, do not fit 24 GB, nor of 2 bytes
    assert takes["full", "fp32"].verdict.needed.value > 4 * 4 * 8.03e9
    assert not takes["full", "bf16"].verdict.fits
    assert takes["qlora", "int4"].verdict.fits
    # of the linear layers' weights QLoRA saves 8 of 16 bits, or all but 4 and 1/8 (NF4's scales, quantised)
    linear = 32 * (2 * 4096 * 128 * (32 + 8) + 3 * 4096 * 14_336)
    held = {key: Configuration({**values, **take.fields}).step.weights.value for key, take in takes.items()}
    assert held["lora", "bf16"] - held["qlora", "int8"] == pytest.approx(linear, rel=0.01)
    assert held["lora", "bf16"] - held["qlora", "int4"] == pytest.approx(linear * (2 - 4.127 / 8), rel=0.01)
    assert held["lora", "fp32"] == pytest.approx(2 * held["lora", "bf16"], rel=0.01)


@pytest.mark.parametrize(("base", "prepared", "told"), [("NF4", False, ""), ("int8", False, "8-bit product"),
                                                        ("NF4", True, "k-bit")])  # fmt: skip
def test_where_qlora_keeps_more_than_lora_the_page_says_why(base, prepared, told):
    values = {
        "model": "Llama 3.1 8B",
        "precision": "bf16",
        "lora_rank": 16,
        "lora_base": base,
        "kbit_prepared": prepared,
    }
    lora, found = (
        Configuration({**values, "lora_base": "same", "kbit_prepared": False}),
        Configuration(values).beside_lora,
    )
    assert found.saved_of_lora == lora.step.saved_bytes
    assert (found.saved > found.saved_of_lora) == bool(told)
    link = {key: str(value).lower() if isinstance(value, bool) else str(value) for key, value in values.items()}
    said = " ".join(text.value for text in opened("training", link).markdown)
    assert ("QLoRA keeps" in said) == bool(told)
    assert told in said


def test_where_int8_needs_more_than_16_bits_the_table_says_why():
    said = w("take.int8_more")
    assert any(said in text.value for text in opened("training").main.caption)  # GPT-2, 8 × 1,024 tokens
    few = opened("training", {"batch_size": "1", "seq_len": "64"})
    assert not any(said in text.value for text in few.main.caption)


# Figures that people printed


def test_printed_figures_with_complete_settings_are_met():
    judged = sorted(abs(r.error(f)) for r, f in printed() if r.is_complete and f in ("allocated", "reserved"))
    assert len(judged) >= 14
    assert judged[len(judged) // 2] < 0.045
    assert judged[-1] < 0.15


def test_every_report_says_what_was_printed_where_and_what_is_open():
    known = {*INPUTS, *(f.name for f in fields(TrainingRun))}
    assert len({report.id for report in reports()}) == len(reports()) > 100
    for report in reports():
        assert report.printed
        assert all(0.1 < size < 200 for size in report.printed.values())
        assert set(report.open) | set(report.nearest) <= known
        assert report.source.work.url.startswith(f"https://github.com/{report.repository}/")
        assert set(report.predicted) >= set(report.printed)


# Snippets


SFT_OPTIONS = {
    *("output_dir", "per_device_train_batch_size", "gradient_accumulation_steps", "max_length", "packing"),
    *("packing_strategy", "bf16", "fp16", "gradient_checkpointing", "optim", "weight_decay", "loss_type"),
    *("use_liger_kernel", "activation_offloading"),
}
LORA_OPTIONS = {"task_type", "r", "lora_alpha", "target_modules", "lora_dropout", "modules_to_save"}
# accelerate/utils/dataclasses.py and examples/torch_native_parallelism/configs/tp_hsdp.yaml
ACCELERATE_KEYS = {
    *("distributed_type", "mixed_precision", "num_machines", "num_processes", "fsdp_config", "fsdp_version"),
    *("fsdp_auto_wrap_policy", "fsdp_reshard_after_forward", "fsdp_offload_params", "fsdp_cpu_ram_efficient_loading"),
    "fsdp_state_dict_type",
}
DEEPSPEED_KEYS = {
    *("train_batch_size", "train_micro_batch_size_per_gpu", "gradient_accumulation_steps", "bf16", "fp16"),
    "zero_optimization",
}
TORCHRUN_FLAGS = {"--standalone", "--nnodes", "--nproc-per-node", "--rdzv-id", "--rdzv-backend", "--rdzv-endpoint"}


def keywords(tree, name):
    return {k.arg for node in ast.walk(tree) if isinstance(node, ast.Call) and ast.unparse(node.func) == name
            for k in node.keywords}  # fmt: skip


@EVERY_RECIPE
@pytest.mark.parametrize("layout", [{}, {"n_devices": 16, "zero_stage": 3}, {"n_devices": 8, "zero_stage": 1}])
def test_snippets_use_options_that_there_are(recipe, layout):
    config = Configuration({"model": "Llama 3.1 8B", "recipe": recipe.id, **layout})
    found = {snippet.id: snippet for snippet in snippets(config)}
    tree = ast.parse(found["trl"].text)
    assert keywords(tree, "SFTConfig") <= SFT_OPTIONS
    assert keywords(tree, "LoraConfig") <= LORA_OPTIONS
    assert ("LoraConfig" in found["trl"].text) == bool(config.run.lora_rank)
    assert ("BitsAndBytesConfig" in found["trl"].text) == config.run.quantizes
    assert set(re.findall(r"--[\w-]+", found["torchrun"].text)) <= TORCHRUN_FLAGS
    if layout:
        keys = re.findall(r"^ *(\w+):", found["accelerate"].text, re.MULTILINE)
        assert set(keys) <= ACCELERATE_KEYS
        told = json.loads(found["deepspeed"].text)
        assert set(told) == DEEPSPEED_KEYS
        assert told["train_batch_size"] == 8 * layout["n_devices"]
        assert told["zero_optimization"]["stage"] == layout["zero_stage"]


@pytest.mark.parametrize(("id", "known"), [("precision", LOADED), ("optimizer", OPTIM), ("loss", LOSS)])
def test_what_a_script_has_no_option_for_is_said(id, known):
    for option in INPUTS[id].options:
        script = next(snippets(Configuration({id: option})))
        assert (id in script.leaves_out) == (option not in known)


@for_each("method", BY_OBJECTIVE)
def test_the_script_of_preferences_and_rewards_names_its_trainer_and_what_it_is_told(method):
    """Trainers and options as TRL's documentation has them."""
    config = Configuration({"model": "Llama 3.2 1B", "recipe": f"TRL {BY_OBJECTIVE[method]}", "lora_rank": 8})
    script = next(snippets(config))
    ast.parse(script.text)
    name = {"dpo": "DPO", "kto": "KTO", "reward": "Reward", "ppo": "PPO", "grpo": "GRPO"}[method]
    assert all(f"{name}{kind}(" in script.text for kind in ("Config", "Trainer"))
    assert not any(option in script.text for option in ("packing", "loss_type"))
    option = {"dpo": "beta=0.1", "kto": "beta=0.1", "ppo": "kl_coef=0.05", "grpo": "num_generations=8"}.get(method, "")
    assert option in script.text
    assert ("seq_len" in script.leaves_out) == (method in ("ppo", "grpo"))
    assert ("num_labels=1" in script.text) == (method in ("reward", "ppo"))


# Preferences, rewards, torch.compile


def told(config: Configuration) -> dict[str, list[str]]:
    """The table of other trainings, by its first column."""
    (trainings,) = (block for block in other_trainings(config) if isinstance(block, Folded))
    (found,) = (block for block in trainings.blocks() if isinstance(block, Table))
    rows = [["".join(span.text for span in cell) for cell in row] for row in found.rows]
    return {name: cells for name, *cells in rows}


def test_other_trainings_are_made_of_the_step_that_is_told_above():
    config = Configuration({"model": "GPT-2 124M", "loss": "plain"})
    rows, peak = told(config), human(config.step.peak.value, "bytes")
    # GRPO has no reference while its β is 0, TRL's own: it trains on what it wrote, and that is the plain step
    assert rows["GRPO"][2] == peak
    assert rows["GRPO"][3] == "–"
    # DPO reads chosen and rejected in one batch, beside a reference of 124,439,808 numbers of four bytes
    twice = Configuration({"model": "GPT-2 124M", "loss": "plain", "batch_size": 16}).step.peak.value
    assert rows["DPO"][2] == human(twice + 4 * 124_439_808, "bytes")
    adapted = told(Configuration({"model": "GPT-2 124M", "lora_rank": 8}))
    assert adapted["DPO"][3] == "–", "the reference is the policy with its adapters off"


def test_a_model_whose_own_step_is_not_simulated_has_no_such_plan():
    (trainings,) = (
        b for b in other_trainings(Configuration({"model": "BERT base (encoder)"})) if isinstance(b, Folded)
    )
    assert not any(isinstance(block, Table) for block in trainings.blocks())
