"""Training memory: one step as it goes by, what its peak is made of, and what would make it fit."""

import streamlit as st

from pages.ui.app.shell import inside_app
from llmcalc.accuracy import PROCESS
from llmcalc.article import ArticleStep, training_rule_of_thumb
from llmcalc.fit.advice import Advice
from llmcalc.inference import model_memory
from llmcalc.step.course import Course
from llmcalc.words import w
from llmcalc.words.names import name
from pages.ui.app.sections import after_charts, set_inputs
from pages.ui.app.show import headlines, model_header, standing_note, working
from pages.ui.app.state import configuration
from pages.ui.app.verdict import draw_counted, draw_verdict, verdict_place
from pages.ui.chart.component import chart
from pages.ui.figures.accounts import told_together
from pages.ui.figures.memory import memory_bars
from pages.ui.figures.palette import COLOURS, by_component
from pages.ui.figures.timeline import timeline_figure
from pages.ui.words.numbers import exact, human, marked
from pages.ui.words.verdict import as_counted, as_on_one, for_tensors, on_each, where
from pages.ui.words.working import term_table

inside_app()
config = configuration()
training, step = config.training, config.step
device, verdict = for_tensors(config), config.verdict
names = {component: w(f"components.{component}") for component in COLOURS}


def advice_button(advice: Advice, key: str) -> None:
    """A button that makes the changes, with what they save and lead to."""
    label = w(
        "advice.button",
        changes=" + ".join(w(f"advice.{change.id}") for change in advice.changes),
        saved=human(advice.saved, "bytes"),
        peak=human(advice.peak, "bytes"),
    )
    cost = [w(f"advice.cost_{advice.cost}")]
    cost += [w("techniques.cost_loss_fused")] if advice.fields.get("loss") == "fused" else []
    st.button(label, key=key, on_click=set_inputs, args=(advice.fields,), help=" ".join(cost))


def through_the_step() -> None:
    """The timeline, or the article's few moments."""
    title = w("training.chart")
    if not isinstance(training, ArticleStep):
        figure = timeline_figure(w("timeline.title"), training.profile, names, device)
        alt = w(
            "timeline.alt",
            peak=human(training.peak.value, "bytes"),
            phase=w(f"phases.{training.peak_phase}"),
            parts=", ".join(f"{name(q.id)} {human(q.value, 'bytes')}" for q in training.peak.parts),
        )
        chart(figure, key="timeline", alt=alt, height=400)
        return
    rows = {w(f"phases.{moment}"): by_component(q.parts) for moment, q in training.moments.items()}
    totals = ", ".join(f"{row} {human(sum(parts.values()), 'bytes')}" for row, parts in rows.items())
    figure = memory_bars(title, rows, names, device, w("axes.memory"))
    chart(figure, key="memory_by_phase", alt=f"{title}: {totals}", height=320)


def what_would_fit() -> None:
    """The smallest changes after which it fits, where it does not; and all that would save memory."""
    st.subheader(on_each(config, w("advice.header")), anchor=False)
    if full := config.peak_of_full_training:
        st.markdown(w("advice.lora_needs_more", lora=verdict.allocated.value, full=full))
    if verdict.fits:
        st.markdown(w("advice.fits"))
    else:
        found = config.advice()
        where_ = where(verdict.devices, verdict.device.id)
        st.markdown(w("advice.smallest" if found else "advice.none", where=where_))
        for place, advice in enumerate(found):
            advice_button(advice, f"advice_{place}")
    with st.expander(w("advice.all"), key="savings", on_change="rerun") as opened:
        if opened.open:
            for place, advice in enumerate(config.savings()):
                advice_button(advice, f"saving_{place}")


def terms(account: Course | ArticleStep) -> None:
    """The terms of one moment, that of the peak until the reader chooses another, with their working."""
    moments = list(account.moments)
    key = f"moment_{'article' if isinstance(account, ArticleStep) else 'step'}"
    chosen = st.session_state.get(f"{key}_chosen")
    st.session_state[key] = chosen if chosen in moments else account.peak_phase
    st.pills(
        w("training.moment"), moments, format_func=lambda m: w(f"phases.{m}"), key=key,
        on_change=lambda: st.session_state.update({f"{key}_chosen": st.session_state[key]}),
    )  # fmt: skip
    at = account.moments[st.session_state[key]]
    st.markdown(term_table([q for q in at.parts if q.value], at))
    with st.expander(w("training.terms_working"), key="peak_working", on_change="rerun") as opened:
        if opened.open:
            for part in at.parts:
                working(part)


def beside_the_tensors() -> None:
    """Allocated, reserved, and what the device shows."""
    st.subheader(on_each(config, w("overhead.header")), anchor=False)
    st.markdown(w("overhead.text"))
    lines = [f"| {w('working.term')} | {w('working.amount')} |", "|:--|--:|"]
    told = {"allocated": verdict.allocated, "reserved": verdict.reserved, "process": verdict.needed}
    for label, quantity in told.items():
        lines.append(f"| {w(f'overhead.{label}')} | {human(quantity.value, 'bytes')} |")
    st.markdown("\n".join(lines))
    with st.expander(w("working.open"), key="overhead_working", on_change="rerun") as opened:
        if opened.open:
            working(verdict.needed)


def beside_the_article() -> None:
    """The article's account and ours at the same moment, term by term, with what makes the difference."""
    st.subheader(as_on_one(config, w("training.article_header")), anchor=False)
    st.markdown(w("training.article_text"))
    ours_here = as_on_one(config, w("accounts.corrected"))
    heads = (w("working.term"), w("explore.article"), ours_here, w("training.ratio"))
    lines, reasons = [f"| {' | '.join(heads)} |", "|:--|--:|--:|--:|"], []
    moment = "loss_backward"
    theirs, ours = told_together(config.article.moments[moment]), told_together(step.moments[moment])
    for group in ours:
        if theirs[group] or ours[group]:
            lines.append(_compared(w(f"together.{group}"), theirs[group], ours[group]))
            reasons.append(f"- **{w(f'together.{group}')}**: {w(f'together.{group}_why')}")
    lines.append(_compared(f"**{w(f'phases.{moment}')}**", sum(theirs.values()), sum(ours.values())))
    rule = training_rule_of_thumb(model_bytes=model_memory(parameters=config.model.parameters(), bits_per_weight=32))
    lines.append(_compared(name(rule.id), rule.value, step.peak.value))
    reasons.append(f"- **{name(rule.id)}**: {w('together.rule_why')}")
    st.markdown("\n".join(lines))
    st.markdown("\n".join(reasons))


def _compared(label: str, theirs: float, ours: float) -> str:
    ratio = marked(f"{theirs / ours:.2f}") if ours else "–"
    return f"| {label} | {human(theirs, 'bytes')} | {human(ours, 'bytes')} | {ratio} |"


model_header(w("training.header"), config.base)
said = st.container()
with said:
    place_of_verdict = verdict_place()
headlines(
    lambda: [
        (as_counted(config, w("training.steady_state")), training.steady_state, config.standing),
        (as_counted(config, w("training.saved_activations")), training.saved_activations, config.standing),
        (as_counted(config, w("training.peak")), training.peak, config.standing),
        (on_each(config, w("overhead.process")), verdict.needed, PROCESS),
    ]
)
through_the_step()


def in_words() -> None:
    """The verdict, the step in a sentence, and how far off such steps were where they were measured."""
    draw_verdict(config, place_of_verdict)
    draw_counted(config)
    st.markdown(
        w(
            "training.sentence",
            batch=exact(config.values["batch_size"]),
            length=exact(config.values["seq_len"]),
            steady=human(training.steady_state.value, "bytes"),
            peak=human(training.peak.value, "bytes"),
            phase=w(f"phases.{training.peak_phase}"),
            account=w(f"counted.{config.values['account']}"),
        )
    )
    standing_note(config.standing)


def below_the_chart() -> None:
    """All that is to be read."""
    what_would_fit()
    st.subheader(as_counted(config, w("training.terms")), anchor=False)
    terms(training)
    beside_the_tensors()
    beside_the_article()


after_charts(said, in_words)
after_charts(st.container(), below_the_chart)
