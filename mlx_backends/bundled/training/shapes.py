"""Shapes of the bundled models, and their `config.json`. Imports no framework."""

from dataclasses import dataclass
from typing import Any

GROUP_SIZE = 64
LINEAR_BITS = 4
EMBEDDING_BITS = 6
"""Of a chat model's embedding, which is its head too, so that its rounding is felt in every token."""


@dataclass(frozen=True, slots=True)
class LmConfig:
    """Shape of the model. Every dimension is a multiple of 128."""

    vocab_size: int = 4096
    hidden_size: int = 384
    num_layers: int = 10
    num_heads: int = 6
    num_kv_heads: int = 2
    head_dim: int = 64
    ffn_size: int = 896
    rope_theta: float = 10_000.0
    max_positions: int = 4096
    eps: float = 1e-6

    def to_hf(self) -> dict[str, Any]:
        """Return `config.json`."""
        return {
            "architectures": ["Qwen3ForCausalLM"],
            "model_type": "qwen3",
            "vocab_size": self.vocab_size,
            "hidden_size": self.hidden_size,
            "num_hidden_layers": self.num_layers,
            "num_attention_heads": self.num_heads,
            "num_key_value_heads": self.num_kv_heads,
            "head_dim": self.head_dim,
            "intermediate_size": self.ffn_size,
            "rope_theta": self.rope_theta,
            "max_position_embeddings": self.max_positions,
            "rms_norm_eps": self.eps,
            "hidden_act": "silu",
            "attention_bias": False,
            "tie_word_embeddings": True,
            "torch_dtype": "bfloat16",
        }


@dataclass(frozen=True, slots=True)
class EncoderConfig:
    """Shape of the encoder."""

    vocab_size: int = 4096
    hidden_size: int = 256
    num_layers: int = 4
    num_heads: int = 4
    ffn_size: int = 640
    max_positions: int = 512
    eps: float = 1e-12

    def to_hf(self) -> dict[str, Any]:
        """Return `config.json`."""
        return {
            "architectures": ["BertModel"],
            "model_type": "bert",
            "vocab_size": self.vocab_size,
            "hidden_size": self.hidden_size,
            "num_hidden_layers": self.num_layers,
            "num_attention_heads": self.num_heads,
            "intermediate_size": self.ffn_size,
            "max_position_embeddings": self.max_positions,
            "type_vocab_size": 2,
            "layer_norm_eps": self.eps,
            "hidden_act": "gelu",
            "hidden_dropout_prob": 0.0,
            "attention_probs_dropout_prob": 0.0,
            "pad_token_id": 0,
            "position_embedding_type": "absolute",
            "torch_dtype": "float16",
        }
