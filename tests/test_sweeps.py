"""What varies something of a configuration has, at each point, what the configuration at that point has alone."""

from __future__ import annotations

import pytest
from configurations import configured

from llmcalc.configuration import Configuration
from llmcalc.inputs import PURPOSES
from llmcalc.sweeps import growth_of_batch, least_needed, memory_map, with_each_optimizer
from llmcalc.techniques.pruning import break_even, memory_by_share, memory_by_share_taken_out, pruned_weights

GPT2 = 124_439_808
LINEAR = 12 * 12 * 768**2  # of GPT-2's layers: four matrices of attention, eight of the network, each d²


@pytest.mark.parametrize("purpose", PURPOSES)
def test_a_map_has_at_every_point_what_a_run_there_needs(purpose):
    config = configured("GPT-2 124M", batch_size=700, seq_len=64)
    found = memory_map(config, purpose, batches=(1, 512, 3), lengths=(128, 1024, 4))
    assert (found.batches[0], found.batches[-1]) == pytest.approx((1, 700)), "further where the run is"
    assert (found.lengths[0], found.lengths[-1]) == pytest.approx((64, 1024))
    for i, batch in enumerate(found.whole_batches):
        for j, length in enumerate(found.whole_lengths):
            at = Configuration({**config.values, "batch_size": int(batch), "seq_len": int(length)})
            assert found.needed_by_whole[i, j] == pytest.approx(at.verdict_of(purpose).needed.value)
    assert found.needed == pytest.approx(found.needed_by_whole, rel=0.3)
    one = Configuration({**config.values, "batch_size": 1}).verdict_of(purpose).needed.value
    assert least_needed(config, purpose) == pytest.approx(one)


def test_memory_grows_with_the_batch_up_to_the_last_stop_through_the_present_one():
    config = configured("GPT-2 124M", batch_size=13, seq_len=64)
    found = growth_of_batch(config, last=100)
    assert 13 in found.stops
    assert (found.stops[0], found.stops[-1]) == (1, 96)  # a slider's stops: 64, 96, 128
    here = found.stops.tolist().index(13)
    assert found.training[here] == pytest.approx(config.training.peak.value)
    assert found.inference[here] == pytest.approx(config.inference.value)


def test_each_optimizer_keeps_its_own_states():
    steps = with_each_optimizer(configured("GPT-2 124M", precision="fp32", batch_size=1, seq_len=8))
    states = {id: step.optimizer_state.value / GPT2 for id, step in steps.items()}
    assert states["adamw_fused"] == pytest.approx(8, rel=1e-3)  # two states of four bytes
    assert states["sgd"] == 0
    assert states["sgd_momentum"] == pytest.approx(4, rel=1e-3)


def test_zeros_are_counted_by_their_share_and_what_is_taken_out_is_gone():
    model, shares = configured("GPT-2 124M").model, (0, 50)
    found = memory_by_share(model, "bf16", shares)
    alone = pruned_weights(model, "bf16", "unstructured", 50)
    assert {id: bytes[1] for id, bytes in found.items()} == {id: q.value for id, q in alone.items()}
    assert found["dense"] == [2 * GPT2, 2 * GPT2], "a zero takes as many bits"
    assert found["bitmask"] == [2 * GPT2 + LINEAR / 8, 2 * GPT2 + LINEAR / 8 - LINEAR]  # a bit each, half of them gone
    halved = LINEAR // 2 + 12 * (3 * 384 + 1536)  # half the heads and channels, with the biases of what they make
    assert memory_by_share_taken_out(model, "bf16", shares) == [2 * GPT2, 2 * (GPT2 - halved)]
    assert {id: q.value for id, q in break_even(model, "bf16").items()} == pytest.approx(
        {"bitmask": 100 / 16, "csr": 100 * 32 / 48}
    )
