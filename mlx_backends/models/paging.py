"""Whether the paged path can run a model, and what its layers store: found out by asking it.

The model is run once on stand-ins, without computing anything: MLX builds its graph from shapes.
Every layer must store keys and values once and attend to its own once, with its cache's mask. That
leaves out recurrent and hybrid models, latent attention, shared caches and masks of a model's own.
"""

from collections.abc import Sequence as Seq
from dataclasses import dataclass
from typing import Any

import mlx.core as mx
import mlx.nn as nn
from mlx_lm.models.cache import KVCache, RotatingKVCache, make_prompt_cache

from mlx_backends.cache.kv_pool import LayerShape
from mlx_backends.cache.paged_cache import ForwardPass, PagedCache
from mlx_backends.models import attention_seam, gemma2_attention

# The family tests compare these with mlx-lm token by token; other models are compared when they
# are loaded (engine/self_check.py).
TESTED_FAMILIES = frozenset(
    {
        "cohere",
        "gemma",
        "gemma2",
        "gemma3_text",
        "gpt2",
        "gpt_oss",
        "granite",
        "llama",
        "ministral3",
        "olmo2",
        "phi3",
        "qwen2",
        "qwen3",
        "qwen3_moe",
        "smollm3",
        "starcoder2",
    }
)
_BATCH = 2


@dataclass(frozen=True, slots=True)
class PagingPlan:
    """What a pool for a model must hold.

    Attributes:
        layers: One shape for each layer.
        num_heads: Query heads of a layer, the most that any has.
        dtype: Type of the keys and values that the model makes.
        vocab_size: Width of its logits.
        is_tested: Whether its family is one of ``TESTED_FAMILIES``.
    """

    layers: tuple[LayerShape, ...]
    num_heads: int
    dtype: mx.Dtype
    vocab_size: int
    is_tested: bool

    def caches(self, forward_pass: ForwardPass, last: int | mx.array = -1) -> list[PagedCache]:
        """What to give the model as its cache for one pass; ``last`` as in ``PagedCache``."""
        return [
            PagedCache(index, forward_pass, layer.window, last)
            for index, layer in enumerate(self.layers)
        ]


class NotPageableError(Exception):
    """The paged path cannot run this model; the message says why."""


def plan_paging(model: nn.Module) -> PagingPlan:
    """Prepare a model for paged caches, and tell what they must hold.

    Raises:
        NotPageableError: The model needs caches of its own kind.
    """
    windows = [_window(cache) for cache in make_prompt_cache(model)]
    gemma2_attention.install(model)
    attention_seam.install(model)
    recorder = _run_on_stand_ins(model, windows)
    module = type(model).__module__.rpartition(".")[2]
    return PagingPlan(
        layers=tuple(recorder.shape(index, window) for index, window in enumerate(windows)),
        num_heads=recorder.num_heads,
        dtype=recorder.dtype,
        vocab_size=recorder.vocab_size,
        is_tested=module in TESTED_FAMILIES,
    )


def _window(cache: Any) -> int | None:
    if type(cache) is KVCache:
        return None
    if type(cache) is RotatingKVCache and cache.keep == 0:
        return int(cache.max_size)
    raise NotPageableError(f"its layers keep a {type(cache).__name__}")


def _run_on_stand_ins(model: nn.Module, windows: Seq[int | None]) -> "_Recorder":
    """Run the model as in prefill and as in decode, which some models write differently."""
    for length in (3, 1):
        recorder = _Recorder(len(windows), length)
        caches = [PagedCache(index, recorder, window) for index, window in enumerate(windows)]
        try:
            logits = model(mx.zeros((_BATCH, length), mx.int32), cache=caches)
        except Exception as error:  # whatever a model meets that expects arrays or numbers
            raise NotPageableError(f"{type(error).__name__}: {error!s:.200}") from error
        recorder.check()
        recorder.vocab_size = logits.shape[-1]
    return recorder


class _Recorder:
    """A forward pass that stores nothing and notes what each layer would have stored."""

    def __init__(self, num_layers: int, length: int) -> None:
        self._stored: list[list[tuple[mx.array, mx.array]]] = [[] for _ in range(num_layers)]
        self._length = length
        self.num_heads = 0
        self.vocab_size = 0

    @property
    def offset(self) -> mx.array:
        return mx.array([5, 9], dtype=mx.int32)

    @property
    def dtype(self) -> mx.Dtype:
        return self._stored[0][0][0].dtype

    def attend(
        self, layer: int, queries: mx.array, keys: mx.array, values: mx.array, **_: Any
    ) -> mx.array:
        self._stored[layer].append((keys, values))
        self.num_heads = max(self.num_heads, queries.shape[1])
        return mx.zeros((*queries.shape[:-1], values.shape[-1]), queries.dtype)

    def check(self) -> None:
        for index, stored in enumerate(self._stored):
            if len(stored) != 1:
                raise NotPageableError(f"its layer {index} attends {len(stored)} times a pass")
            keys, values = stored[0]
            rows = (_BATCH, keys.shape[1], self._length)
            if keys.shape[:-1] != rows or values.shape[:-1] != rows:
                raise NotPageableError(f"its layer {index} stores {keys.shape}, {values.shape}")

    def shape(self, index: int, window: int | None) -> LayerShape:
        keys, values = self._stored[index][0]
        return LayerShape(keys.shape[1], keys.shape[-1], values.shape[-1], window)
