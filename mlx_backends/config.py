"""What can be set, validated once, and the only place that reads environment variables.

| variable | sets |
| --- | --- |
| ``MLX_BACKENDS_MODEL`` | the language model when none is named |
| ``MLX_BACKENDS_EMBED_MODEL`` | the embedding model when none is named |
| ``MLX_BACKENDS_RERANK_MODEL`` | the rerank model when none is named |
| ``MLX_BACKENDS_CACHE_DIR`` | where this package keeps files of its own |
| ``MLX_BACKENDS_MEMORY_LIMIT`` | budget of one process for weights and caches, such as ``6GB`` |
| ``MLX_BACKENDS_DEBUG`` | ``1`` compares ``@shader`` kernels with their references |
"""

import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from mlx_backends.errors import ConfigError

Device = Literal["auto", "cpu", "gpu"]
DType = Literal["auto", "float32", "float16", "bfloat16"]
OnOverflow = Literal["error", "truncate", "mean"]
ModelKind = Literal["lm", "encoder", "reranker"]

_MODEL_VARIABLES: dict[ModelKind, str] = {
    "lm": "MLX_BACKENDS_MODEL",
    "encoder": "MLX_BACKENDS_EMBED_MODEL",
    "reranker": "MLX_BACKENDS_RERANK_MODEL",
}
_DEVICES = ("auto", "cpu", "gpu")
_DTYPES = ("auto", "float32", "float16", "bfloat16")
_KV_BITS = (None, 8, 4)
_BLOCK_SIZES = (8, 16, 32, 64, 128)
_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}
_BINARY_UNITS = {"k": 2**10, "m": 2**20, "g": 2**30, "t": 2**40}


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheConfig:
    """How an engine keeps KV entries.

    Attributes:
        block_size: Tokens a block: the unit of allocation and of sharing.
        pool_bytes: Size of the KV pool; None is what the memory limit leaves.
        prefix_caching: Whether prompts reuse the KV entries of earlier ones that began alike.
        kv_bits: 8 keeps keys and values as 8-bit codes; 4 values as 4-bit codes, and keys, which
            bear less, as 8-bit ones. None keeps the type of the activations.

    Raises:
        ConfigError: A value is out of its range.
    """

    block_size: int = 16
    pool_bytes: int | None = None
    prefix_caching: bool = True
    kv_bits: int | None = None

    def __post_init__(self) -> None:
        if self.block_size not in _BLOCK_SIZES:
            allowed = ", ".join(map(str, _BLOCK_SIZES))
            raise ConfigError(f"block_size must be one of {allowed}; got {self.block_size!r:.80}.")
        if self.pool_bytes is not None:
            _require_positive("pool_bytes", self.pool_bytes)
        _require_bool("prefix_caching", self.prefix_caching)
        if isinstance(self.kv_bits, bool) or self.kv_bits not in _KV_BITS:
            raise ConfigError(f"kv_bits must be 8, 4 or None; got {self.kv_bits!r:.80}.")


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineConfig:
    """Which language model an engine runs, and within which bounds.

    Equal configurations share one engine (``mlx_backends.registry``).

    Attributes:
        model: Local folder, Hub id or ``bundled``; None is ``MLX_BACKENDS_MODEL``, else the bundled
            model with a warning.
        revision: Hub branch, tag or commit.
        adapter_path: Local folder of a LoRA or DoRA adapter that ``mlx_lm.lora`` wrote, put on top
            of the model.
        device: ``auto`` is the GPU where MLX has one.
        dtype: ``auto`` keeps the model's own type on a GPU and takes float32 on a CPU, where
            MLX computes float32 fastest.
        max_model_len: Context window in tokens, if smaller than the model's own.
        max_num_seqs: Most sequences that generate at once.
        max_num_waiting: Most requests that wait; one more is an ``OverloadedError``.
        prefill_chunk_size: Prompt tokens computed per step, so that running sequences never wait
            longer than for one chunk; None is 512 on a CPU, 2,048 on Metal and 8,192 on CUDA.
        memory_limit_bytes: Budget for weights and caches; None is ``MLX_BACKENDS_MEMORY_LIMIT``.
        cache: How KV entries are kept.
        warm_up: Compile the decode step for every size of batch and context, and the passes over
            short and new prompts, when the model is loaded, rather than when each is first met. On
            a GPU only; takes seconds to minutes.

    Raises:
        ConfigError: A value is out of its range.
    """

    model: str | None = None
    revision: str | None = None
    adapter_path: str | None = None
    device: Device = "auto"
    dtype: DType = "auto"
    max_model_len: int | None = None
    max_num_seqs: int = 32
    max_num_waiting: int = 4_096
    prefill_chunk_size: int | None = None
    memory_limit_bytes: int | None = None
    cache: CacheConfig = field(default_factory=CacheConfig)
    warm_up: bool = False

    def __post_init__(self) -> None:
        if isinstance(self.model, os.PathLike):
            object.__setattr__(self, "model", os.fspath(self.model))
        if isinstance(self.adapter_path, os.PathLike):
            object.__setattr__(self, "adapter_path", os.fspath(self.adapter_path))
        _require_name("model", self.model)
        _require_name("adapter_path", self.adapter_path)
        _require_choice("device", self.device, _DEVICES)
        _require_choice("dtype", self.dtype, _DTYPES)
        if not isinstance(self.cache, CacheConfig):
            raise ConfigError(f"cache must be a CacheConfig; got {self.cache!r:.80}.")
        _require_bool("warm_up", self.warm_up)
        for name in ("max_num_seqs", "max_num_waiting"):
            _require_positive(name, getattr(self, name))
        for name in ("max_model_len", "memory_limit_bytes", "prefill_chunk_size"):
            if getattr(self, name) is not None:
                _require_positive(name, getattr(self, name))


@dataclass(frozen=True, slots=True, kw_only=True)
class _PoolingConfig:
    """The options of a model that reads texts in batches; its two kinds say what each means."""

    model: str | None = None
    revision: str | None = None
    device: Device = "auto"
    dtype: DType = "auto"
    weight_bits: Literal[4, 8] | None = None
    max_batch_tokens: int | None = None
    max_length: int | None = None

    def __post_init__(self) -> None:
        if isinstance(self.model, os.PathLike):
            object.__setattr__(self, "model", os.fspath(self.model))
        _require_name("model", self.model)
        _require_choice("device", self.device, _DEVICES)
        _require_choice("dtype", self.dtype, _DTYPES)
        if self.weight_bits is not None and self.weight_bits not in (4, 8):
            raise ConfigError(f"weight_bits must be 4, 8 or None; got {self.weight_bits!r:.80}.")
        for name in ("max_batch_tokens", "max_length"):
            if getattr(self, name) is not None:
                _require_positive(name, getattr(self, name))


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbedderConfig(_PoolingConfig):
    """Which embedding model an embedder runs, and how it batches.

    Attributes:
        model: Local folder, Hub id or ``bundled``; None is ``MLX_BACKENDS_EMBED_MODEL``, else the
            bundled model with a warning.
        revision: Hub branch, tag or commit.
        device: As in ``EngineConfig``.
        dtype: As in ``EngineConfig``.
        weight_bits: 8 or 4 quantizes the weights when they are loaded; None keeps what the files
            hold.
        max_batch_tokens: Padded tokens of one forward pass, which generation may have to wait for;
            None is 512 on a CPU and 16,384 on a GPU.
        max_length: Longest text in tokens; None is what the model's files say. It may be as long as
            the model has positions for.
        on_overflow: What happens to a longer text: ``error``; ``truncate`` drops its end; ``mean``
            averages over windows of the longest length that overlap by an eighth.
        dimensions: Length that vectors are cut to, for models trained with Matryoshka losses; None
            is what the model's files say.

    Raises:
        ConfigError: A value is out of its range.
    """

    on_overflow: OnOverflow = "error"
    dimensions: int | None = None

    def __post_init__(self) -> None:
        # super() without arguments does not find the class that slots=True makes anew.
        _PoolingConfig.__post_init__(self)
        _require_choice("on_overflow", self.on_overflow, ("error", "truncate", "mean"))
        if self.dimensions is not None:
            _require_positive("dimensions", self.dimensions)


@dataclass(frozen=True, slots=True, kw_only=True)
class RerankerConfig(_PoolingConfig):
    """Which rerank model a reranker runs, and how it batches.

    Attributes:
        model: Local folder, Hub id or ``bundled``; None is ``MLX_BACKENDS_RERANK_MODEL``, else the
            bundled model with a warning.
        revision: Hub branch, tag or commit.
        device: As in ``EngineConfig``.
        dtype: As in ``EngineConfig``.
        weight_bits: As in ``EmbedderConfig``.
        max_batch_tokens: As in ``EmbedderConfig``.
        max_length: As in ``EmbedderConfig``, for a pair of a query and a document.
        on_overflow: What happens to a longer pair: ``error``, or ``truncate``, which drops the end
            of the document.
        instruction: What a good document does, for models that are told so in a prompt, such as
            Qwen3-Reranker; None is the model's own sentence.

    Raises:
        ConfigError: A value is out of its range.
    """

    on_overflow: Literal["error", "truncate"] = "error"
    instruction: str | None = None

    def __post_init__(self) -> None:
        _PoolingConfig.__post_init__(self)
        _require_choice("on_overflow", self.on_overflow, ("error", "truncate"))


def model_from_environment(kind: ModelKind) -> str | None:
    """Name of the model that the environment sets for this kind, or None."""
    return os.environ.get(_MODEL_VARIABLES[kind]) or None


def cache_dir() -> Path:
    """Folder for files that this package makes and can make again."""
    override = os.environ.get("MLX_BACKENDS_CACHE_DIR")
    if override:
        return Path(override).expanduser()
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base).expanduser() / "mlx_backends"


def memory_limit_from_environment() -> int | None:
    """``MLX_BACKENDS_MEMORY_LIMIT`` in bytes, or None if it is not set."""
    text = os.environ.get("MLX_BACKENDS_MEMORY_LIMIT")
    return parse_bytes(text) if text else None


def is_debug() -> bool:
    """Whether the environment asks for checks that cost time."""
    return os.environ.get("MLX_BACKENDS_DEBUG", "") not in ("", "0")


def parse_bytes(text: str) -> int:
    """Read a size such as ``6GB``, ``512 MiB`` or ``1000000``.

    Raises:
        ConfigError: The text is not a size.
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([kmgt]?)(i?)b?\s*", text, re.IGNORECASE)
    if match is None or (match[3] and not match[2]):
        raise ConfigError(f"{text!r:.80} is not a size. Write it like 6GB, 512MiB or 1000000.")
    unit = match[2].lower()
    return int(float(match[1]) * (_BINARY_UNITS[unit] if match[3] else _UNITS[unit]))


def _require_choice(name: str, value: object, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise ConfigError(f"{name} must be one of {', '.join(allowed)}; got {value!r:.80}.")


def _require_name(name: str, value: object) -> None:
    if not (value is None or isinstance(value, str)):
        raise ConfigError(f"{name} must be a folder or a Hub id; got {value!r:.80}.")


def _require_bool(name: str, value: object) -> None:
    if not isinstance(value, bool):
        raise ConfigError(f"{name} must be True or False; got {value!r:.80}.")


def _require_positive(name: str, value: object) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ConfigError(f"{name} must be an integer of at least 1; got {value!r:.80}.")
