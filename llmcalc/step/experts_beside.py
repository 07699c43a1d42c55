"""A mixture of experts beside a dense network, both of which read the stream, as Gemma 4 runs them."""

from __future__ import annotations

from llmcalc.step import operations as op
from llmcalc.step.experts import Mixture, grouped
from llmcalc.step.registry import Beside, running
from llmcalc.step.setting import Setting
from llmcalc.step.tape import Tensor


class ExpertsBeside:
    """The experts of a layer that has a network too: what each of both makes is normed, and added up."""

    def __init__(self, s: Setting, beside: Beside) -> None:
        self.s = s
        with s.tape.serving("experts"):
            self.mixture: Mixture = running(beside.parts["experts"], s, beside)
        self.dense_norm, self.before, self.behind = (
            beside.norms[id] for id in ("dense_post_norm", "experts_norm", "experts_post_norm")
        )

    def __call__(self, dense: Tensor, stream: Tensor) -> tuple[Tensor, list[Tensor]]:
        """The sum of what the network made (``dense``) and what experts make of the ``stream``; and what has a name
        until the layer ends."""
        s, mixture = self.s, self.mixture
        first = self.dense_norm(dense)
        with s.tape.serving("router"):
            scores = mixture.router(stream, mixture.k)
        second = self.before(stream)
        with s.tape.serving("experts"):
            second = grouped(mixture, second, scores)
        second = self.behind(second)
        with s.tape.serving("residual"):
            return op.add(first, second), [first, second, scores]
