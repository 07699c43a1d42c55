"""Every row of the catalogue says where its figures are from, and has them."""

from __future__ import annotations

import importlib
import pkgutil
import re
import statistics
from dataclasses import is_dataclass
from pathlib import Path

import pytest
from golden_files import csv_rows

import llmcalc.catalog
from llmcalc import sources
from llmcalc.catalog.accelerators import ACCELERATORS, readings
from llmcalc.catalog.formats import CACHE_FORMATS, WEIGHT_FORMATS
from llmcalc.catalog.optimizers import OPTIMIZERS, SHAPES
from llmcalc.catalog.precisions import BYTES, PRECISIONS
from llmcalc.sources import Citation, Work

TABLES = {
    f"{module.name}.{name}": table
    for module in pkgutil.walk_packages(llmcalc.catalog.__path__, prefix="llmcalc.catalog.")
    for name, table in vars(importlib.import_module(module.name)).items()
    if isinstance(table, dict) and name.isupper() and table and all(is_dataclass(row) for row in table.values())
}
ROWS = [pytest.param(key, row, id=f"{table}[{key}]") for table, rows in TABLES.items() for key, row in rows.items()]
WORKS = {name: work for name, work in vars(sources).items() if isinstance(work, Work)}


def test_the_tables_are_found():
    assert len(TABLES) >= 5
    assert len(ROWS) >= 50


@pytest.mark.parametrize(("key", "row"), ROWS)
def test_a_row_has_a_source_with_a_place_and_is_found_under_its_own_id(key, row):
    assert isinstance(row.source, Citation)
    assert row.source.work in WORKS.values()
    assert row.source.place.strip()
    assert row.id == key


def test_each_work_is_declared_once_with_what_it_takes_to_find_it():
    assert len(set(WORKS.values())) == len(WORKS) > 20
    urls = [work.url for work in WORKS.values() if work.url]
    assert len(set(urls)) == len(urls)
    for name, work in WORKS.items():
        assert work.authors, name
        assert work.title, name
        assert 1900 < work.year < 2100, name
        assert work.url.startswith("https://") or name == "ARTICLE", name


FORMAT_ROWS = [row for row in csv_rows("quant_formats_bits.csv") if not row["id"].startswith("2:4")]
# Types of GGUF that are formats of their own under another name, or hold activations only
OTHER_TYPES = {"F32": "fp32", "F16": "bf16", "BF16": "bf16", "MXFP4": "MXFP4", "NVFP4": "NVFP4"}
OF_ACTIVATIONS = ("Q8_1", "Q8_K")
TYPE_ROWS = [row for row in csv_rows("gguf_block_sizes.csv") if row["type"] not in OF_ACTIVATIONS]


@pytest.mark.parametrize("row", FORMAT_ROWS, ids=lambda row: row["id"])
def test_a_number_format_has_its_bits(row):
    assert WEIGHT_FORMATS[row["id"]].bits == pytest.approx(float(row["bits_per_weight"]), rel=1e-9)


@pytest.mark.parametrize("row", TYPE_ROWS, ids=lambda row: row["type"])
def test_a_type_of_gguf_has_its_blocks(row):
    format = WEIGHT_FORMATS[OTHER_TYPES.get(row["type"], f"GGUF {row['type']}")]
    assert format.bits == int(row["bytes_per_block"]) * 8 / int(row["weights_per_block"])
    assert format.bits == float(row["bits_per_weight"])
    assert format.block == (1 if row["type"] in OTHER_TYPES else int(row["weights_per_block"]))


@pytest.mark.parametrize("id", WEIGHT_FORMATS)
def test_every_number_format_is_checked_against_a_figure_from_elsewhere(id):
    blocks = {
        f"GGUF {row['type']}": int(row["bytes_per_block"]) * 8 / int(row["weights_per_block"])
        for row in csv_rows("gguf_block_sizes.csv")
    }
    bits = {row["id"]: float(row["bits_per_weight"]) for row in csv_rows("quant_formats_bits.csv")}
    assert WEIGHT_FORMATS[id].bits == pytest.approx((blocks | bits)[id], rel=1e-6)


def test_a_cache_is_kept_in_formats_that_weights_have_too():
    assert CACHE_FORMATS.items() <= WEIGHT_FORMATS.items()


@pytest.mark.parametrize("row", csv_rows("accelerators.csv"), ids=lambda row: row["name"])
def test_an_accelerator_has_what_its_data_sheet_gives_to_each_device_that_software_sees(row):
    device, seen_as = ACCELERATORS[row["name"]], int(row["seen_as"])
    assert device.vendor == row["vendor"]
    assert device.nominal_memory == int(row["memory_GB"]) * 10**9 / seen_as
    assert device.bandwidth == float(row["bandwidth_GBps"]) * 1e9 / seen_as
    for format in ("fp32", "fp16", "bf16", "fp8", "fp4"):
        printed = row["fp32_TFLOPS" if format == "fp32" else f"{format}_dense_TFLOPS"]
        assert device.peak_flops(format) == (float(printed) * 1e12 / seen_as if printed else None)
    assert device.link == (float(row["link_GBps"]) * 1e9 / 2 if row["link_GBps"] else None)  # one way of two
    assert device.watts == (int(row["watts"]) / seen_as if row["watts"] else None)


@pytest.mark.parametrize("row", csv_rows("accelerators.csv"), ids=lambda row: row["name"])
def test_the_grade_of_an_accelerator_is_that_of_its_weakest_figure(row):
    grades = [word for word in row["grade"].split() if word in ("A", "B", "C")]
    assert ACCELERATORS[row["name"]].grade == max(grades)


def test_every_accelerator_is_in_the_table_it_was_copied_from():
    assert ACCELERATORS.keys() == {row["name"] for row in csv_rows("accelerators.csv")}


@pytest.mark.parametrize("row", csv_rows("reported_memory.csv"), ids=lambda row: row["device"])
def test_a_device_has_the_memory_that_logs_print(row):
    device = ACCELERATORS[row["device"]]
    assert device.memory / 2**30 == pytest.approx(float(row["printed_GiB"]), rel=0.005)
    assert device.memory_source


@pytest.mark.parametrize("device", ACCELERATORS.values(), ids=ACCELERATORS)
def test_a_device_has_its_nominal_memory_only_where_nothing_was_read(device):
    read = [reading.memory for reading in device.readings]
    assert device.memory == (statistics.median_low(read) if read else device.nominal_memory)
    assert (device.memory_source is None) == (not read)
    # what is reported lies near what stands on the box, whose GB may be 10⁹ bytes or 2³⁰
    assert all(0.9 * device.nominal_memory < memory < 1.0738 * device.nominal_memory for memory in read)


def test_every_reading_is_of_a_device_that_there_is_and_says_where_it_was_printed():
    assert readings().keys() <= ACCELERATORS.keys()
    for found in readings().values():
        assert len({(reading.printed, reading.source) for reading in found}) == len(found)
        assert all(re.fullmatch(r"[\d.]+ ([GM]iB|B)", reading.printed) for reading in found)
        assert all(reading.source.work.url.startswith("https://github.com/") for reading in found)
    (first,) = [reading for reading in readings()["A100 40GB SXM"] if reading.printed.endswith("MiB")]
    assert first.memory == 40_339 * 2**20  # deviceQuery prints 42,298,834,944 bytes beside it
    assert first.memory == pytest.approx(42_298_834_944, abs=2**20)


# What stands on the box is a name. Whatever decides by it would be wrong by up to 7 per cent.
NAMES_DEVICES = {
    "llmcalc/catalog/accelerators.py",
    "llmcalc/export/works.py",
    "llmcalc/lessons/facts.py",
    "llmcalc/lessons/questions.py",  # the wrong answer that takes the box at its word
    "llmcalc/typed_names.py",  # people type the maker's number
    "pages/ui/words/devices.py",
}


def test_nothing_but_names_and_tables_uses_the_nominal_memory():
    root = Path(__file__).parent.parent
    files = (path for place in ("llmcalc", "pages") for path in (root / place).rglob("*.py"))
    users = {path.relative_to(root).as_posix() for path in files if "nominal_memory" in path.read_text("utf-8")}
    assert users == NAMES_DEVICES


@pytest.mark.parametrize("precision", PRECISIONS.values(), ids=PRECISIONS)
def test_a_precision_names_formats_that_there_are_and_copies_only_where_it_needs_them(precision):
    formats = (precision.weights, precision.gradients, precision.states)
    assert all(name in BYTES for name in formats)
    # a master copy is for 16-bit weights, autocast is for fp32 weights or those in its own format, and narrow products
    # are for autocast
    assert (precision.master is not None) <= (precision.weight_bytes == 2)
    assert precision.autocast in (None, precision.weights) or precision.weight_bytes == 4
    assert (precision.linear is not None) <= (precision.autocast is not None)


@pytest.mark.parametrize("optimizer", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_an_optimizer_has_states_of_a_size(optimizer):
    assert 0 <= optimizer.n_states <= 3
    for kept in (*optimizer.states, *optimizer.of_all, *optimizer.of_each):
        assert kept.number > 0
        assert kept.shape in SHAPES
        assert kept.format is None or kept.format in BYTES
        assert kept.block is None or kept.block > 1
    # for all weights at once, or one after the other
    assert not (optimizer.of_all and optimizer.of_each)
