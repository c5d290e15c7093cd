"""ModernBERT: rotary positions, gated feed-forward layers, and windows in two layers of three.

Letters: B texts in a batch, L padded length in tokens, D hidden size, F width of the feed-forward.

Source: Warner et al. 2024, arXiv:2412.13663.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import mlx.core as mx
import mlx.nn as nn

from mlx_backends.errors import ModelLoadError
from mlx_backends.models.encoders.activations import ACTIVATIONS
from mlx_backends.models.encoders.attention import attend, padding_mask, split_heads, window_mask
from mlx_backends.models.encoders.config_values import (
    require_choice,
    require_epsilon,
    require_heads,
    require_sizes,
)
from mlx_backends.models.encoders.encoder import Encoder
from mlx_backends.models.encoders.rotary import rope_base

_SIZES = (
    "vocab_size",
    "hidden_size",
    "num_hidden_layers",
    "num_attention_heads",
    "intermediate_size",
    "max_position_embeddings",
    "local_attention",
)
_FLAGS = ("norm_bias", "attention_bias", "mlp_bias")
_DEFAULTS = {
    "local_attention": 128,
    "norm_eps": 1e-5,
    "hidden_activation": "gelu",
    **dict.fromkeys(_FLAGS, False),
}
_KINDS = ("full_attention", "sliding_attention")


@dataclass(frozen=True, slots=True, kw_only=True)
class ModernBertConfig:
    """The part of ``config.json`` that shapes the model.

    Attributes:
        vocab_size: Rows of the token table; every token id is below it.
        hidden_size: Length of a token's vector.
        num_hidden_layers: Transformer blocks.
        num_attention_heads: Heads of each block; they divide ``hidden_size``.
        intermediate_size: Width of the feed-forward layers.
        max_position_embeddings: Longest text that the model was made for, in tokens.
        local_attention: Window of the local layers: half of it to each side.
        norm_eps: Added to variances.
        hidden_activation: Name of the feed-forward activation.
        norm_bias, attention_bias, mlp_bias: Which parts have biases.
        is_local: Of every layer, whether it sees a window only.
        global_base, local_base: Of the rotary positions of the two kinds of layers.
    """

    vocab_size: int
    hidden_size: int
    num_hidden_layers: int
    num_attention_heads: int
    intermediate_size: int
    max_position_embeddings: int
    local_attention: int
    norm_eps: float
    hidden_activation: str
    norm_bias: bool
    attention_bias: bool
    mlp_bias: bool
    is_local: tuple[bool, ...]
    global_base: float
    local_base: float

    @property
    def max_length(self) -> int:
        return self.max_position_embeddings

    @property
    def num_segments(self) -> int:
        return 1

    @classmethod
    def from_dict(cls, config: Mapping[str, Any]) -> Self:
        """As in ``EncoderConfig``."""
        names = (*_SIZES, *_DEFAULTS)
        values = {name: config.get(name, _DEFAULTS.get(name)) for name in names}
        require_sizes(values, *_SIZES)
        require_heads(values)
        require_epsilon("norm_eps", values["norm_eps"])
        require_choice("hidden_activation", values["hidden_activation"], tuple(ACTIVATIONS))
        for name in _FLAGS:
            require_choice(name, values[name], (True, False))
        return cls(
            **values,
            is_local=_local_layers(config, values["num_hidden_layers"]),
            global_base=rope_base(config, "full_attention", "global_rope_theta", 160_000.0),
            local_base=rope_base(config, "sliding_attention", "local_rope_theta", 10_000.0),
        )


class ModernBert(Encoder):
    """Token ids to contextual token vectors."""

    _PREFIX = "model."
    _UNUSED = ("head.", "decoder.", "classifier.")

    def __init__(self, config: ModernBertConfig) -> None:
        super().__init__(config)
        self.embeddings = _Embeddings(config)
        self.layers = [_Layer(config, index) for index in range(config.num_hidden_layers)]
        self.final_norm = _layer_norm(config)
        self._is_local = config.is_local
        self._reach = config.local_attention // 2

    def __call__(
        self, token_ids: mx.array, mask: mx.array, segments: mx.array | None = None
    ) -> mx.array:
        """As in ``Encoder``; there are no segments."""
        hidden = self.embeddings(token_ids)
        everywhere = padding_mask(mask, hidden.dtype)
        nearby = everywhere
        if token_ids.shape[1] > self._reach + 1:  # else every token is near every other
            nearby = window_mask(mask, self._reach, hidden.dtype)
        for layer, is_local in zip(self.layers, self._is_local, strict=True):
            hidden = layer(hidden, nearby if is_local else everywhere)
        return self.final_norm(hidden)


class _Embeddings(nn.Module):
    def __init__(self, config: ModernBertConfig) -> None:
        super().__init__()
        self.tok_embeddings = nn.Embedding(config.vocab_size, config.hidden_size)
        self.norm = _layer_norm(config)

    def __call__(self, token_ids: mx.array) -> mx.array:
        return self.norm(self.tok_embeddings(token_ids))


class _Layer(nn.Module):
    def __init__(self, config: ModernBertConfig, index: int) -> None:
        super().__init__()
        # The embeddings end in a norm, so the first layer has none before its attention.
        self.attn_norm = nn.Identity() if index == 0 else _layer_norm(config)
        self.attn = _Attention(config, is_local=config.is_local[index])
        self.mlp_norm = _layer_norm(config)
        self.mlp = _GatedMLP(config)

    def __call__(self, hidden: mx.array, mask: mx.array) -> mx.array:
        hidden = hidden + self.attn(self.attn_norm(hidden), mask)
        return hidden + self.mlp(self.mlp_norm(hidden))


class _Attention(nn.Module):
    def __init__(self, config: ModernBertConfig, *, is_local: bool) -> None:
        super().__init__()
        size = config.hidden_size
        self.Wqkv = nn.Linear(size, 3 * size, bias=config.attention_bias)
        self.Wo = nn.Linear(size, size, bias=config.attention_bias)
        self.rope = nn.RoPE(
            size // config.num_attention_heads,
            base=config.local_base if is_local else config.global_base,
        )
        self._num_heads = config.num_attention_heads

    def __call__(self, hidden: mx.array, mask: mx.array) -> mx.array:
        queries, keys, values = (
            split_heads(part, self._num_heads) for part in self.Wqkv(hidden).split(3, axis=-1)
        )
        return self.Wo(attend(self.rope(queries), self.rope(keys), values, mask))


class _GatedMLP(nn.Module):
    def __init__(self, config: ModernBertConfig) -> None:
        super().__init__()
        size, inner = config.hidden_size, config.intermediate_size
        self.Wi = nn.Linear(size, 2 * inner, bias=config.mlp_bias)
        self.Wo = nn.Linear(inner, size, bias=config.mlp_bias)
        self._activation = ACTIVATIONS[config.hidden_activation]

    def __call__(self, hidden: mx.array) -> mx.array:
        inner, gate = self.Wi(hidden).split(2, axis=-1)
        return self.Wo(self._activation(inner) * gate)


def _layer_norm(config: ModernBertConfig) -> nn.LayerNorm:
    return nn.LayerNorm(config.hidden_size, eps=config.norm_eps, bias=config.norm_bias)


def _local_layers(config: Mapping[str, Any], num_layers: int) -> tuple[bool, ...]:
    """Which layers see a window only: listed, or all but every n-th from the first."""
    listed = config.get("layer_types")
    if listed is None:
        period = config.get("global_attn_every_n_layers", 3)
        require_sizes({"global_attn_every_n_layers": period}, "global_attn_every_n_layers")
        return tuple(index % period != 0 for index in range(num_layers))
    if not isinstance(listed, list) or len(listed) != num_layers:
        raise ModelLoadError(f"layer_types in config.json must be a list of {num_layers} names.")
    for kind in listed:
        require_choice("layer_types", kind, _KINDS)
    return tuple(kind == "sliding_attention" for kind in listed)
