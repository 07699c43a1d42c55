"""How it is trained: the recipe that the reader started from, and what other ways would take."""

from __future__ import annotations

from collections.abc import Iterator

from llmcalc.accuracy import PLANS
from llmcalc.bases import recipe_values
from llmcalc.configuration import Configuration
from llmcalc.errors import InputError
from llmcalc.fit.alignment import Alignment
from llmcalc.fit.take import FORMATS, INFERENCE, WAYS, Take, int8_needs_more
from llmcalc.inputs import DEFAULTS
from llmcalc.snippets import snippets
from llmcalc.sources import Citation
from llmcalc.techniques.compiled import PAIRS, compiled_peak
from llmcalc.words import label_of, value_of, w
from pages.content.pieces import table
from pages.ui.document import blocks as say
from pages.ui.document.blocks import Block, badge, heading, linked, note, paragraph, plain, said, said_once
from pages.ui.words.numbers import exact, human
from pages.ui.words.verdict import as_on_one, on_each, where

NAMES = {"reward": "reward_model"}  # of trainings that are called like a model beside one


@said_once
def recipe(config: Configuration) -> Iterator[Block]:
    """The choice of a recipe, what it sets, where that was read, and what was changed since."""
    chosen, changed = config.recipe, config.beside_recipe
    yield heading(w("recipe.header"))
    yield say.Controls(["recipe"])
    sets = _told({id: value for id, value in recipe_values(chosen.id).items() if value != DEFAULTS[id]})
    yield paragraph(w("recipe.sets", recipe=chosen.id, sets=sets) if sets else w("recipe.plain", recipe=chosen.id))
    if chosen.nearest:
        yield note(w("recipe.nearest", library=chosen.library, inputs=", ".join(map(label_of, chosen.nearest))))
    stays = w("recipe.stays_but_sizes" if chosen.sizes else "recipe.stays")
    yield say.Paragraph(said(stays) + plain(" ") + _read_in(chosen.source), is_note=True)
    if changed:
        yield paragraph(w("recipe.changed", changes=_told({id: config.values[id] for id in changed})))
        yield say.Offer(said(w("recipe.back", recipe=chosen.id)), changed, "back_to_recipe")


def _read_in(source: Citation) -> say.Line:
    """The version of the library, and the file of it."""
    return plain(f"{w('working.source')}: {source.work.title}, ") + linked(source.place, source.work.url)


def _told(values: dict[str, object]) -> str:
    return "; ".join(f"{label_of(id)}: {value_of(id, value)}" for id, value in values.items())


@said_once
def what_it_takes(config: Configuration) -> Iterator[Block]:
    """The model trained whole, with LoRA and with QLoRA, and served, in each format of its weights."""
    values, device = config.values, config.accelerator.id
    yield heading(on_each(config, w("take.header")))
    there = where(config.layout.devices, device)
    sizes = {"batch": exact(values["batch_size"]), "length": exact(values["seq_len"])}
    yield paragraph(w("take.text", where=there, **sizes))
    cells = {(take.way, take.format): take for take in config.takes}
    rank = exact(next(take.fields["lora_rank"] for take in config.takes if take.fields.get("lora_rank")))
    rows: list[list[str | say.Line]] = []
    served, requests = config.verdict_of_inference, config.requests
    engine = value_of("engine", served.job.engine)
    for way in WAYS:
        name = w(f"take.{way}", rank=rank, engine=engine)
        found = (_cell(cells.get((way, format))) for format in FORMATS)
        if way == INFERENCE:
            name = w("verdict.label", label=name, scope=where(served.devices, device))
        rows.append([name, *found])
    yield table([w("take.way"), *FORMATS], rows, key="takes")
    yield note(w("take.note", requests=requests.number, length=requests.length))
    if int8_needs_more(config.takes):
        yield note(f"{w('take.int8_more')} {w('take.since_int8')}")
    yield from beside_lora(config)


def _cell(take: Take | None) -> say.Line:
    if take is None or take.verdict is None:
        return plain("–")
    verdict = take.verdict
    return plain(f"{human(verdict.needed.value, 'bytes')}{'' if verdict.fits else ' ✗'}")


def beside_lora(config: Configuration) -> Iterator[Block]:
    """Why a step with quantised weights keeps more, or peaks higher, than one without, where it does."""
    found = config.beside_lora
    if found is None or (found.saved <= found.saved_of_lora and found.peak <= found.peak_of_lora):
        return
    told = [
        w("take.keeps_more", saved=found.saved, lora=found.saved_of_lora),
        w("take.peaks_higher" if found.peak > found.peak_of_lora else "take.peaks_lower", peak=found.peak,
          lora=found.peak_of_lora),
    ]  # fmt: skip
    told += [w("take.since_prepared")] if found.is_prepared else []
    told += [w("take.since_int8")] if found.base == "int8" else []
    yield paragraph(" ".join(told))


@said_once
def other_trainings(config: Configuration) -> Iterator[Block]:
    """The step as preferences or rewards would have it, and as torch.compile would; estimates, once asked for."""
    yield heading(as_on_one(config, w("aligned.header")))
    yield say.Folded(said(w("aligned.open")), "aligned", lambda: _other_trainings(config))


def _other_trainings(config: Configuration) -> Iterator[Block]:
    yield say.Paragraph(said(w("aligned.text")) + plain(" ") + badge(PLANS))
    try:
        rows = [_aligned(plan) for plan in config.other_objectives]
    except InputError:  # its own code was not read: an encoder with a pooler, say
        yield note(w("aligned.none"))
    else:
        heads = [w(f"aligned.{head}") for head in ("way", "rollout", "scores", "train", "beside")]
        yield table(heads, rows, "lrrrw", "aligned")
        yield note(w("aligned.shared" if config.run.lora_rank else "aligned.apart"))
    compiled = compiled_peak(config.step)
    ends = {name: human(getattr(compiled, name).value, "bytes") for name in ("expected", "least", "most")}
    yield say.Paragraph(said(w("aligned.compiled", pairs=len(PAIRS), **ends)) + plain(" ") + badge(PLANS))


def _aligned(plan: Alignment) -> list[str | say.Line]:
    """What its phases hold at most, and which models are there beside the policy."""
    held = ", ".join(w(f"aligned.{part}") for part in plan.held) or "–"
    phases = (plan.phases.get(phase) for phase in ("rollout", "scores", "train"))
    cells = (human(phase.value, "bytes") if phase else "–" for phase in phases)
    name = w(f"aligned.{NAMES.get(plan.method, plan.method)}")
    return [linked(name, plan.how.source.work.url), *cells, plain(held)]


@said_once
def to_run_it(config: Configuration) -> Iterator[Block]:
    """What to write to train so, each with what it has no option for."""
    yield heading(w("snippets.header"))
    yield paragraph(w("snippets.text"))
    yield say.Folded(said(w("snippets.open")), "snippets", lambda: _snippets(config))


def _snippets(config: Configuration) -> Iterator[Block]:
    for snippet in snippets(config):
        yield say.Paragraph(said(w(f"snippets.{snippet.id}")))
        yield say.Code(snippet.text, snippet.language)
        if snippet.leaves_out:
            yield note(w("snippets.leaves_out", inputs=", ".join(map(label_of, snippet.leaves_out))))
        yield say.Paragraph(_read_in(snippet.source), is_note=True)
