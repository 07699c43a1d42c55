"""What fits: memory over batch and length, and the largest run that a device holds, in training or inference."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import streamlit as st

from pages.ui.app.shell import inside_app
from llmcalc.accuracy import PROCESS
from llmcalc.catalog.accelerators import ACCELERATORS, Accelerator, devices_by_memory
from llmcalc.inputs import PURPOSES
from llmcalc.words import w
from pages.ui.app.sections import set_inputs
from pages.ui.app.show import headline_row, model_header, standing_note
from pages.ui.app.state import configuration, show
from pages.ui.app.verdict import draw_verdict, verdict_place
from pages.ui.chart.component import chart
from pages.ui.figures.steps import fits_map
from pages.ui.words.devices import memory_cell, memory_told, printed_size
from pages.ui.words.numbers import exact, human, marked
from pages.ui.words.standing import badge, why
from pages.ui.words.titles import title_of
from pages.ui.words.verdict import on_each, said, where

# Memories that are in use, each by one device; the reader's own is drawn too
DRAWN = ("T4", "RTX 4090", "L40S", "H100 SXM", "H200 SXM", "MI300X", "MI355X")
CELLS = (36, 44)
MOST_BATCH, SHORTEST, LONGEST = 512, 128, 131_072  # what the map shows, and further where the reader's run is

inside_app()
config = configuration()
batch, length, purpose = (config.values[key] for key in ("batch_size", "seq_len", "purpose"))
device, positions = config.accelerator, config.longest_position


def sized(device: Accelerator) -> str:
    """A device by the memory that its maker prints, as people say it: 80 GB H100 SXM."""
    return f"{printed_size(device)} {device.id}"


def counted(label: str) -> str:
    """The label of what is counted here: training on the device that needs most, inference on one."""
    return on_each(config, label) if purpose == "training" else label


def smallest_that_holds(needed: float) -> Accelerator | None:
    """The device with the least memory that is enough, of the same maker: another's software takes another context."""
    enough = (a for a in ACCELERATORS.values() if a.vendor == device.vendor and a.memory >= needed)
    return min(enough, key=lambda a: a.memory, default=None)


def solved(knob: str, memories: Iterable[int]) -> dict[int, int]:
    """The largest value of ``batch_size`` or ``seq_len`` that fits each memory, the other as it is."""
    sizes = list(memories)
    found = config.largest_that_fits(purpose, knob, np.array(sizes))
    return dict(zip(sizes, found.tolist(), strict=True))


def answer(knob: str, value: int, held: str) -> None:
    """One of the two solved numbers, and a button that sets the knob to it."""
    with st.container(border=True, height="stretch"):
        label = f"{counted(w(f'fits.{knob}', held=held))} {badge(PROCESS)}"
        st.metric(label, exact(value) if value else "–")
        if value:
            st.button(
                w("fits.apply", value=exact(value)), key=f"apply_{knob}", disabled=value == config.values[knob],
                on_click=set_inputs, args=({knob: value},), help=w(f"fits.apply_{knob}"),
            )  # fmt: skip


def choose_purpose() -> None:
    """Training or inference: moves the input in the sidebar."""
    set_inputs({"purpose": st.session_state["purpose_here"]})


verdict = config.verdict_of(purpose)
there = where(verdict.devices, device.id)
model_header(w("fits.header", name=title_of(config), where=there), config.base)
show("purpose_here", purpose)
st.segmented_control(
    w("inputs.purpose.label"), PURPOSES, key="purpose_here", format_func=lambda option: w(f"fits.{option}"),
    label_visibility="collapsed", required=True, on_change=choose_purpose,
)  # fmt: skip

standing = config.inference_standing if purpose == "inference" else config.verdict_standing
groups = devices_by_memory()
largest, longest = solved("batch_size", groups), solved("seq_len", groups)
needed = verdict.needed.value
draw_verdict(config, verdict_place())
if purpose == "inference":
    st.markdown(f"{said(verdict, w('verdict.inference'))} {badge(standing)}", help=why(standing))
with headline_row():
    answer("batch_size", largest[device.memory], exact(length))
    answer("seq_len", longest[device.memory], exact(batch))
    with st.container(border=True, height="stretch"):
        st.metric(f"{w('fits.this_run')} {badge(PROCESS)}", human(needed, "bytes"))
        times = needed / device.memory
        share = w("fits.share", share=marked(f"{100 * times:.3g}%"), where=there)
        st.caption(share if times < 2 else w("fits.times", times=human(times), where=there))
        if purpose == "training":
            st.caption(w("fits.peaks_at", phase=w(f"phases.{config.on_each.peak_phase}")))

if not largest[device.memory]:
    least = float(config.needed_for(purpose, np.array([1.0]), np.array([float(length)]))[0])
    enough = smallest_that_holds(least)
    st.warning(
        w(
            "fits.nothing_but" if enough else "fits.nothing",
            length=exact(length),
            where=there,
            devices=verdict.devices,
            vendor=device.vendor,
            memory=human(device.memory, "bytes"),
            needed=human(least, "bytes"),
            enough=f"{enough.id} ({human(enough.memory, 'bytes')})" if enough else "",
        )
    )


def draw_map() -> None:
    """Memory over batch and length, with the devices' outlines; nothing where no device holds any of it."""
    batches = np.geomspace(1, max(MOST_BATCH, batch), CELLS[0])
    lengths = np.geomspace(min(SHORTEST, length), max(LONGEST, length), CELLS[1])
    whole = batches.round(), lengths.round()  # drawn smoothly, told of whole sequences and tokens
    both = np.stack([batches, whole[0]])[:, :, None], np.stack([lengths, whole[1]])[:, None, :]
    memory, told = config.needed_for(purpose, *both)
    if memory.min() > max(groups):
        return
    drawn = {sized(ACCELERATORS[id]): ACCELERATORS[id].memory for id in DRAWN}
    sizes = list(drawn.values())
    holds = [*(w("fits.holds", device=label) for label in drawn), w("fits.holds_none")]
    cells = [
        [
            f"{w('fits.cell', batch=exact(round(b)), length=exact(round(s)))}<br>{human(m, 'bytes')}<br>{holds[i]}"
            for s, m, i in zip(whole[1], row, np.searchsorted(sizes, row), strict=True)
        ]
        for b, row in zip(whole[0], told, strict=True)
    ]
    most, far = largest[device.memory], longest[device.memory]
    ends = {w("fits.at_batch", value=exact(most)): (most, length)} if most else {}
    ends |= {w("fits.at_length", value=exact(far)): (batch, far)} if far else {}
    inside = {
        name: end
        for name, end in ends.items()
        if end != (batch, length) and end[0] <= batches[-1] and lengths[0] <= end[1] <= lengths[-1]
    }
    title = counted(w(f"fits.map_{purpose}"))
    run = w("fits.your_run", batch=exact(batch), length=exact(length), memory=human(needed, "bytes"))
    figure = fits_map(
        title,
        (batches, lengths, memory),
        drawn,
        (sized(device), device.memory),
        (run, batch, length),
        inside,
        cells,
        (w("axes.batch_size"), w("axes.seq_len")),
        (w("fits.positions_end", positions=exact(positions)), positions) if positions else None,
    )
    chart(figure, key="fits_map", alt=". ".join([title, run, *ends]), height=520)


def every_device() -> None:
    """What is largest and longest on each device; nothing where none holds even one sequence."""
    solved_heads = (counted(w("fits.batch_size", held=exact(length))), counted(w("fits.seq_len", held=exact(batch))))
    lines = [
        "| " + " | ".join((w("fits.memory"), w("fits.devices"), *solved_heads)) + " |",
        "|--:|:--|--:|--:|",
    ]
    for size, names in groups.items():
        solved_here = (exact(n) if n else "–" for n in (largest[size], longest[size]))
        cells = [memory_cell(size, names), ", ".join(names), *solved_here]
        mark = "**" if size == device.memory else ""
        lines.append("| " + " | ".join(f"{mark}{cell}{mark}" for cell in cells) + " |")
    st.subheader(w("fits.table_header"), anchor=False)
    with st.container(key="every_device"):
        st.markdown("\n".join(lines))


draw_map()
st.caption(w(f"fits.caveat_{purpose}"))
st.caption(memory_told(device))
if positions:
    st.caption(w("fits.learned_positions", positions=exact(positions)))
standing_note(standing)
if any(largest.values()) or any(longest.values()):
    every_device()
