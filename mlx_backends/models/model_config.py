"""A language model's ``config.json``, checked against hard bounds before anything is built.

mlx-lm builds a model of whatever size the file asks for, so a hostile or damaged file could hang
the process (``num_hidden_layers`` of a million) or crash it. Only what the engine itself needs is
read here; the model class reads the rest.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlx_backends.errors import ModelLoadError, UnsupportedModelError
from mlx_backends.json_file import read_json

DEFAULT_CONTEXT_WINDOW = 4_096

# Far above every published model, low enough that building the module tree takes seconds.
_BOUNDS = {
    "num_hidden_layers": 1_024,
    "n_layers": 1_024,
    "n_layer": 1_024,
    "hidden_size": 131_072,
    "n_embd": 131_072,
    "intermediate_size": 1_048_576,
    "moe_intermediate_size": 1_048_576,
    "num_attention_heads": 4_096,
    "n_head": 4_096,
    "num_key_value_heads": 4_096,
    "head_dim": 8_192,
    "vocab_size": 16_777_216,
    "num_experts": 8_192,
    "num_local_experts": 8_192,
    "n_routed_experts": 8_192,
    "max_position_embeddings": 1_000_000_000,
    "n_positions": 1_000_000_000,
    "max_sequence_length": 1_000_000_000,
}
_CONTEXT_NAMES = ("max_position_embeddings", "n_positions", "max_sequence_length", "seq_length")
_QUANTIZATION_BITS = range(1, 9)
_QUANTIZATION_GROUPS = (16, 32, 64, 128)


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """What the engine needs to know about a language model before it is loaded.

    Attributes:
        model_type: mlx-lm's name of the architecture.
        vocab_size: Rows of the embedding table: every token id is below it; None if not stated.
        context_window: Most positions, prompt and completion together, in tokens.
    """

    model_type: str
    vocab_size: int | None
    context_window: int


def read_model_config(folder: Path) -> ModelConfig:
    """Read and check ``config.json``.

    Raises:
        ModelLoadError: The file is missing, malformed or out of bounds.
        UnsupportedModelError: The model asks for code of its own.
    """
    config = read_json(folder / "config.json", dict)
    if "model_file" in config:
        raise UnsupportedModelError(
            f"{folder}: config.json asks to run {config['model_file']!r:.200} from the model "
            "folder. This package never runs code that comes with a model."
        )
    model_type = config.get("model_type")
    if not isinstance(model_type, str) or re.fullmatch(r"\w{1,64}", model_type) is None:
        raise ModelLoadError(f"{folder}: config.json has no usable model_type: {model_type!r:.80}.")
    text_config = config.get("text_config", {})
    if not isinstance(text_config, dict):
        raise ModelLoadError(f"{folder}: text_config in config.json is not an object.")
    for section in (config, text_config):
        _check_bounds(folder, section)
    checked_quantization(folder, config.get("quantization"))
    merged = {**text_config, **config}
    return ModelConfig(model_type, merged.get("vocab_size"), _context_window(merged))


def _check_bounds(folder: Path, section: dict[str, Any]) -> None:
    for name, high in _BOUNDS.items():
        value = section.get(name)
        # Some architectures give a list, one entry a layer.
        for number in value if isinstance(value, list) else [value]:
            if number is None:
                continue
            if not isinstance(number, int) or isinstance(number, bool) or not 0 <= number <= high:
                raise ModelLoadError(
                    f"{folder}: {name} in config.json must be an integer from 0 to {high:,}; "
                    f"got {number!r:.80}."
                )


def checked_quantization(folder: Path, quantization: Any) -> dict[str, Any] | None:
    """The ``quantization`` of a ``config.json`` as it is, or None if there is none.

    Raises:
        ModelLoadError: It is malformed or out of bounds.
    """
    if quantization is None:
        return None
    if not isinstance(quantization, dict):
        raise ModelLoadError(f"{folder}: quantization in config.json is not an object.")
    bits, group_size = quantization.get("bits"), quantization.get("group_size")
    if bits not in _QUANTIZATION_BITS or group_size not in _QUANTIZATION_GROUPS:
        raise ModelLoadError(
            f"{folder}: quantization in config.json must have bits from 1 to 8 and a group_size "
            f"of 16, 32, 64 or 128; got bits={bits!r:.40}, group_size={group_size!r:.40}."
        )
    return quantization


def _context_window(config: dict[str, Any]) -> int:
    for name in _CONTEXT_NAMES:
        value = config.get(name)
        if isinstance(value, int) and value > 0:
            return value
    return DEFAULT_CONTEXT_WINDOW
