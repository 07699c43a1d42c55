"""Data parallel steps against real DDP and FSDP2."""

from __future__ import annotations

import pytest
from laws import for_each

from llmcalc.accuracy.ranks import measured_ranks, rank_errors, rank_of

ROWS = {f"{i} {row.framework} {row.family}": row for i, row in enumerate(measured_ranks())}
FAR = 0.005  # what padding to the number of ranks and steps of 512 bytes leave in small models


@for_each("name", ROWS)
def test_each_phase_peaks_where_ddp_and_fsdp2_do(name):
    for phase, error in rank_errors(ROWS[name]).items():
        assert abs(error) < FAR, (phase, error)


@for_each("name", ROWS)
def test_a_peak_is_the_same_in_short_as_moment_by_moment(name):
    stage = rank_of(ROWS[name]).neediest
    assert stage.peak == pytest.approx(stage.timeline.peak(), rel=1e-12)


def test_there_are_rows_that_nobody_had_at_hand_of_either_framework():
    held_back = [row.framework for row in measured_ranks() if not row.seen]
    assert set(held_back) == {"DDP", "FSDP2"}
    assert not {row.family for row in measured_ranks() if row.seen} & {
        row.family for row in measured_ranks() if not row.seen
    }
