"""What the reader set: the value of every input, and the configuration that they describe."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx
from streamlit.runtime.state.query_params import QueryParams

from llmcalc.bases import AT_FIRST_OF_OTHERS, Base, at_first, base, recipe_values
from llmcalc.cached import cached_property
from llmcalc.comparison import read_each
from llmcalc.configuration import Configuration
from llmcalc.errors import InputError
from llmcalc.inputs import DEFAULTS, INPUTS, one_number_of_devices
from llmcalc.link_text import written
from llmcalc.words import language_asked
from pages.ui.app.session import session

_SEEN = "drawing_seen"  # a control
drawn_part: ContextVar[str] = ContextVar("drawn_part", default="")  # the part of the app that is being drawn


@dataclass(frozen=True)
class Refused:
    """What was typed into an input's field that is no value of it, why, and what the input was and still is."""

    text: str
    problem: InputError
    instead: Any


@dataclass(frozen=True)
class State:
    """Every input's value, and what it is at first: the base that was chosen decides some, the browser the language.

    ``refused`` is what was typed that is no value: it stays in its field until that gets one.
    """

    start: Base
    defaults: Mapping[str, Any]
    values: Mapping[str, Any]
    refused: Mapping[str, Refused] = field(default_factory=dict)

    @cached_property
    def configuration(self) -> Configuration:
        """The model and the run. Worked out once for all who look at the same."""
        return _configuration(tuple(self.values.items()))

    @property
    def changed(self) -> dict[str, Any]:
        """The inputs that are not what they are at first: what the address names."""
        return {id: value for id, value in self.values.items() if value != self.defaults[id]}

    def problems(self, input_id: str) -> tuple[InputError, ...]:
        """What is wrong with an input: for ``batch_size`` this takes a step, to see whether any machine has so much,
        for those of serving the engine is asked."""
        found = self.contradictions.get(input_id, ())
        if INPUTS[input_id].group == "serving":
            found += tuple(error for error in self.configuration.serving.refused if error.input_id == input_id)
        return found + self.configuration.beyond_any_machine if input_id == "batch_size" else found

    @cached_property
    def contradictions(self) -> Mapping[str, tuple[InputError, ...]]:
        """What cannot be together, by the input to change."""
        found = [*self.configuration.contradictions, *read_each(self.values["compare"])[1]]
        ids = dict.fromkeys(problem.input_id for problem in found)
        return {id: tuple(problem for problem in found if problem.input_id == id) for id in ids}


@functools.lru_cache(maxsize=64)  # about 1 MB each, with all that was worked out of it
def _configuration(items: tuple[tuple[str, Any], ...]) -> Configuration:
    return Configuration(dict(items))


def take_in() -> State:
    """Read what every input is set to: at the start of a run of the whole app, and once an input has changed.

    There are too many inputs to ask Streamlit for each whenever one is needed.
    """
    at_first = defaults()
    remembered = st.session_state.to_dict()
    values = {input_id: _set(input_id, default, remembered) for input_id, default in at_first.items()}
    refused = {id: typed for id, typed in session().refused.items() if typed.instead == values[id]}
    now = session().present = State(starting_point(), at_first, values, refused)
    return now


def start_from_address(values: Mapping[str, Any]) -> None:
    """Have every input be what an address says, and at first what it does not name. The base comes first, for that
    decides others."""
    for input_id in ("model", "config"):
        put(input_id, values.get(input_id, DEFAULTS[input_id]))
    for input_id, default in (at_first(values, starting_point()) | {"lang": browser_language()}).items():
        put(input_id, values.get(input_id, default))


def settle() -> State:
    """Take in what a control's callback has changed, with what follows from it for other inputs."""
    before, now = state(), take_in()
    follows = one_number_of_devices(before.values, now.values)
    if now.values["recipe"] != before.values["recipe"]:
        whole = recipe_values(now.values["recipe"])
        follows |= {id: value for id, value in whole.items() if now.values[id] == before.values[id]}
    now = _with(follows, now)
    # what was as it is at first, and is another at first by now
    moved = [id for id in AT_FIRST_OF_OTHERS if before.values[id] == now.values[id] == before.defaults[id]]
    return _with({id: now.defaults[id] for id in moved if now.defaults[id] != now.values[id]}, now)


def _with(follows: Mapping[str, Any], now: State) -> State:
    for input_id, value in follows.items():
        put(input_id, value)
    return take_in() if follows else now


def refuse(input_id: str, text: str, problem: InputError) -> None:
    """Keep what was typed into an input's field, and why it is no value of it."""
    session().refused = {**session().refused, input_id: Refused(text, problem, values()[input_id])}


def forget_refused(input_ids: Iterable[str]) -> None:
    """These inputs get a value: what was typed before is over."""
    over = set(input_ids)
    session().refused = {id: typed for id, typed in session().refused.items() if id not in over}


# What controls are at in the browser. Two may stand for one input, and one is moved when the reader moves the other.
# With whatever comes next the browser says what both are at, and until the drawing has reached it that is, for one of
# them, what it was. So that is told from what the reader did by the drawing that the browser had got to.


def acknowledged() -> None:
    """Last of a drawing: have the browser say with all that it says which drawing it had got to."""
    number = st.session_state[_SEEN] = _next_drawing()
    _drawings()[number] = values()
    st.number_input("·", min_value=0, key=_SEEN, label_visibility="collapsed")


def show(control: str, value: Any) -> None:
    """Have a control be at a value from the next drawing on. One that is there already is let be: its value would reach
    the browser after what the reader has done meanwhile, and undo that. But one that comes from another part of the
    app, such as out of sight, the browser makes anew, and knows no value of."""
    stays = control in session().controls and session().controls[control][0] == drawn_part.get()
    note_drawn(control, value)
    if not stays or control not in st.session_state or st.session_state[control] != value:
        put(control, value)


def note_drawn(control: str, value: Any) -> None:
    """A control is drawn in the present part of the app, at a value."""
    session().controls[control] = drawn_part.get(), value


def put(control: str, value: Any) -> None:
    """Have a control be at a value from the next drawing on, whatever it says."""
    st.session_state[control] = value
    heard, places = min(_drawings(), default=0), _places().get(control, [])
    reached, ahead = ([place for place in places if (place[0] > heard) == later] for later in (False, True))
    _places()[control] = [*reached[-1:], *ahead, (_next_drawing(), value)]


def touched(input_id: str, control: str, said: Any, shows: Callable[[Any], Any] = lambda value: value) -> bool:
    """Whether the reader moved a control; else it is where it was when last heard of, or where a drawing put it since.

    said: what it says, which is not what it should.
    shows: what the control is at for a value of the input.
    """
    seen, drawings, places = st.session_state.get(_SEEN), _drawings(), _places().get(control, [])
    if seen not in drawings:
        return True
    for number in [number for number in drawings if number < seen]:
        del drawings[number]
    reached = [value for number, value in places if number <= seen]
    if said == (reached[-1] if reached else shows(drawings[seen][input_id])):
        return False
    _places()[control] = [(seen, said), *(place for place in places if place[0] > seen)]
    return True


def hear() -> None:
    """First in a control's callback: undo what controls say that nobody touched, and note which parts of the app are to
    be drawn again for what their controls say, whoever touched them: the browser may never have got what was drawn."""
    remembered = st.session_state.to_dict()
    drawn = session().controls.items()
    session().astray |= {part for control, (part, at) in drawn if remembered.get(control, at) != at}
    for input_id, value in values().items():
        said = _set(input_id, value, remembered)
        if said != value and not touched(input_id, input_id, said):
            put(input_id, value)


def _drawings() -> dict[int, Mapping[str, Any]]:
    """The values that each drawing showed, by its number."""
    return session().shown


def _places() -> dict[str, list[tuple[int, Any]]]:
    """Of each control, from which drawing on it is at which value in the browser."""
    return session().places


def _next_drawing() -> int:
    return max(_drawings(), default=0) + 1


def keep_in_address(input_id: str) -> None:
    """Once an input's control is drawn: have it stay in the address when the browser does not say what the control is
    at. Streamlit takes such a one for gone, on the way to another page, though the browser only has not made it."""
    context = get_script_run_ctx()
    assert context is not None
    with context.session_state.query_params() as address:
        if binding := address.get_binding_for_param(input_id):
            address.unbind_widget(binding.widget_id)


def mend_address(before: Mapping[str, Any], now: State) -> None:
    """In a control's callback: have the address say of what was not changed what it is. Streamlit takes the address for
    what it was when the browser asked for the run, and from that writes it whole; what an earlier run has just written
    would be lost, but for the controls that are drawn again."""
    context = get_script_run_ctx()
    assert context is not None
    with context.session_state.query_params() as address:
        stays = {id: value for id, value in now.values.items() if value == before[id]}
        wrong = {id: value for id, value in stays.items() if _named(address, id, now.defaults[id]) != value}
        for id, value in wrong.items():
            if value == now.defaults[id]:
                address.discard_param_no_forward_msg(id)
            else:
                address.set_with_no_forward_msg(id, written(value))
        if wrong:
            address._send_query_param_msg()


def _named(address: QueryParams, input_id: str, default: Any) -> Any:
    """What an address says that an input is; where that is nonsense, something that no input is."""
    try:
        return INPUTS[input_id].read(address[input_id]) if address.has_param(input_id) else default
    except InputError:
        return address


def note_link() -> None:
    """Remember which inputs the address has named, so that `is_in_link` knows."""
    session().named |= frozenset(st.query_params)


def is_in_link(input_id: str) -> bool:
    """Whether the address has ever named an input: then Streamlit may take its value from there again."""
    return input_id in session().named


def state() -> State:
    """What was last taken in."""
    now = session().present
    assert now is not None
    return now


def values() -> Mapping[str, Any]:
    """The value of every input."""
    return state().values


def configuration() -> Configuration:
    """What the reader set, as a model and a run."""
    return state().configuration


def starting_point(model: str | None = None) -> Base:
    """The base that is chosen at this moment, or ``model``; where a config.json cannot be read, the plain decoder."""
    try:
        return base(model or _set("model", DEFAULTS["model"]), _set("config", DEFAULTS["config"]))
    except InputError:
        return base(DEFAULTS["model"])


def defaults() -> dict[str, Any]:
    """What every input is at this moment that neither the reader nor the link set."""
    named = {"recipe": _set("recipe", DEFAULTS["recipe"])}
    of_recipe = at_first(named, starting_point())
    named["recompute"] = _set("recompute", of_recipe["recompute"])
    return at_first(named, starting_point()) | {"lang": browser_language()}


def chosen_language() -> str:
    """The language that the reader or the link chose at this moment, else the browser's."""
    try:
        return str(_set("lang", browser_language()))
    except InputError:
        return browser_language()


def _set(input_id: str, default: Any, remembered: Mapping[str, Any] | None = None) -> Any:
    """What an input was set to: on this page or before, else by the link, else its default.

    remembered: by the session, where many are asked for at once; else Streamlit is asked for this one.
    """
    try:
        return (st.session_state if remembered is None else remembered)[input_id]
    except KeyError:
        return INPUTS[input_id].read(st.query_params[input_id]) if input_id in st.query_params else default


def browser_language() -> str:
    """The language that the browser asks for, where there are words in it; else English."""
    return language_asked(st.context.locale or "")
