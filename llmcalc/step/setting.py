"""What the modules of a model are built with: the device's tape, the run, the family's code, and named sides."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from llmcalc.step.names import NAMES, Name
from llmcalc.step.run import TrainingRun
from llmcalc.step.tape import Dim, Dims, Kind, Parameter, Storage, Tape, Tensor
from llmcalc.transformer.code import Code


@dataclass
class Setting:
    """One device that runs ``run`` of a model written as ``code`` says. Weights are in ``weight_dtype``."""

    tape: Tape
    run: TrainingRun
    code: Code
    batch: Dim = field(init=False)
    tokens: Dim = field(init=False)
    keys: Dim = field(init=False)
    keys_and_sink: Dim = field(init=False)
    weights: list[Parameter] = field(default_factory=list)
    _dims: dict[tuple[str, int], Dim] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.batch = Dim("batch_size", self.run.batch_size)
        self.tokens = Dim("seq_len", self.run.seq_len)
        self.keys = Dim("seq_len", self.run.seq_len)
        self.keys_and_sink = Dim("keys_and_sink", self.run.seq_len + 1)

    @property
    def weight_dtype(self) -> str:
        """The format of the weights."""
        return self.run.numbers.weights

    def dim(self, name: str, value: int) -> Dim:
        """The side of this name and length: the same object every time."""
        return self._dims.setdefault((name, value), Dim(name, value))

    def rows(self, *channels: Dim) -> Dims:
        """The sides of a tensor with so many numbers for each token."""
        return (self.batch, self.tokens, *channels)

    def weight(self, *dims: Dim, name: str, role: str = "weight", trains: bool = True, reads: int = 0) -> Parameter:
        """A weight of this name. Its own memory is counted as the model's parameters, not here. A product reads so many
        of its sides (``reads``) and writes the others."""
        trains = trains and not self.run.lora_rank
        component = self.tape.component
        kind = Kind("weights", component, role, tuple(dims), self.weight_dtype, NAMES[name].within(component), reads)
        self.weights.append(Parameter(_Uncounted(self.tape, kind), tuple(dims), self.weight_dtype, trains))
        return self.weights[-1]

    def adapter(self, *dims: Dim, name: Name, reads: int = 1) -> Parameter:
        """A weight of a LoRA adapter: in fp32 where the run trains in fp32 or under autocast, else in its format."""
        kind = Kind("adapters", self.tape.component, "weight", tuple(dims), self.weight_dtype, name, reads)
        self.weights.append(Parameter(_Uncounted(self.tape, kind), tuple(dims), self.weight_dtype, True))
        return self.weights[-1]

    def dequantized(self, weight: Parameter) -> Tensor:
        """The weight as the product takes it: itself, or a 16-bit copy made for this product alone."""
        if not self.is_quantized:
            return weight
        return self.tape.new(weight.dims, "bf16", "dequantized", weight=weight.weight)

    @property
    def is_quantized(self) -> bool:
        """Whether the weights of linear layers are quantised, and LoRA's adapters train beside them."""
        return self.run.lora_base != "same" and self.run.lora_rank > 0

    def constant(self, dims: Iterable[Dim], dtype: str, role: str) -> Tensor:
        """A tensor without a gradient: ids, a mask, cosines."""
        return self.tape.new(tuple(dims), dtype, role)


class _Uncounted(Storage):
    """Memory that is counted elsewhere."""

    __slots__ = ()

    def __init__(self, tape: Tape, kind: Kind) -> None:
        self.tape, self.kind, self.born = tape, kind, tape.place

    def __del__(self) -> None:
        pass
