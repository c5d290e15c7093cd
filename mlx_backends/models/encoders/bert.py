"""BERT, the encoder under most sentence-embedding models.

Module names follow Hugging Face's weight names, so that a checkpoint loads without a table.

Letters: B texts in a batch, L padded length in tokens, D hidden size, H heads.

Source: Devlin et al. 2018, arXiv:1810.04805.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import mlx.core as mx
import mlx.nn as nn

from mlx_backends.errors import ModelLoadError, UnsupportedModelError
from mlx_backends.models.encoders.activations import gelu

_ACTIVATIONS: dict[str, Callable[[mx.array], mx.array]] = {
    "gelu": gelu,
    "gelu_new": nn.gelu_approx,
    "gelu_pytorch_tanh": nn.gelu_approx,
    "relu": nn.relu,
}
# Far above every published encoder, low enough that building the module tree takes no time.
_BOUNDS = {
    "vocab_size": 16_777_216,
    "hidden_size": 65_536,
    "num_hidden_layers": 512,
    "num_attention_heads": 1_024,
    "intermediate_size": 262_144,
    "max_position_embeddings": 1_048_576,
    "type_vocab_size": 1_024,
}
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

    @classmethod
    def from_dict(cls, config: Mapping[str, Any]) -> "BertConfig":
        """Check the values of a ``config.json`` against hard bounds.

        Raises:
            ModelLoadError: A value is missing, has the wrong type or is out of bounds.
            UnsupportedModelError: The activation or the kind of positions is not implemented.
        """
        values = {name: config.get(name, _DEFAULTS.get(name)) for name in cls.__slots__}
        for name, high in _BOUNDS.items():
            _require_size(name, values[name], high)
        if values["hidden_size"] % values["num_attention_heads"]:
            raise ModelLoadError(
                f"hidden_size {values['hidden_size']} in config.json is not divisible by "
                f"num_attention_heads {values['num_attention_heads']}."
            )
        _require_epsilon(values["layer_norm_eps"])
        _require_choice("hidden_act", values["hidden_act"], tuple(_ACTIVATIONS))
        positions = config.get("position_embedding_type", "absolute")
        _require_choice("position_embedding_type", positions, ("absolute",))
        return cls(**values)


class Bert(nn.Module):
    """Token ids to contextual token vectors."""

    _UNUSED: tuple[str, ...] = ("pooler.", "cls.")

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.embeddings = _Embeddings(config)
        self.encoder = _Encoder(config)

    def __call__(
        self, token_ids: mx.array, mask: mx.array, segments: mx.array | None = None
    ) -> mx.array:
        """Encode a padded batch.

        Shapes: token_ids (B, L) integers, each inside the vocabulary; mask (B, L) booleans, True
            at tokens and False at padding; segments (B, L) integers, the text of a pair that a
            token is of, None for 0. Returns (B, L, D); rows at padding mean nothing.
        """
        hidden = self.embeddings(token_ids, segments)
        return self.encoder(hidden, _additive_mask(mask, hidden.dtype))

    @classmethod
    def sanitize(cls, weights: Mapping[str, mx.array]) -> dict[str, mx.array]:
        """Keep the weights that this model has, under its names.

        Drops the ``bert.`` prefix of models saved with a head, heads that this model has not and
        stored position ids; renames TensorFlow's ``gamma`` and ``beta``.
        """
        named = {name.removeprefix("bert."): array for name, array in weights.items()}
        return {
            name.replace("LayerNorm.gamma", "LayerNorm.weight").replace(
                "LayerNorm.beta", "LayerNorm.bias"
            ): array
            for name, array in named.items()
            if not name.startswith(cls._UNUSED) and not name.endswith("position_ids")
        }


class _Embeddings(nn.Module):
    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        size = config.hidden_size
        self.word_embeddings = nn.Embedding(config.vocab_size, size)
        self.position_embeddings = nn.Embedding(config.max_position_embeddings, size)
        self.token_type_embeddings = nn.Embedding(config.type_vocab_size, size)
        self.LayerNorm = nn.LayerNorm(size, eps=config.layer_norm_eps)

    def __call__(self, token_ids: mx.array, segments: mx.array | None) -> mx.array:
        positions = self.position_embeddings.weight[: token_ids.shape[1]]
        kinds = self.token_type_embeddings
        kind = kinds.weight[0] if segments is None else kinds(segments)
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
        B, L, D = hidden.shape
        q, k, v = (
            project(hidden).reshape(B, L, self._num_heads, -1).transpose(0, 2, 1, 3)
            for project in (self.query, self.key, self.value)
        )
        scale = (D // self._num_heads) ** -0.5
        attended = mx.fast.scaled_dot_product_attention(q, k, v, scale=scale, mask=mask)
        return attended.transpose(0, 2, 1, 3).reshape(B, L, D)


class _Intermediate(nn.Module):
    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.intermediate_size)
        self._activation = _ACTIVATIONS[config.hidden_act]

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


def _additive_mask(mask: mx.array, dtype: mx.Dtype) -> mx.array:
    """Zero at tokens, the type's lowest finite value at padding. Shape (B, 1, 1, L).

    Finite, because a row of minus infinities, a text without tokens, would give NaN.
    """
    lowest = mx.array(mx.finfo(dtype).min, dtype)
    return mx.where(mask, mx.array(0, dtype), lowest)[:, None, None, :]


def _require_size(name: str, value: object, high: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= high:
        raise ModelLoadError(
            f"{name} in config.json must be an integer from 1 to {high:,}; got {value!r:.80}."
        )


def _require_epsilon(value: object) -> None:
    if not isinstance(value, int | float) or not math.isfinite(value) or not 0 < value < 1:
        raise ModelLoadError(
            f"layer_norm_eps in config.json must lie between 0 and 1; got {value!r:.80}."
        )


def _require_choice(name: str, value: object, supported: tuple[str, ...]) -> None:
    if value not in supported:
        raise UnsupportedModelError(
            f"{name} {value!r:.80} in config.json is not supported; BERT models with "
            f"{', '.join(supported)} are."
        )
