"""Checks of an encoder's ``config.json``, made before anything is built from its numbers."""

import math
from collections.abc import Mapping
from typing import Any

from mlx_backends.errors import ModelLoadError, UnsupportedModelError

# Far above every published encoder, low enough that building the module tree takes no time.
_BOUNDS = {
    "vocab_size": 16_777_216,
    "hidden_size": 65_536,
    "num_hidden_layers": 512,
    "num_attention_heads": 1_024,
    "num_key_value_heads": 1_024,
    "head_dim": 4_096,
    "intermediate_size": 262_144,
    "max_position_embeddings": 16_777_216,
    "type_vocab_size": 1_024,
    "local_attention": 1_048_576,
    "sliding_window": 16_777_216,
    "global_attn_every_n_layers": 512,
    "sliding_window_pattern": 512,
    "pad_token_id": 16_777_216,
}


def require_sizes(values: Mapping[str, Any], *names: str) -> None:
    """Raise ``ModelLoadError`` unless each is an integer from 1 to what is plausible for it."""
    for name in names:
        _require_integer(name, values.get(name), 1)


def require_index(name: str, value: object) -> None:
    """Raise ``ModelLoadError`` unless this is an integer from 0 to what is plausible for it."""
    _require_integer(name, value, 0)


def require_heads(values: Mapping[str, Any]) -> None:
    """Raise ``ModelLoadError`` unless the heads divide the hidden size."""
    size, heads = values["hidden_size"], values["num_attention_heads"]
    if size % heads:
        raise ModelLoadError(
            f"hidden_size {size} in config.json is not divisible by num_attention_heads {heads}."
        )


def require_epsilon(name: str, value: object) -> None:
    """Raise ``ModelLoadError`` unless this can be added to a variance."""
    if not _is_number(value) or not 0 < value < 1:  # type: ignore[operator]
        raise ModelLoadError(f"{name} in config.json must lie between 0 and 1; got {value!r:.80}.")


def require_positive(name: str, value: object) -> None:
    """Raise ``ModelLoadError`` unless this is a finite number above 0."""
    if not _is_number(value) or value <= 0:  # type: ignore[operator]
        raise ModelLoadError(f"{name} in config.json must be above 0; got {value!r:.80}.")


def require_choice(name: str, value: object, supported: tuple[object, ...]) -> None:
    """Raise ``UnsupportedModelError`` unless the value is one that is implemented."""
    if not isinstance(value, str | int | float | bool | None) or value not in supported:
        raise UnsupportedModelError(
            f"{name} {value!r:.80} in config.json is not supported; encoders with "
            f"{', '.join(map(str, supported))} are."
        )


def mapping(config: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """An object inside the config; empty if it is absent.

    Raises:
        ModelLoadError: It is something else.
    """
    value = config.get(name) or {}
    if not isinstance(value, dict):
        raise ModelLoadError(f"{name} in config.json is not an object.")
    return value


def _require_integer(name: str, value: object, low: int) -> None:
    high = _BOUNDS[name]
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise ModelLoadError(
            f"{name} in config.json must be an integer from {low} to {high:,}; got {value!r:.80}."
        )


def _is_number(value: object) -> bool:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and math.isfinite(value)  # type: ignore[arg-type]
