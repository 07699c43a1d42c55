"""Inference: what weights and cache take, in the formats that were chosen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from llmcalc.accuracy import Standing, standing_of_inference
from llmcalc.facets.counting import Counting
from llmcalc.quantity import Quantity
from llmcalc.serving.held import inference_memory


@dataclass(frozen=True)
class Serving:
    """Inference of the model that is counted, as ``values`` describe it."""

    values: Mapping[str, Any]
    counting: Counting

    @cached_property
    def inference(self) -> Quantity:
        """Memory of inference with a full cache."""
        return self.inference_of(self.values["batch_size"], self.values["seq_len"])

    def with_weights_in(self, format: str) -> Serving:
        """The same with the weights stored in another format."""
        return Serving({**self.values, "weight_format": format}, self.counting)

    def inference_of(self, batch_size: Any, seq_len: Any) -> Quantity:
        """Inference with another batch or length; arrays make a sweep."""
        return inference_memory(
            self.counting.model,
            batch_size=batch_size,
            seq_len=seq_len,
            weight_format=self.values["weight_format"],
            cache_format=self.values["cache_format"],
        )

    @property
    def inference_standing(self) -> Standing:
        """What stands behind the memory of inference."""
        return self.inference_standing_in(self.values["weight_format"], self.values["cache_format"])

    def inference_standing_in(self, weight_format: str, cache_format: str = "bf16") -> Standing:
        """The same in other formats."""
        return standing_of_inference(self.counting.family, weight_format, cache_format)
