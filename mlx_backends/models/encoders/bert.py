"""BERT, the encoder under most sentence-embedding models.

Letters: B texts in a batch, L padded length in tokens, D hidden size, H heads.

Source: Devlin et al. 2018, arXiv:1810.04805.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import mlx.core as mx
import mlx.nn as nn

from mlx_backends.models.encoders.activations import ACTIVATIONS
from mlx_backends.models.encoders.attention import attend, padding_mask, split_heads
from mlx_backends.models.encoders.config_values import (
    require_choice,
    require_epsilon,
    require_heads,
    require_sizes,
)
from mlx_backends.models.encoders.encoder import Encoder

_SIZES = (
    "vocab_size",
    "hidden_size",
    "num_hidden_layers",
    "num_attention_heads",
    "intermediate_size",
    "max_position_embeddings",
    "type_vocab_size",
)
_DEFAULTS = {"type_vocab_size": 2, "layer_norm_eps": 1e-12, "hidden_act": "gelu"}


@dataclass(frozen=True, slots=True, kw_only=True)
class BertConfig:
    """The part of ``config.json`` that shapes the model.

    Attributes:
        vocab_size: Rows of the token table; every token id is below it.
        hidden_size: Length of a token's vector.
        num_hidden_layers: Transformer blocks.
        num_attention_heads: Heads of each block; they divide ``hidden_size``.
        intermediate_size: Width of the feed-forward layers.
        max_position_embeddings: Longest text, in tokens.
        type_vocab_size: Rows of the segment table.
        layer_norm_eps: Added to variances.
        hidden_act: Name of the feed-forward activation.
    """

    vocab_size: int
    hidden_size: int
    num_hidden_layers: int
    num_attention_heads: int
    intermediate_size: int
    max_position_embeddings: int
    type_vocab_size: int
    layer_norm_eps: float
    hidden_act: str

    @property
    def max_length(self) -> int:
        return self.max_position_embeddings

    @property
    def first_position(self) -> int:
        return self.max_position_embeddings - self.max_length

    @property
    def num_segments(self) -> int:
        return self.type_vocab_size

    @classmethod
    def from_dict(cls, config: Mapping[str, Any]) -> Self:
        """As in ``EncoderConfig``."""
        return cls(**cls._checked(config))

    @classmethod
    def _checked(cls, config: Mapping[str, Any]) -> dict[str, Any]:
        values = {name: config.get(name, _DEFAULTS.get(name)) for name in BertConfig.__slots__}
        require_sizes(values, *_SIZES)
        require_heads(values)
        require_epsilon("layer_norm_eps", values["layer_norm_eps"])
        require_choice("hidden_act", values["hidden_act"], tuple(ACTIVATIONS))
        positions = config.get("position_embedding_type", "absolute")
        require_choice("position_embedding_type", positions, ("absolute",))
        return values


class Bert(Encoder):
    """Token ids to contextual token vectors."""

    _PREFIX = "bert."
    _UNUSED = ("pooler.", "cls.")

    def __init__(self, config: BertConfig) -> None:
        super().__init__(config)
        self.config = config
        self.embeddings = _Embeddings(config)
        self.encoder = _Encoder(config)

    def __call__(
        self, token_ids: mx.array, mask: mx.array, segments: mx.array | None = None
    ) -> mx.array:
        """As in ``Encoder``."""
        hidden = self.embeddings(token_ids, segments)
        return self.encoder(hidden, padding_mask(mask, hidden.dtype))

    @classmethod
    def sanitize(cls, weights: Mapping[str, mx.array]) -> dict[str, mx.array]:
        """As in ``Encoder``; renames TensorFlow's ``gamma`` and ``beta``."""
        return {
            name.replace("LayerNorm.gamma", "LayerNorm.weight").replace(
                "LayerNorm.beta", "LayerNorm.bias"
            ): array
            for name, array in super().sanitize(weights).items()
        }


class _Embeddings(nn.Module):
    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        size = config.hidden_size
        self.word_embeddings = nn.Embedding(config.vocab_size, size)
        self.position_embeddings = nn.Embedding(config.max_position_embeddings, size)
        self.token_type_embeddings = nn.Embedding(config.type_vocab_size, size)
        self.LayerNorm = nn.LayerNorm(size, eps=config.layer_norm_eps)
        self._first_position = config.first_position

    def __call__(self, token_ids: mx.array, segments: mx.array | None) -> mx.array:
        first = self._first_position
        positions = self.position_embeddings(mx.arange(first, first + token_ids.shape[1]))
        kind = self.token_type_embeddings(mx.array(0) if segments is None else segments)
        return self.LayerNorm(self.word_embeddings(token_ids) + positions + kind)


class _Encoder(nn.Module):
    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.layer = [_Layer(config) for _ in range(config.num_hidden_layers)]

    def __call__(self, hidden: mx.array, mask: mx.array) -> mx.array:
        for layer in self.layer:
            hidden = layer(hidden, mask)
        return hidden


class _Layer(nn.Module):
    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.attention = _Attention(config)
        self.intermediate = _Intermediate(config)
        self.output = _Residual(config.intermediate_size, config)

    def __call__(self, hidden: mx.array, mask: mx.array) -> mx.array:
        hidden = self.attention(hidden, mask)
        return self.output(self.intermediate(hidden), hidden)


class _Attention(nn.Module):
    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.self = _SelfAttention(config)
        self.output = _Residual(config.hidden_size, config)

    def __call__(self, hidden: mx.array, mask: mx.array) -> mx.array:
        return self.output(self.self(hidden, mask), hidden)


class _SelfAttention(nn.Module):
    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        size = config.hidden_size
        self.query = nn.Linear(size, size)
        self.key = nn.Linear(size, size)
        self.value = nn.Linear(size, size)
        self._num_heads = config.num_attention_heads

    def __call__(self, hidden: mx.array, mask: mx.array) -> mx.array:
        queries, keys, values = (
            split_heads(project(hidden), self._num_heads)
            for project in (self.query, self.key, self.value)
        )
        return attend(queries, keys, values, mask)


class _Intermediate(nn.Module):
    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.intermediate_size)
        self._activation = ACTIVATIONS[config.hidden_act]

    def __call__(self, hidden: mx.array) -> mx.array:
        return self._activation(self.dense(hidden))


class _Residual(nn.Module):
    """Projects back to the hidden size, adds the block's input and normalizes."""

    def __init__(self, input_size: int, config: BertConfig) -> None:
        super().__init__()
        self.dense = nn.Linear(input_size, config.hidden_size)
        self.LayerNorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)

    def __call__(self, inner: mx.array, residual: mx.array) -> mx.array:
        return self.LayerNorm(self.dense(inner) + residual)
