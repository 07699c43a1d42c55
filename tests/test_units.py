"""Numbers for people, and back."""

from __future__ import annotations

import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from llmcalc.units import EiB, GiB, KiB, Locale, MiB, PiB, TiB, exact, human, parse_bytes, significant, whole


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0, "parameters", "0"),
        (999, "parameters", "999"),
        (1_000, "parameters", "1.00 k"),
        (999_499, "parameters", "999 k"),
        (999_999, "parameters", "1.00 M"),
        (124_439_808, "parameters", "124 M"),
        (8_030_261_248, "parameters", "8.03 B"),
        (174_604_259_328, "parameters", "175 B"),
        (15_000_000_000_000, "tokens", "15.0 T"),
        (-1_500_000, "parameters", "-1.50 M"),
        (0, "bytes", "0 B"),
        (500.0, "bytes", "500 B"),
        (1023, "bytes", "1,023 B"),
        (KiB, "bytes", "1.00 KiB"),
        (1023.9 * MiB, "bytes", "1.00 GiB"),
        (16 * GiB, "bytes", "16.0 GiB"),
        (9.996 * GiB, "bytes", "10.0 GiB"),
        (99.96 * GiB, "bytes", "100 GiB"),
        (-2 * TiB, "bytes", "-2.00 TiB"),
        (3 * PiB, "bytes", "3.00 PiB"),
        (5000 * EiB, "bytes", "5,000 EiB"),
        (16_060_514_304, "FLOP", "16.1 GFLOP"),
        (3.14e23, "FLOP", "3.14 × 10²³"),
        (1.93e14, "", "1.93 × 10¹⁴"),
        (-2.5e-7, "", "-2.50 × 10⁻⁷"),
        (0.076, "", "0.076"),
        (math.inf, "bytes", "∞"),
        (math.nan, "bytes", "–"),
    ],
)
def test_a_number_for_people_has_three_digits_and_the_prefix_that_suits(value, unit, text):
    assert human(value, unit) == text


@given(st.integers(1, 10**15))
@example(999_500)
@example(999_499_999)
def test_a_count_of_parameters_is_never_off_by_more_than_half_of_the_third_digit(value):
    text = human(value, "parameters")
    prefix = {"k": 10**3, "M": 10**6, "B": 10**9, "T": 10**12}.get(text[-1], 1)
    digits = text.rstrip(" kMBT").replace(",", "")
    assert float(digits) * prefix == pytest.approx(value, rel=0.0051)
    assert 1 <= float(digits) < 1000 or value >= 999.5e12


@given(st.integers(0, 2**75))
@example(1023 * MiB)
@example(MiB - 1)
def test_bytes_for_people_read_back_as_the_same_size(value):
    assert parse_bytes(human(value, "bytes")) == pytest.approx(value, rel=0.0051)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (1230, "1,230"),
        (12.34, "12.3"),
        (0.01234, "0.0123"),
        (3.902, "3.90"),
        (2.0, "2"),
        (100.0, "100"),
        (500.0, "500"),
        (9.999, "10.0"),
        (99.96, "100"),
        (999.7, "1,000"),
        (-0.5, "-0.5"),
        (-1234.5678, "-1,235"),
    ],
)
def test_three_significant_digits_and_no_exponent(value, text):
    assert significant(value) == text


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (124_439_808, "parameters", "124,439,808 parameters"),
        (0, "bytes", "0 bytes"),
        (-1234.0, "bytes", "-1,234 bytes"),
        (10**30, "", "1" + ",000" * 10),
        (0.0728486, "", "0.0728486"),
        (3.14e23, "FLOP", "3.14e+23 FLOP"),
        (math.inf, "bytes", "inf bytes"),
    ],
)
def test_the_exact_form_keeps_every_digit_of_an_integer(value, unit, text):
    assert exact(value, unit) == text


@given(st.integers(-(10**40), 10**40))
def test_the_exact_form_of_an_integer_reads_back_as_itself(value):
    assert int(exact(value).replace(",", "")) == value


@pytest.mark.parametrize("locale", [Locale(), Locale(decimal=",", thousands=".")])
@given(value=st.floats(-1e15, 1e15) | st.integers(-(10**15), 10**15))
@example(value=33_000.125)
def test_a_number_in_a_field_is_read_back_as_itself(value, locale):
    assert locale.number(whole(value, locale)) == value


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("80 GB", 80 * 10**9),
        ("16GiB", 16 * 2**30),
        (" 1.5 tib ", 1.5 * 2**40),
        ("4096", 4096),
        ("4,096 B", 4096),
        ("4_096 b", 4096),
        ("1 kB", 1000),
        ("2 EiB", 2**61),
    ],
)
def test_sizes_are_read_with_decimal_and_binary_prefixes_told_apart(text, size):
    assert parse_bytes(text) == size


@pytest.mark.parametrize(
    "text", ["", "GB", "-5 GB", "five GB", "5 GX", "5 GB 3", ".", ",", "1.2.3 GB", "1e9", "1,5 GiB"]
)
def test_what_is_no_size_is_refused(text):
    with pytest.raises(ValueError, match="not a size in bytes"):
        parse_bytes(text)
