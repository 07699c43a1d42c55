"""What fits: memory over batch and length, and the largest run that a device holds, in training or inference."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

import numpy as np

from llmcalc.accuracy import PROCESS, Standing
from llmcalc.catalog.accelerators import ACCELERATORS, Accelerator, smallest_that_holds
from llmcalc.configuration import Configuration
from llmcalc.fit.verdict import Verdict as Fit
from llmcalc.serving.served import Served
from llmcalc.sweeps import devices_for, largest, least_needed, memory_map
from llmcalc.words import w
from pages.content.pieces import as_lines
from pages.ui.document import blocks as say
from pages.ui.document.blocks import Block, badge, bold, heading, note, plain, said, said_once
from pages.ui.figures.steps import fits_map
from pages.ui.words.devices import beside_tensors, memory_cell, memory_told, printed_size
from pages.ui.words.numbers import exact, human, marked
from pages.ui.words.verdict import held_words, on_each, where

# Memories that are in use, each by one device; the reader's own is drawn too
DRAWN = ("T4", "RTX 4090", "L40S", "H100 SXM", "H200 SXM", "MI300X", "MI355X")
BATCHES, LENGTHS = (1, 512, 36), (128, 131_072, 44)  # what the map shows, in so many cells
Solved = dict[str, dict[int, int]]  # of each knob, the largest value by the memory that holds it


@said_once
def fits(config: Configuration, purpose: str) -> Iterator[Block]:
    """Whether it fits, the largest that does, the map, what its figures rest on, and every device."""
    device, positions, fit = config.accelerator, config.longest_position, config.verdict_of(purpose)
    serves, knobs = purpose == "inference", config.knobs_of(purpose)
    standing = _standing(config, purpose) if serves else config.verdict_standing
    if serves:
        yield say.Controls(knobs, 2)
        yield say.Paragraph(said(held_words(config)) + plain(" ") + badge(standing), why=standing)
        if config.requests.is_too_long:
            made_for = exact(config.serving.made_for or 0)
            yield say.Notice(said(w("fits.beyond", length=exact(config.requests.length), made_for=made_for)))
    else:
        yield say.Verdict(config)
    found = largest(config, purpose)
    yield say.Frames([*(_answer(config, purpose, knob, found) for knob in knobs), _this_run(config, purpose, fit)])
    if not found[knobs[0]][device.memory]:
        yield _what_would_do(config, purpose, fit)
    yield from fits_map_of(config, purpose, found)
    in_training = beside_tensors(device, "fits.caveat_training", "fits.caveat_training_elsewhere")
    yield note(w("fits.caveat_inference") if serves else in_training)
    yield note(memory_told(device))
    if positions:
        yield note(w("fits.learned_positions", positions=exact(positions)))
    yield say.Rests(standing)
    if any(any(sizes.values()) for sizes in found.values()):
        yield heading(w("fits.table_header"))
        yield every_device(config, purpose, found)


def _counted(config: Configuration, purpose: str, label: str) -> str:
    """The label of what is counted here: training on the device that needs most, inference on one."""
    return on_each(config, label) if purpose == "training" else label


def _labels(config: Configuration, purpose: str) -> dict[str, str]:
    (many, number), (long, length) = config.sizes_of(purpose).items()
    held = {many: length, long: number}
    return {knob: _counted(config, purpose, w(f"fits.{knob}", held=exact(other))) for knob, other in held.items()}


def _standing(config: Configuration, purpose: str) -> Standing:
    """What stands behind what is needed of a device: of training, all that the process takes."""
    return config.serving.served_standing if purpose == "inference" else PROCESS


def _answer(config: Configuration, purpose: str, knob: str, found: Solved) -> say.Frame:
    """One of the two solved numbers, and a button that sets the knob to it."""
    value = found[knob][config.accelerator.memory]
    label = said(_labels(config, purpose)[knob]) + plain(" ") + badge(_standing(config, purpose))
    if not value:
        return say.Frame(label, "–")
    told, is_done = said(w("fits.apply", value=exact(value))), value == config.sizes_of(purpose)[knob]
    return say.Frame(
        label, exact(value), offer=say.Offer(told, {knob: value}, f"apply_{knob}", w(f"fits.apply_{knob}"), is_done)
    )


def _this_run(config: Configuration, purpose: str, fit: Fit | Served) -> say.Frame:
    needed, there = fit.needed.value, where(fit.devices, config.accelerator.id)
    times = needed / fit.available.value
    share = w(
        "fits.share" if purpose == "training" else "fits.share_of_engine",
        share=marked(f"{100 * times:.3g}%"),
        where=there,
    )
    notes = [said(share if times < 2 else w("fits.times", times=human(times), where=there))]
    if purpose == "training":
        notes.append(said(w("fits.peaks_at", phase=w(f"phases.{config.on_each.peak_phase}"))))
    label = said(w("fits.this_run")) + plain(" ") + badge(_standing(config, purpose))
    return say.Frame(label, human(needed, "bytes"), notes)


def _what_would_do(config: Configuration, purpose: str, fit: Fit | Served) -> say.Notice:
    """Where not even one sequence fits: what it needs, and what has that."""
    device, length = config.accelerator, list(config.sizes_of(purpose).values())[1]
    least = least_needed(config, purpose)
    devices = chain.from_iterable(devices_for(config, purpose).values())
    enough = smallest_that_holds(least / _share(config, purpose), device.vendor, devices)
    of = "" if purpose == "training" else "_of_inference"
    told = w(
        f"fits.nothing_but{of}" if enough else f"fits.nothing{of}",
        length=exact(length),
        where=where(fit.devices, device.id),
        devices=fit.devices,
        vendor=device.vendor,
        memory=human(device.memory, "bytes"),
        available=human(fit.available.value, "bytes"),
        needed=human(least, "bytes"),
        enough=f"{enough.id} ({human(enough.memory, 'bytes')})" if enough else "",
    )
    return say.Notice(said(told), "warning")


def fits_map_of(config: Configuration, purpose: str, found: Solved) -> Iterator[Block]:
    """Memory over batch and length, with the devices' outlines; nothing where no device holds any of it."""
    device, ((many, batch), (long, length)) = config.accelerator, config.sizes_of(purpose).items()
    positions, needed = config.longest_position, config.verdict_of(purpose).needed.value
    swept, share = memory_map(config, purpose, batches=BATCHES, lengths=LENGTHS), _share(config, purpose)
    if swept.needed.min() / share > max(found[many]):
        return
    known = set(chain.from_iterable(devices_for(config, purpose).values()))
    drawn = {_sized(ACCELERATORS[id]): ACCELERATORS[id].memory for id in DRAWN if id in known}
    sizes = list(drawn.values())
    holds = [*(w("fits.holds", device=label) for label in drawn), w("fits.holds_none")]
    cell = f"fits.cell_{many}"
    cells = [
        [
            f"{w(cell, batch=exact(round(b)), length=exact(round(s)))}<br>{human(m, 'bytes')}<br>{holds[i]}"
            for s, m, i in zip(swept.whole_lengths, row, np.searchsorted(sizes, row / share), strict=True)
        ]
        for b, row in zip(swept.whole_batches, swept.needed_by_whole, strict=True)
    ]
    most, far = (found[knob][device.memory] for knob in (many, long))
    ends = {w(f"fits.at_{many}", value=exact(most)): (most, length)} if most else {}
    ends |= {w(f"fits.at_{long}", value=exact(far)): (batch, far)} if far else {}
    inside = {
        name: end
        for name, end in ends.items()
        if end != (batch, length) and end[0] <= swept.batches[-1] and swept.lengths[0] <= end[1] <= swept.lengths[-1]
    }
    title = _counted(config, purpose, w(f"fits.map_{purpose}"))
    run = w(f"fits.your_{many}", batch=exact(batch), length=exact(length), memory=human(needed, "bytes"))
    figure = fits_map(
        title,
        (swept.batches, swept.lengths, swept.needed / share),
        drawn,
        (_sized(device), device.memory),
        (run, batch, length),
        inside,
        cells,
        (w(f"axes.{many}"), w(f"axes.{long}")),
        (w("fits.positions_end", positions=exact(positions)), positions) if positions else None,
    )
    yield say.Chart(figure, "fits_map", ". ".join([title, run, *ends]), 520)


def _share(config: Configuration, purpose: str) -> float:
    """What part of a device the process may take: an engine leaves some of it."""
    return 1.0 if purpose == "training" else config.verdict_of_inference.share


def _sized(device: Accelerator) -> str:
    """A device by the memory that its maker prints, as people say it: 80 GB H100 SXM."""
    size = printed_size(device)
    return device.id if size.replace(" ", "") in device.id.replace(" ", "") else f"{size} {device.id}"


def every_device(config: Configuration, purpose: str, found: Solved) -> say.Table:
    """What is largest and longest on each device, of inference on each that the engine runs on; the reader's own in
    bold."""
    heads = [w("fits.memory"), w("fits.devices"), *_labels(config, purpose).values()]
    rows = []
    for size, names in devices_for(config, purpose).items():
        cells = (exact(found[knob][size]) if found[knob][size] else "–" for knob in config.knobs_of(purpose))
        mark = bold if size == config.accelerator.memory else plain
        rows.append([mark(cell) for cell in (memory_cell(size, names), ", ".join(names), *cells)])
    return say.Table(as_lines(heads), rows, "rwrr", key="every_device")
