"""What the modules of a model are built with: the device's tape, the run, the family's code, and named sides."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from llmcalc.step import operations as op
from llmcalc.step.adapters import is_targeted, saved
from llmcalc.step.names import NAMES, Name
from llmcalc.step.run import TrainingRun
from llmcalc.step.tape import Dim, Dims, Kind, Parameter, Storage, Tape, Tensor
from llmcalc.transformer.code import Code, Named


@dataclass
class Setting:
    """One device that runs ``run`` of a model written as ``code`` says. Weights are in ``weight_dtype``."""

    tape: Tape
    run: TrainingRun
    code: Code
    has_experts: bool = False
    batch: Dim = field(init=False)
    tokens: Dim = field(init=False)
    keys: Dim = field(init=False)
    keys_and_sink: Dim = field(init=False)
    weights: list[Parameter] = field(default_factory=list)
    last_weights: Tensor | None = None  # of the layer before, where they still have a name
    relative: Tensor | None = None  # the table of relative positions that layers share (DeBERTa)
    cache: list[Tensor] = field(default_factory=list)  # keys and values of all layers
    shared: dict[str, tuple[Tensor, Tensor]] = field(default_factory=dict)  # those that later layers borrow
    picked: Dim | None = None  # how many tokens the last indexer picked
    lends_picked: bool = False  # which later layers see, too
    lent: Tensor | None = None  # their numbers, where they still have a name
    aside: tuple[int, int] = (0, 0)  # where, in what is computed again, is what a branch beside attention keeps
    kept_again: list[Storage] = field(default_factory=list)  # what the graph of these keeps, once they are made again
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

    def weight(
        self, *dims: Dim, name: str, role: str = "weight", trains: bool = True, reads: int = 0, module: str = ""
    ) -> Parameter:
        """A weight of this name. Its own memory is counted as the model's parameters, not here. A product reads so many
        of its sides (``reads``) and writes the others. Where the run trains a copy of its ``module``, that copy."""
        component, run = self.tape.component, self.run
        called = NAMES[name].within(component)
        dtype = run.frozen if run.lora_rank and not (role == "matrix" and run.quantizes) else self.weight_dtype
        kind = Kind("weights", component, role, tuple(dims), dtype, called, reads)
        self._made(kind, trains and not run.lora_rank)
        if run.lora_rank and module in saved(run.modules_to_save):
            self._made(Kind("adapters", component, "module", tuple(dims), run.saved.weights, called, reads), True)
        return self.weights[-1]

    def copied(self, module: str, tied: Parameter) -> Parameter | None:
        """A copy of the weight that ``module`` is tied to, where the run trains one."""
        if not (self.run.lora_rank and module in saved(self.run.modules_to_save)):
            return None
        kind = tied.storage.kind
        return self._made(replace(kind, category="adapters", role="module", dtype=self.run.saved.weights), True)

    def adapter(self, *dims: Dim, name: Name, reads: int = 1) -> Parameter:
        """A weight of a LoRA adapter, in the format that adapters are kept in."""
        kind = Kind("adapters", self.tape.component, "weight", tuple(dims), self.run.trained.weights, name, reads)
        return self._made(kind, True)

    def _made(self, kind: Kind, trains: bool) -> Parameter:
        self.weights.append(Parameter(_Uncounted(self.tape, kind), kind.dims, kind.dtype, trains))
        return self.weights[-1]

    def names(self, what: Named) -> bool:
        """Whether this keeps a name beyond its use: where a gradient is wanted autograd keeps most of it anyway."""
        return not self.tape.records and what in self.code.named

    def adapts(self, module: str) -> bool:
        """Whether the run puts an adapter beside the linear layer of this name."""
        if self.has_experts and self.code.experts_adapted and module in ("gate", "up", "down"):
            return False  # PEFT took these names for those of experts
        return self.run.lora_rank > 0 and is_targeted(module, self.tape.component, self.run.lora_targets)

    @property
    def decodes(self) -> bool:
        """Whether it runs one token behind those that are cached."""
        return False

    def masked_keys(self, window: int | None) -> Dim:
        """How many keys a mask has a column for, of layers with that ``window``."""
        return self.keys

    def last_goes_on(self, *, masked: bool) -> bool:
        """Whether from here on the last token goes on alone. ``masked``: there is a mask for every layer."""
        return False

    def cached(self, key: Tensor, value: Tensor, window: int | None = None) -> tuple[Tensor, Tensor]:
        """Keys and values as the cache of a model in training holds them, joined with the none of before, which are of
        the keys' format. Under full recomputation transformers leaves the cache out. ``window``: how many it keeps."""
        if not self.run.use_cache or self.run.recompute in ("full", "selective_ops"):
            return key, value
        joined = op.joined_with_nothing(key, key.dtype), op.joined_with_nothing(value, key.dtype)
        self.cache += joined
        return joined

    def latent_cached(self, narrow: Tensor, turned: Tensor) -> tuple[Tensor, Tensor]:
        """The narrow vector and the rotated key of latent attention, with those of before."""
        return narrow, turned

    def index_cached(self, key: Tensor) -> Tensor:
        """An indexer's keys, with those of before."""
        return key

    @property
    def keeps_states(self) -> bool:
        """Whether a cache keeps the states that layers leave behind these tokens."""
        return False

    def inputs_kept(self, x: Tensor, width: Dim) -> None:
        """The last inputs of a convolution of that width, as a cache keeps them."""

    def state_kept(self, state: Tensor) -> Tensor | None:
        """A layer's state behind these tokens, where a cache keeps a copy of it."""
        return None

    def step_of(self, weight: Parameter) -> list[Kind]:
        """What the optimizer makes while it updates one weight as its gradient arrives."""
        kind, run = weight.storage.kind, self.run
        numbers, made = run.formats_of(kind.role), (*run.made_of_all, *run.updates.of_each)
        size = sum(t.numbers(kind.sides) * t.bytes_each(numbers) for t in made if t.is_made(numbers))
        dims = (Dim("parameters", size),)
        return [self.tape.kind("optimizer_temporary", "optimizer", "optimizer_temporary", dims, "fp8", None)]

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
