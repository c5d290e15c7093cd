"""Models of known shapes with random weights, made on the spot: speed does not depend on values."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlx.core as mx
import mlx.nn as nn
import tokenizers
from mlx.utils import tree_flatten
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit

_GROUP_SIZE = 64


@dataclass(frozen=True, slots=True)
class Shape:
    """A model to make.

    Attributes:
        name: As the tables call it.
        config: Its ``config.json``, ``model_type`` included.
        bits: Bits of quantized weights; None leaves float32.
    """

    name: str
    config: Mapping[str, Any]
    bits: int | None = None

    @property
    def vocab_size(self) -> int:
        return int(self.config["vocab_size"])


def _llama(hidden_size: int, num_layers: int, num_heads: int) -> dict[str, Any]:
    return {
        "model_type": "llama",
        "hidden_size": hidden_size,
        "intermediate_size": hidden_size * 11 // 4,
        "num_hidden_layers": num_layers,
        "num_attention_heads": num_heads,
        "num_key_value_heads": num_heads // 2,
        "head_dim": 64,
        "vocab_size": 32_000,
        "max_position_embeddings": 8_192,
        "rms_norm_eps": 1e-5,
        "rope_theta": 10_000.0,
        "tie_word_embeddings": True,
    }


# Sizes of Qwen/Qwen3-0.6B and meta-llama/Llama-3.2-1B, from their model cards.
_QWEN3_600M = {
    "model_type": "qwen3",
    "hidden_size": 1_024,
    "intermediate_size": 3_072,
    "num_hidden_layers": 28,
    "num_attention_heads": 16,
    "num_key_value_heads": 8,
    "head_dim": 128,
    "vocab_size": 151_936,
    "max_position_embeddings": 40_960,
    "rms_norm_eps": 1e-6,
    "rope_theta": 1_000_000.0,
    "tie_word_embeddings": True,
}
_LLAMA32_1B = {
    "model_type": "llama",
    "hidden_size": 2_048,
    "intermediate_size": 8_192,
    "num_hidden_layers": 16,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "head_dim": 64,
    "vocab_size": 128_256,
    "max_position_embeddings": 131_072,
    "rms_norm_eps": 1e-5,
    "rope_theta": 500_000.0,
    "rope_scaling": {
        "rope_type": "llama3",
        "factor": 32.0,
        "high_freq_factor": 4.0,
        "low_freq_factor": 1.0,
        "original_max_position_embeddings": 8_192,
    },
    "tie_word_embeddings": True,
}
SHAPES = {
    shape.name: shape
    for shape in (
        Shape("tiny", _llama(128, 2, 2) | {"vocab_size": 1_000}),
        Shape("llama-30m", _llama(512, 6, 8)),
        Shape("llama-120m", _llama(1_024, 8, 16)),
        Shape("llama-120m-4bit", _llama(1_024, 8, 16), bits=4),
        Shape("qwen3-0.6b-4bit", _QWEN3_600M, bits=4),
        Shape("llama-3.2-1b-4bit", _LLAMA32_1B, bits=4),
    )
}


def make_model(shape: Shape, folder: Path) -> None:
    """Write weights, ``config.json`` and a tokenizer of invented words into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    config = dict(shape.config)
    model = _model_class(config)
    if shape.bits is not None:
        model.set_dtype(mx.bfloat16)
        nn.quantize(model, group_size=_GROUP_SIZE, bits=shape.bits)
        config["quantization"] = {"group_size": _GROUP_SIZE, "bits": shape.bits}
    weights = dict(tree_flatten(model.parameters()))
    mx.save_safetensors(str(folder / "model.safetensors"), weights, metadata={"format": "mlx"})
    del model, weights
    mx.clear_cache()
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    _make_tokenizer(shape.vocab_size, folder)


def _model_class(config: Mapping[str, Any]) -> nn.Module:
    from mlx_lm.utils import _get_classes

    model_class, arguments = _get_classes(dict(config))
    mx.random.seed(0)
    model = model_class(arguments.from_dict(config))
    mx.eval(model.parameters())
    return model


def _make_tokenizer(vocab_size: int, folder: Path) -> None:
    words = {f"w{index}": index for index in range(vocab_size)}
    library = tokenizers.Tokenizer(WordLevel(words, unk_token="w0"))
    library.pre_tokenizer = WhitespaceSplit()
    library.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text("{}", encoding="utf-8")
