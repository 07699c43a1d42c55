"""The data of each page as files: which tables a page offers, and the menu below it. `llmcalc.export` makes them."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import streamlit as st

from llmcalc.configuration import Configuration
from llmcalc.export import as_csv, as_json, model_name, slug
from llmcalc.words import w
from pages.ui.app.share import link

# What the charts and tables of a page show. One that is not named here has what any configuration has.
OFFERED: Mapping[str, tuple[str, ...]] = {
    "explore": ("components", "moments", "inference", "growth", "article_count", "formats", "model_working"),
    "parameters": ("components", "parts", "layers", "weights", "components_working"),
    "training": ("timeline", "profile", "moments", "process", "savings", "takes", "device", "training_working"),
    "fits": ("devices", "memory_map"),
    "cluster": ("plans", "device", "device_working"),
    "serving": ("served", "served_users", "offers", "served_working"),
    "techniques": ("switches", "formats", "caches", "pruned", "distilled", "techniques_working"),
    "compare": ("compared", "compared_components", "compared_working"),
    "scaling": ("best_by_law", "trained_models", "law", "improvements", "law_working"),
    "cost": ("training_work", "cost_working"),
    "article": ("printed", "article_working"),
    "accuracy": (
        "measured",
        "measured_settings",
        "measured_runs",
        "printed_peaks",
        "measured_speed",
        "measured_rates",
        "measured_ranks",
        "printed_logs",
    ),
    "method": ("all_formulas", "symbols", "accelerators", "memory_readings"),
}
OF_ANY = ("components", "moments", "inference", "model_working")


def download_menu(page: str, config: Configuration) -> None:
    """A menu of the page's tables, each a CSV file, and all of them as JSON; made when they are asked for."""
    names = OFFERED.get(page, OF_ANY)
    about = f"llmcalc-{page}-{slug(model_name(config))}"
    menu = st.popover(
        w("download.open"), icon=":material/download:", type="tertiary", key="download", on_change="rerun"
    )
    with menu, st.container(gap="xsmall"):
        if menu.open:
            st.caption(w("download.explained"))
            for name in names:
                make, file = partial(as_csv, name, config), f"{about}-{slug(name)}.csv"
                _button(w("download.csv", table=w(f"download.{name}")), make, file, "text/csv", ":material/table:")
            whole = partial(as_json, names, config, link())
            _button(w("download.json"), whole, f"{about}.json", "application/json", ":material/data_object:")


def _button(label: str, make: partial[str], file: str, kind: str, icon: str) -> None:
    st.download_button(label, make, file, kind, key=file, on_click="ignore", type="tertiary", icon=icon)
