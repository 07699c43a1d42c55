"""What is drawn in parts is the same as if the whole app were drawn, and no more is drawn than has changed."""

from __future__ import annotations

import re
from typing import Any

import pytest
from laws import some_of
from opened_app import opened
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from streamlit.runtime.scriptrunner_utils.script_requests import RerunData
from streamlit.testing.v1 import AppTest, local_script_runner
from streamlit.testing.v1.local_script_runner import LocalScriptRunner

from pages.ui.app.shell import PAGES
from llmcalc.inputs import DEFAULTS, INPUTS, in_group
from llmcalc.kinds import Choice, Input, Integer, Real, Switch
from pages.ui.app import sections
from pages.ui.app.controls import GROUPS, GROUPS_READ, OPEN_GROUP, main_knobs

KNOBS = [declared.id for group in ("shape", "size") for declared in in_group(group)]
OTHERS = [id for id in INPUTS if id not in (*KNOBS, "config", "compare", "chapter", "towers")]
ELSEWHERE = {"model": "Llama 3 8B", "student": "TinyLlama 1.1B", "accelerator": "A100 80GB SXM"}
WHOLE = {"lang", "model", "present"}  # what everything depends on
OF_MODELS = dict.fromkeys(("n_experts", "top_k", "d_expert"), "DeepSeek-V3 671B") | {
    "n_decoder_layers": "T5 small",
    "mtp": "DeepSeek-V3.1 671B",
}
Screen = dict[tuple[int, ...], tuple[str, bytes]]


class Browser:
    """What a browser does that AppTest does not: it says which fragment a control is in, and keeps on the screen what
    a run of some fragments did not draw, unless it was part of these."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch):
        """Watch the runs of AppTest."""
        self.screen: Screen = {}
        self.ran: list[str] | None = None
        self.fragment: str | None = None
        self.runner: LocalScriptRunner | None = None
        run, parse = LocalScriptRunner.run, local_script_runner.parse_tree_from_messages

        def watched(runner: LocalScriptRunner, *arguments: Any, **named: Any) -> Any:
            if self.fragment and self.runner:  # AppTest forgets the pages that the last run of the whole app named
                runner._pages_manager._pages = self.runner._pages_manager.get_pages()
            self.runner = runner
            return run(runner, *arguments, **named)

        def taken(sent: list[ForwardMsg]) -> Any:
            self.take(sent)
            return parse(sent)

        def request(**data: Any) -> RerunData:
            return RerunData(**data, fragment_id=self.fragment)

        monkeypatch.setattr(LocalScriptRunner, "run", watched)
        monkeypatch.setattr(local_script_runner, "parse_tree_from_messages", taken)
        monkeypatch.setattr(local_script_runner, "RerunData", request)

    def take(self, sent: list[ForwardMsg]) -> None:
        """Show what a run sent."""
        starts = [data for data in self.runner.event_data if "fragment_ids_this_run" in data]
        ids = starts[-1]["fragment_ids_this_run"]
        storage = self.runner._fragment_storage
        keys = {id: key for key, found in storage._ids_by_target_key.items() for id in found}
        self.ran = ids and [keys[id] for id in ids]
        self.screen = {path: shown for path, shown in self.screen.items() if ids and shown[0] not in ids}
        for message in sent:
            if message.HasField("delta"):
                path, delta = tuple(message.metadata.delta_path), message.delta
                self.screen[path] = (delta.fragment_id, _as_seen(delta))

    def shown(self) -> dict[tuple[int, ...], bytes]:
        """All elements but those in the popover that is never opened."""
        popover = re.compile(rb"(?<!st-key-)unseen_controls")  # not where the style sheet hides it
        (unseen,) = (path for path, (_, element) in self.screen.items() if popover.search(element))
        return {path: e for path, (_, e) in self.screen.items() if path[: len(unseen)] != unseen}

    def use(self, app: AppTest, control: Any, value: object = None) -> None:
        """Turn a control, or press it."""
        metadata = app.session_state._state._state._new_widget_state.widget_metadata
        self.fragment = metadata[control.proto.id].fragment_id
        typed = str(value) if control.type == "text_input" else value
        (control.click() if value is None else control.set_value(typed)).run()
        self.fragment = None
        assert not app.exception, [e.value for e in app.exception]


def _as_seen(delta) -> bytes:
    """An element without its value, and whether the browser is told that again: it is in the session."""
    seen = type(delta)()
    seen.CopyFrom(delta)
    if (kind := seen.new_element.WhichOneof("type")) and seen.HasField("new_element"):
        seen.new_element.ClearField("has_one_shot_effect")
        element = getattr(seen.new_element, kind)
        for name in ("set_value", "value", "raw_values", "raw_value", "url", "deferred_file_id"):
            if name in element.DESCRIPTOR.fields_by_name:
                element.ClearField(name)
    return seen.SerializeToString(deterministic=True)


@pytest.fixture
def screen(monkeypatch) -> Browser:
    """The runs of this test draw what they draw in a browser."""
    monkeypatch.undo()
    monkeypatch.setattr(sections, "HEAD_START", 0)
    return Browser(monkeypatch)


def other_value(declared: Input) -> object:
    """A value that an input does not have at first."""
    if declared.id in ELSEWHERE:
        return ELSEWHERE[declared.id]
    return next(value for value in declared.ends if value != DEFAULTS[declared.id])


def control_of(app: AppTest, declared: Input) -> Any:
    """The control of an input that a reader sees."""
    match declared:
        case Integer() | Real(default=None):
            seen = {field.key: field for field in app.text_input}
            return seen.get(f"{declared.id}_typed") or app.number_input(key=declared.id)
        case Real():
            sliders = {slider.key: slider for slider in app.select_slider}
            return sliders.get(f"{declared.id}_slider") or app.slider(key=declared.id)
        case Switch():
            return app.toggle(key=declared.id)
        case Choice():
            seen = {group.key: group for group in app.segmented_control}
            return seen.get(f"{declared.id}_seen") or seen.get(declared.id) or app.selectbox(key=declared.id)


def is_drawn(app: AppTest, declared: Input) -> bool:
    """Whether the last run drew an input's control."""
    try:
        return bool(control_of(app, declared))
    except KeyError:
        return False


def the_same_when_all_is_drawn(app: AppTest, screen: Browser) -> None:
    """A run of the whole app shows what is there already."""
    shown = screen.shown()
    app.run()
    assert not app.exception, [e.value for e in app.exception]
    assert screen.ran is None
    assert shown == screen.shown()


@pytest.mark.parametrize("page", some_of(PAGES, 5))
def test_a_main_knob_draws_what_is_live_and_knobs_that_it_changes_and_nothing_else_has_changed(page, screen):
    app = opened(page)
    moving = [id for id in KNOBS if id in main_knobs(page, DEFAULTS)]
    for id in moving[PAGES.index(page) % 2 :: 2]:  # each of them on every other page
        if not is_drawn(app, INPUTS[id]):  # by the last run, which drew other sections
            app.run()
        screen.use(app, control_of(app, INPUTS[id]), DEFAULTS[id] * 2)
        first, *others, last = screen.ran
        assert (first, last) == (sections.LIVE, sections.SEEN), id
        assert f"knob_{id}" in others
        of_others = {key for key in others if not key.startswith("knob_")}
        assert page in OPEN_GROUP or of_others <= {"question", "changes"}, id
    the_same_when_all_is_drawn(app, screen)  # what one knob left as it was none of the others has drawn


def where(id: str) -> tuple[str, str, str]:
    """The page and the model with which an input's group is on the screen, and that group."""
    group = next((name for name, parts in GROUPS.items() if INPUTS[id].group in parts), INPUTS[id].group)
    page = next((page for page, open_group in OPEN_GROUP.items() if open_group == group), "explore")
    return page, OF_MODELS.get(id, DEFAULTS["model"]), group


TOGETHER = {place: [id for id in OTHERS if id not in WHOLE and where(id) == place] for place in map(where, OTHERS)}


@pytest.mark.parametrize("id", [id for id in OTHERS if id in WHOLE])
def test_what_everything_depends_on_draws_everything(id, screen):
    app = opened("explore")
    screen.use(app, control_of(app, INPUTS[id]), other_value(INPUTS[id]))
    assert app.session_state[id] == other_value(INPUTS[id])
    assert screen.ran is None
    the_same_when_all_is_drawn(app, screen)


@pytest.mark.parametrize("place", some_of([(place,) for place in TOGETHER if TOGETHER[place]], 2), ids=" ".join)
@pytest.mark.parametrize(("seen", "each"), [pytest.param(False, True, marks=pytest.mark.slow), (True, False)])
def test_any_other_input_draws_the_page_and_what_shows_it_and_nothing_else_has_changed(place, seen, each, screen):
    """Compared after each input, or after all, since what one left as it was few of the others have drawn."""
    page, model, group = place
    app = opened(page if seen else "explore", {"model": model})
    if seen and group in GROUPS_READ[page]:
        app.session_state[f"group_on_{page}"] = group
        app.run()
    for id in TOGETHER[place]:
        declared = INPUTS[id]
        if not is_drawn(app, declared):  # by the last run, which drew other sections
            app.run()
        before, other = app.session_state[id], other_value(declared)
        screen.use(app, control_of(app, declared), other)
        assert app.session_state[id] == other, id
        assert screen.ran[0] == sections.LIVE, id
        if each or id == TOGETHER[place][-1]:
            the_same_when_all_is_drawn(app, screen)
        app.session_state[id] = before


@pytest.mark.parametrize(
    ("page", "link", "key"),
    [
        ("training", {"model": "Llama 3 8B", "precision": "bf16", "accelerator": "A100 80GB SXM"}, "advice_0"),
        ("fits", {}, "apply_batch_size"),
        ("cluster", {"model": "Llama 3 8B"}, "apply_plan"),
        ("compare", {}, "pin"),
        ("compare", {"compare": "Llama 3 8B|Mixtral 8x7B"}, "load_1"),
        ("compare", {"compare": "Llama 3 8B|Mixtral 8x7B"}, "unpin_0"),
        ("article", {}, "use_example"),
        ("learn", {"chapter": "4"}, "task_begin"),
        ("learn", {"chapter": "4"}, "chapter_next"),
        ("techniques", {"lora_rank": "8"}, "all_plain"),
        ("explore", {"n_heads": "10"}, "use_n_heads_12"),
        ("explore", {"present": "true"}, "leave"),
        ("explore", {"present": "true"}, "next"),
    ],
)
def test_a_button_draws_what_it_changes(page, link, key, screen):
    app = opened(page, link)
    screen.use(app, app.button(key=key))
    the_same_when_all_is_drawn(app, screen)


def test_controls_beside_a_chart_move_the_inputs(screen):
    app = opened("techniques")
    screen.use(app, app.segmented_control(key="technique_beside"), "cache")
    assert app.session_state["technique"] == "cache"
    assert screen.ran == [sections.LIVE, "techniques", sections.SEEN]
    the_same_when_all_is_drawn(app, screen)


def test_settings_are_drawn_where_their_group_is_chosen(screen):
    app = opened("explore", {"n_kv_heads": "5"})
    screen.use(app, app.pills(key="group_on_explore"), "training")
    assert screen.ran == ["more", "training"]
    the_same_when_all_is_drawn(app, screen)
    assert app.session_state["n_kv_heads"] == 5
    screen.use(app, app.select_slider(key="dropout_slider"), 0.1)
    assert screen.ran == [sections.LIVE, "more", sections.SEEN]
    the_same_when_all_is_drawn(app, screen)
    screen.use(app, app.pills(key="group_on_explore"), "shape")
    assert screen.ran == ["out_of_sight", "more", "shape", "training"]
    the_same_when_all_is_drawn(app, screen)


@pytest.mark.parametrize(
    ("page", "link", "turned"),
    [
        ("compare", {"compare": "Llama 3 8B|Mixtral 8x7B"}, lambda app: app.button(key="load_1").click()),
        ("compare", {}, lambda app: app.selectbox(key="compare_library").select("Mixtral 8x7B")),
        ("compare", {}, lambda app: app.selectbox(key="model").select("T5 small")),
        ("learn", {}, lambda app: app.button(key="chapter_next").click()),
        ("learn", {}, lambda app: app.segmented_control(key="chapter_beside").set_value("4")),
        ("techniques", {}, lambda app: app.segmented_control(key="technique_beside").set_value("cache")),
        ("techniques", {"lora_rank": "8"}, lambda app: app.button(key="all_plain").click()),
        ("cluster", {"model": "Llama 3 8B"}, lambda app: app.button(key="apply_plan").click()),
    ],
)
def test_a_browser_that_has_not_drawn_a_change_does_not_undo_it_with_what_it_says_next(page, link, turned):
    app = opened(page, link)
    before, control = app.session_state["reader"].present.values, turned(app)
    said = app._tree.get_widget_states()
    (unseen_popover,) = (block for block in app._tree if block.type == "popover" and block.proto.popover.label == "·")
    control.run()
    after = app.session_state["reader"].present.values
    assert after != before
    unmade = {node.id for node in unseen_popover if hasattr(node, "id")}
    for state in list(said.widgets):
        if state.id in unmade or state.WhichOneof("value") == "trigger_value":  # a button is said to be pressed once
            said.widgets.remove(state)
    app._run(said)  # as another page's menu has it said
    assert app.session_state["reader"].present.values == after


@pytest.mark.parametrize("page", ["cluster", "parameters", "serving"])
def test_a_knob_of_another_page_draws_nothing_of_the_page_that_was_left(page, screen):
    app = opened("explore")
    app.switch_page(f"pages/{page}.py").run()
    id = main_knobs(page, DEFAULTS)[0]
    screen.use(app, control_of(app, INPUTS[id]), other_value(INPUTS[id]))
    assert app.session_state[id] == other_value(INPUTS[id])
    assert "question" not in screen.ran
    the_same_when_all_is_drawn(app, screen)
