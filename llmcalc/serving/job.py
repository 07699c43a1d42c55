"""A job for a serving engine: everything but the model."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from llmcalc.cached import cached_property
from llmcalc.catalog.accelerators import ACCELERATORS, SHORT_NAMES
from llmcalc.catalog.formats import WEIGHT_FORMATS
from llmcalc.errors import InputError
from llmcalc.serving.formats import cache_formats, weight_format
from llmcalc.stored.weights import format_in, grouped_by
from llmcalc.transformer.model import Model
from llmcalc.transformer.part import matrices, widths
from llmcalc.units import GiB

ENGINES = ("vllm", "sglang", "tensorrt-llm", "llama.cpp", "ollama", "transformers")
OF_LLAMA_CPP = ("llama.cpp", "ollama")
CUSTOM = "custom"
# Whose devices an engine runs on, with its plugins, by its own documentation: vLLM, "Installation" with "Hardware
# plugins" (Gaudi, TPU, Metal); SGLang, "Hardware Platforms" (XPU, TPU, Apple Metal); TensorRT-LLM, "Support matrix";
# llama.cpp's backends (docs/build.md: CUDA, HIP, Metal, and SYCL and Vulkan for graphics, which Gaudi is not), of which
# ollama has CUDA, ROCm, Metal and Vulkan (docs/gpu.mdx). PyTorch has one for each.
_OF_PLUGINS = ("NVIDIA", "AMD", "Intel", "Google", "Apple")
RUNS_ON = {
    "vllm": _OF_PLUGINS,
    "sglang": _OF_PLUGINS,
    "tensorrt-llm": ("NVIDIA",),
    "llama.cpp": ("NVIDIA", "AMD", "Apple"),
    "ollama": ("NVIDIA", "AMD", "Apple"),
    "transformers": _OF_PLUGINS,
}
# And on which of theirs it does not: TensorRT-LLM's "Support matrix" begins with Ampere (SM80), after Volta and Turing
_NOT_ON = {"tensorrt-llm": ("V100 32GB SXM2", "T4")}
DRAFTS = ("eagle", "mtp")  # a layer that drafts, trained beside the model or published with it
SLOT_RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)  # vLLM: config/lora.py, MaxLoRARanks
_NO_PAIRS = ("vllm", "sglang")
# Builds whose figures are meant where none is named: those that most public logs are of
USUAL_VERSIONS = {"vllm": "0.19", "sglang": "0.5", "tensorrt-llm": "1.0", "llama.cpp": "b8000", "ollama": "0.13"}
_LARGE_DEVICE, _LARGEST_DEVICE = 70 * GiB, 160 * GiB
_LONG_CONTEXT = 32_768  # vLLM before 0.8: engine/arg_utils.py, use_long_context
BATCH_OF_LLAMA_CPP = 2048  # common/common.h, n_batch
_AT_LEAST_ONE = (
    *("tensor_parallel", "pipeline_parallel", "data_parallel", "expert_parallel", "context", "micro_batch"),
    *("parallel_sequences", "input_tokens", "output_tokens", "concurrency"),
)
_IF_GIVEN = ("max_sequences", "block_size", "batched_tokens", "kv_cache_memory", "device_memory", "cpu_moe_layers")
# Fields that are whole numbers: the least, and whether they may be left open
_WHOLE = (
    (_AT_LEAST_ONE, 1, False),
    (_IF_GIVEN, 1, True),
    (("gpu_layers",), 0, True),
    (("lora_slots", "lora_rank"), 0, False),
)
_NONE_OR_TEXT = ("engine_version", "draft")
_TEXTS = ("engine", "device", "weights", "kv_cache", *_NONE_OR_TEXT)
_SWITCHES = ("flash_attention", "unified", "kv_on_host", "swa_full")


@dataclass(frozen=True, kw_only=True)
class Serving:
    """How a model is served: the engine, the devices, formats and limits.

    ``device`` is an id of the catalogue, a short name ("H200"), or "custom" with ``device_memory`` bytes.
    ``tensor_parallel`` × ``pipeline_parallel`` devices hold one copy of the model, of which there are
    ``data_parallel``; ``expert_parallel``: among so many devices whole experts are dealt out. ``weights`` is a format
    of the catalogue, or a file type of llama.cpp ("Q4_K_M"). ``kv_cache``: "auto" is 16 bits; else a format, for
    llama.cpp also one for keys and one for values ("q8_0/f16"). ``context`` is the longest request, prompt and answer,
    in tokens; for llama.cpp the whole of `n_ctx`.

    ``memory_utilization`` is the share of a device's memory that the engine may take (vLLM, SGLang, TensorRT-LLM),
    None its default; ``max_sequences`` how many requests run at once, ``batched_tokens`` how many tokens a step holds,
    ``block_size`` tokens of a cache block; None: the engine's own. ``kv_cache_memory`` gives the pool in bytes instead
    of a share. ``engine_version``: "0.11.0", "b4553"; None stands for the builds that most public logs are of.

    llama.cpp: ``micro_batch`` is `n_ubatch`, ``parallel_sequences`` `n_parallel`, ``flash_attention`` whether that
    kernel runs; ``unified``: all sequences share one cache. ``gpu_layers`` are on the device (`-ngl`), None all;
    ``kv_on_host`` leaves the cache in the host's memory, ``cpu_moe_layers`` the experts of so many layers;
    ``swa_full`` keeps windows whole.

    ``lora_slots``: adapters that a step may use at once (vLLM's `max_loras`, SGLang's `max_loras_per_batch`), each with
    buffers for a rank of up to ``lora_rank``. ``draft``: a layer that drafts tokens, "eagle" in 16 bits, or "mtp", the
    model's own multi-token prediction, in the format of its weights.

    Requests: ``concurrency`` of them at once, each of ``input_tokens`` and ``output_tokens``. Speed goes by these,
    memory by ``context``; that they go into it is not checked.

    Raises InputError, naming the field, for an unknown engine, device or format, and for sizes that cannot be.
    """

    engine: str = "vllm"
    device: str = "H100 SXM"
    tensor_parallel: int = 1
    pipeline_parallel: int = 1
    data_parallel: int = 1
    expert_parallel: int = 1
    weights: str = "bf16"
    kv_cache: str = "auto"
    context: int = 8192
    memory_utilization: float | None = None
    max_sequences: int | None = None
    block_size: int | None = None
    batched_tokens: int | None = None
    micro_batch: int = 512
    parallel_sequences: int = 1
    flash_attention: bool = True
    engine_version: str | None = None
    input_tokens: int = 1024
    output_tokens: int = 1024
    concurrency: int = 1
    kv_cache_memory: int | None = None
    device_memory: int | None = None
    unified: bool = False
    gpu_layers: int | None = None
    kv_on_host: bool = False
    cpu_moe_layers: int | None = None
    swa_full: bool = False
    lora_slots: int = 0
    lora_rank: int = 16
    draft: str | None = None

    def __post_init__(self) -> None:
        self._check_kinds()
        if self.engine not in ENGINES:
            raise InputError("engine", f"unknown engine {self.engine!r}; known: {', '.join(ENGINES)}", ENGINES)
        object.__setattr__(self, "device", SHORT_NAMES.get(self.device, self.device))
        known = (*ACCELERATORS, CUSTOM)
        if self.device not in known:
            raise InputError("device", f"unknown device {self.device!r}; known: {', '.join(known)}", known)
        if self.device == CUSTOM and self.device_memory is None:
            raise InputError("device_memory", "a custom device needs device_memory, in bytes")
        if self.lora_rank not in SLOT_RANKS:
            ranks = ", ".join(map(str, SLOT_RANKS))
            raise InputError("lora_rank", f"lora_rank {self.lora_rank}: vLLM makes buffers for {ranks}", SLOT_RANKS)
        if self.draft not in (None, *DRAFTS):
            raise InputError("draft", f"unknown draft {self.draft!r}; known: {', '.join(DRAFTS)}", DRAFTS)
        if self.memory_utilization is not None and not 0 < self.memory_utilization <= 1:
            raise InputError("memory_utilization", "memory_utilization must be above 0 and at most 1")
        self.weight_format, self.cache_formats  # noqa: B018

    def _check_kinds(self) -> None:
        """Raise InputError, naming the field, for a value that is of another kind than the field's, or too small."""
        for name in _TEXTS:
            value = getattr(self, name)
            if not isinstance(value, str) and not (value is None and name in _NONE_OR_TEXT):
                raise InputError(name, f"{name} must be text, not {value!r}")
        for name in _SWITCHES:
            if not isinstance(getattr(self, name), bool):
                raise InputError(name, f"{name} must be True or False")
        for names, least, may_be_none in _WHOLE:
            for name in names:
                value = getattr(self, name)
                if value is None and may_be_none:
                    continue
                if not isinstance(value, int) or isinstance(value, bool) or value < least:
                    raise InputError(name, f"{name} must be a whole number of at least {least}")
        share = self.memory_utilization
        if share is not None and (not isinstance(share, int | float) or isinstance(share, bool)):
            raise InputError("memory_utilization", "memory_utilization must be a number above 0 and at most 1")
        if self.engine_version is not None and not re.match(r"[bv]?\d", self.engine_version):
            message = f"engine_version {self.engine_version!r} is none: write it as '0.11.0', or a build as 'b4553'"
            raise InputError("engine_version", message)

    @cached_property
    def weight_format(self) -> str:
        """The stored format of the weights, as the catalogue calls it."""
        return weight_format(self.weights)

    @cached_property
    def cache_formats(self) -> tuple[Any, Any]:
        """The number formats of keys and of values."""
        return cache_formats(self.kv_cache)

    @property
    def memory(self) -> int:
        """What the device has for programs, in bytes."""
        return self.device_memory or ACCELERATORS[self.device].memory

    @property
    def devices(self) -> int:
        """How many devices serve."""
        return self.tensor_parallel * self.pipeline_parallel * self.data_parallel

    @cached_property
    def version(self) -> tuple[int, ...]:
        """The engine's version, or build, as numbers that can be compared."""
        told = self.engine_version or USUAL_VERSIONS.get(self.engine, "0")
        return tuple(int(number) for number in re.findall(r"\d+", told)[:3]) or (0,)

    @property
    def most_at_once(self) -> int:
        """Requests that one replica of an engine with a pool runs at once at most: as many as it is told, else as vLLM
        does (engine/arg_utils.py, get_batch_defaults): 1,024 on large devices, no more than tokens go into a step."""
        if self.max_sequences is not None:
            return self.max_sequences
        recent = self.engine != "vllm" or self.version >= (0, 9)
        usual = 1024 if self.is_large and recent else 256
        return min(usual, self.step_room or usual)

    @property
    def seats(self) -> int | None:
        """Requests that run at once at most, on all replicas together, where an engine with a pool is told so, or has a
        number of its own."""
        told = self.max_sequences is not None and self.engine not in (*OF_LLAMA_CPP, "transformers")
        return self.most_at_once * self.data_parallel if told or self.engine == "vllm" else None

    @property
    def running(self) -> int:
        """Requests that run at once of those that are asked; the others wait."""
        return self.concurrency if self.seats is None else min(self.concurrency, self.seats)

    @property
    def is_large(self) -> bool:
        """Whether it is a device on which vLLM runs more at once: it leaves out A100s, whose throughput fell."""
        return self.memory >= _LARGE_DEVICE and "A100" not in self.device

    @cached_property
    def step_room(self) -> int | None:
        """Tokens of one step at most: longer prompts are cut up. None where one batch is read whole."""
        if self.engine == "transformers":
            return None
        if self.engine in OF_LLAMA_CPP:
            return max(BATCH_OF_LLAMA_CPP, self.micro_batch)
        if self.batched_tokens:
            return self.batched_tokens
        if self.engine == "vllm" and self.version < (0, 8):  # prompts were cut up in long contexts only
            return max(self.context, 2048) if self.context <= _LONG_CONTEXT else 2048
        return 16384 if self.memory >= _LARGEST_DEVICE else 8192 if self.is_large else 2048


def runs_on(engine: str, device: str) -> bool:
    """Whether an engine runs on a device of the catalogue; of a custom one nobody can say that it does not."""
    found = ACCELERATORS.get(device)
    return found is None or (found.vendor in RUNS_ON[engine] and device not in _NOT_ON.get(engine, ()))


def check_device(job: Serving) -> None:
    """Raise InputError, naming ``engine``, where the engine does not run on that device."""
    if runs_on(job.engine, job.device):
        return
    others = tuple(engine for engine in ENGINES if runs_on(engine, job.device))
    message = f"{job.engine} does not run on {job.device}; these do: {', '.join(others)}"
    raise InputError(
        "engine", message, others, code="not_on_device", engine=job.engine, device=job.device, engines=others
    )


def check(model: Model, job: Serving) -> None:
    """Raise InputError, naming the input, where the engine would refuse to serve this model so, for its own reason."""
    t = job.tensor_parallel
    # vLLM and SGLang run pairs that hear, such as Whisper, and none that read (vllm-project/vllm#7366)
    if job.engine in _NO_PAIRS and model.is_pair and not model.hears:
        message = f"{job.engine} runs no model of an encoder and a decoder that reads text"
        raise InputError("engine", message, ("llama.cpp", "transformers"), code="no_pairs", engine=job.engine)
    keys, values = job.cache_formats
    of_files = job.kv_cache if keys != values else keys.id if keys.stored == "gguf" else ""
    if of_files and job.engine not in (*OF_LLAMA_CPP, "transformers"):
        message = f"kv_cache: {job.engine} keeps no cache in {of_files}, as llama.cpp does"
        raise InputError("kv_cache", message, ("bf16", "fp8"), code="cache_of_files", engine=job.engine,
                         format=of_files)  # fmt: skip
    for name in ("context", "input_tokens"):
        asked = getattr(job, name)
        if job.engine not in OF_LLAMA_CPP and model.context is not None and asked > model.context:
            message = (
                f"{name} {asked:,} is beyond the {model.context:,} tokens that the model was made for "
                "(its config's max_position_embeddings)"
            )
            raise InputError(name, message, (model.context,), code="context_too_long", value=asked,
                             number=model.context)  # fmt: skip
    cut = [name for name in ("tensor_parallel", "expert_parallel", "data_parallel") if getattr(job, name) > 1]
    if job.engine in OF_LLAMA_CPP and cut:
        message = f"{cut[0]}: llama.cpp puts whole layers on devices (pipeline_parallel), of one copy of the model"
        raise InputError(cut[0], message, (1,), code="layers_only")
    for part in model.language.parts:
        for width in widths(part):
            uneven = width.number % t and not (width.may_repeat and t % width.number == 0)
            if uneven and not (width.may_pad or width.joins):
                message = f"tensor_parallel: {width.number} {width.name} cannot be dealt out over {t} devices"
                raise InputError("tensor_parallel", message, code="not_over_devices", value=t, what=width.name,
                                 number=width.number)  # fmt: skip
    if job.pipeline_parallel > model.n_layers:
        message = f"pipeline_parallel: more stages than the model's {model.n_layers} layers"
        raise InputError("pipeline_parallel", message, (model.n_layers,), code="more_stages_than_layers",
                         value=job.pipeline_parallel, number=model.n_layers)  # fmt: skip
    for mixture in model.mixtures:
        if mixture.n_experts % job.expert_parallel:
            message = (
                f"expert_parallel: {mixture.n_experts} experts cannot be dealt out over {job.expert_parallel} devices"
            )
            raise InputError("expert_parallel", message, code="not_over_devices", value=job.expert_parallel,
                             what="n_experts", number=mixture.n_experts)  # fmt: skip
    if job.expert_parallel > 1 and not model.mixtures:
        raise InputError("expert_parallel", "expert_parallel: the model has no experts", (1,), code="no_experts")
    if job.expert_parallel > t * job.data_parallel:
        ranks = t * job.data_parallel
        message = f"expert_parallel: experts are dealt out among the {ranks} tensor- and data-parallel devices at most"
        raise InputError("expert_parallel", message, (ranks,), code="not_among_ranks", value=job.expert_parallel,
                         number=ranks)  # fmt: skip


def check_groups(rank: Model, job: Serving) -> None:
    """Raise InputError where groups, or blocks, of the weights' format do not divide the rows that a rank has."""
    if grouped_by(job.weight_format) == 1:
        return
    for part in rank.language.parts:
        for m in matrices(part):
            if m.role in ("embedding", "head") or part.component == "connections":  # left in 16 bits
                continue
            group = format_in(rank, WEIGHT_FORMATS[job.weight_format], part.component, m).group
            if m.width % group:
                name = "tensor_parallel" if job.tensor_parallel > 1 else "weights"
                message = (
                    f"{name}: groups of {group} weights do not divide the {m.width} inputs of a matrix that each "
                    "device has (the engine: the input size is not aligned with the quantized weight shape)"
                )
                raise InputError(name, message, code="groups_do_not_divide", number=m.width, value=group)
