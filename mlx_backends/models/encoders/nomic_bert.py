"""Nomic BERT: BERT with rotary positions, gated feed-forward layers and few biases.

Weights and config come in two namings: that of the model's own code, with GPT-2's names, in which
the checkpoints were published, and that of transformers. Modules are named as in the first.

Letters: B texts in a batch, L padded length in tokens, D hidden size.

Source: Nussbaum et al. 2024, arXiv:2402.01613.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import mlx.core as mx
import mlx.nn as nn

from mlx_backends.models.encoders.attention import attend, padding_mask, split_heads
from mlx_backends.models.encoders.config_values import (
    require_choice,
    require_epsilon,
    require_heads,
    require_sizes,
)
from mlx_backends.models.encoders.encoder import Encoder
from mlx_backends.models.encoders.rotary import rope_base

_OLD_NAMES = {
    "hidden_size": "n_embd",
    "num_hidden_layers": "n_layer",
    "num_attention_heads": "n_head",
    "intermediate_size": "n_inner",
    "max_position_embeddings": "n_positions",
    "layer_norm_eps": "layer_norm_epsilon",
    "hidden_act": "activation_function",
}
_DEFAULTS = {"type_vocab_size": 2, "layer_norm_eps": 1e-12, "hidden_act": "silu"}
_SIZES = (
    "vocab_size",
    "hidden_size",
    "num_hidden_layers",
    "num_attention_heads",
    "intermediate_size",
    "max_position_embeddings",
    "type_vocab_size",
)
# What the model's own code can be told to do otherwise, and what the published encoders do.
_FIXED: dict[str, tuple[object, ...]] = {
    "qkv_proj_bias": (False,),
    "mlp_fc1_bias": (False,),
    "mlp_fc2_bias": (False,),
    "prenorm": (False,),
    "parallel_block": (False,),
    "causal": (False,),
    "use_rms_norm": (False, None),
    "rotary_emb_fraction": (1.0,),
    "rotary_emb_interleaved": (False,),
    "rotary_emb_scale_base": (None,),
}
# As in transformers' own conversion, backwards.
_RENAMED = {
    "embeddings.LayerNorm.": "emb_ln.",
    "layers.": "encoder.layers.",
    ".self_attn.o_proj.": ".attn.out_proj.",
    ".mlp.up_proj.": ".mlp.fc11.",
    ".mlp.gate_proj.": ".mlp.fc12.",
    ".mlp.down_proj.": ".mlp.fc2.",
    ".post_attention_layernorm.": ".norm1.",
    ".post_mlp_layernorm.": ".norm2.",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class NomicBertConfig:
    """The part of ``config.json`` that shapes the model; names as in ``BertConfig``.

    Attributes:
        trained_length: Longest text of the training. Longer ones stretch the rotary positions,
            which is not implemented, so it is the longest text.
        rope_base: Of the rotary positions.
    """

    vocab_size: int
    hidden_size: int
    num_hidden_layers: int
    num_attention_heads: int
    intermediate_size: int
    max_position_embeddings: int
    type_vocab_size: int
    layer_norm_eps: float
    trained_length: int
    rope_base: float

    @property
    def max_length(self) -> int:
        return min(self.max_position_embeddings, self.trained_length)

    @property
    def num_segments(self) -> int:
        return self.type_vocab_size

    @classmethod
    def from_dict(cls, config: Mapping[str, Any]) -> Self:
        """As in ``EncoderConfig``."""
        names = (*_SIZES, "layer_norm_eps", "hidden_act")
        values = {
            name: config.get(name, config.get(_OLD_NAMES.get(name, ""), _DEFAULTS.get(name)))
            for name in names
        }
        require_sizes(values, *_SIZES)
        require_heads(values)
        require_epsilon("layer_norm_eps", values["layer_norm_eps"])
        require_choice("hidden_act", values.pop("hidden_act"), ("silu", "swiglu"))
        for name, supported in _FIXED.items():
            require_choice(name, config.get(name, supported[0]), supported)
        trained = config.get("max_trained_positions") or values["max_position_embeddings"]
        require_sizes({"max_position_embeddings": trained}, "max_position_embeddings")
        base = rope_base(config, None, "rotary_emb_base", 1_000.0)
        return cls(**values, trained_length=trained, rope_base=base)


class NomicBert(Encoder):
    """Token ids to contextual token vectors."""

    _PREFIX = "nomic_bert."
    _UNUSED = ("pooler.", "cls.")

    def __init__(self, config: NomicBertConfig) -> None:
        super().__init__(config)
        self.embeddings = _Embeddings(config)
        self.emb_ln = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.encoder = _Layers(config)

    def __call__(
        self, token_ids: mx.array, mask: mx.array, segments: mx.array | None = None
    ) -> mx.array:
        """As in ``Encoder``."""
        hidden = self.emb_ln(self.embeddings(token_ids, segments))
        return self.encoder(hidden, padding_mask(mask, hidden.dtype))

    @classmethod
    def sanitize(cls, weights: Mapping[str, mx.array]) -> dict[str, mx.array]:
        """As in ``Encoder``, from either naming."""
        named = {_old_name(name): array for name, array in super().sanitize(weights).items()}
        for name in [name for name in named if name.endswith("self_attn.q_proj.weight")]:
            parts = [named.pop(name.replace("q_proj", f"{part}_proj")) for part in "qkv"]
            named[name.replace("self_attn.q_proj", "attn.Wqkv")] = mx.concatenate(parts)
        return named


class _Embeddings(nn.Module):
    def __init__(self, config: NomicBertConfig) -> None:
        super().__init__()
        self.word_embeddings = nn.Embedding(config.vocab_size, config.hidden_size)
        self.token_type_embeddings = nn.Embedding(config.type_vocab_size, config.hidden_size)

    def __call__(self, token_ids: mx.array, segments: mx.array | None) -> mx.array:
        kind = self.token_type_embeddings(mx.array(0) if segments is None else segments)
        return self.word_embeddings(token_ids) + kind


class _Layers(nn.Module):
    def __init__(self, config: NomicBertConfig) -> None:
        super().__init__()
        self.layers = [_Layer(config) for _ in range(config.num_hidden_layers)]

    def __call__(self, hidden: mx.array, mask: mx.array) -> mx.array:
        for layer in self.layers:
            hidden = layer(hidden, mask)
        return hidden


class _Layer(nn.Module):
    def __init__(self, config: NomicBertConfig) -> None:
        super().__init__()
        self.attn = _Attention(config)
        self.norm1 = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.mlp = _GatedMLP(config)
        self.norm2 = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)

    def __call__(self, hidden: mx.array, mask: mx.array) -> mx.array:
        hidden = self.norm1(hidden + self.attn(hidden, mask))
        return self.norm2(hidden + self.mlp(hidden))


class _Attention(nn.Module):
    def __init__(self, config: NomicBertConfig) -> None:
        super().__init__()
        size, heads = config.hidden_size, config.num_attention_heads
        self.Wqkv = nn.Linear(size, 3 * size, bias=False)
        self.out_proj = nn.Linear(size, size, bias=False)
        self.rope = nn.RoPE(size // heads, base=config.rope_base)
        self._num_heads = heads

    def __call__(self, hidden: mx.array, mask: mx.array) -> mx.array:
        queries, keys, values = (
            split_heads(part, self._num_heads) for part in self.Wqkv(hidden).split(3, axis=-1)
        )
        return self.out_proj(attend(self.rope(queries), self.rope(keys), values, mask))


class _GatedMLP(nn.Module):
    def __init__(self, config: NomicBertConfig) -> None:
        super().__init__()
        size, inner = config.hidden_size, config.intermediate_size
        self.fc11 = nn.Linear(size, inner, bias=False)
        self.fc12 = nn.Linear(size, inner, bias=False)
        self.fc2 = nn.Linear(inner, size, bias=False)

    def __call__(self, hidden: mx.array) -> mx.array:
        return self.fc2(self.fc11(hidden) * nn.silu(self.fc12(hidden)))


def _old_name(name: str) -> str:
    for new, old in _RENAMED.items():
        if name.startswith(new) or (new.startswith(".") and new in name):
            name = name.replace(new, old, 1)
    return name
