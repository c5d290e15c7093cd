"""Bytes of an encoder, counted before anything is allocated."""

from pathlib import Path
from typing import Any

import mlx.core as mx

from mlx_backends.config import EmbedderConfig, RerankerConfig
from mlx_backends.errors import MemoryLimitError
from mlx_backends.models import safetensors
from mlx_backends.models.encoders.encoder import EncoderConfig
from mlx_backends.models.encoders.loader import GROUP_SIZE
from mlx_backends.models.loader import pick_device

# Arrays of a layer that are alive at once, in the widths of the hidden state, of the feed-forward
# layer and of the scores; on a CPU GELU and softmax are several operations.
_HIDDEN_ARRAYS, _INNER_ARRAYS, _SCORE_ARRAYS = 8, 4, 4
_SCALE_BYTES = 8  # a scale and a bias in float32 for a group


def weight_bytes(folder: Path, config: EmbedderConfig | RerankerConfig) -> int:
    """What the files' tensors hold once they are loaded as configured.

    Raises:
        ModelLoadError: A file is malformed.
    """
    tensors = [
        tensor for file in folder.glob("model*.safetensors") for tensor in safetensors.sizes(file)
    ]
    is_cpu = pick_device(config.device) == mx.Device(mx.cpu)
    if config.dtype == "auto" and not is_cpu and config.weight_bits is None:
        return sum(tensor.num_bytes for tensor in tensors)
    width = 2.0 if config.dtype in ("float16", "bfloat16") else 4.0
    if config.weight_bits is not None:
        width = config.weight_bits / 8 + _SCALE_BYTES / GROUP_SIZE
    return round(sum(t.num_items * width if t.is_float else t.num_bytes for t in tensors))


def batch_bytes(config: EncoderConfig, num_tokens: int, longest: int) -> int:
    """Most bytes of one batch's arrays, in float32; those of other layers are freed.

    Args:
        config: Shape of the encoder.
        num_tokens: Tokens of the batch, padding included.
        longest: Length of its rows.
    """
    shape: Any = getattr(config, "args", config)
    floats = (
        _HIDDEN_ARRAYS * num_tokens * shape.hidden_size
        + _INNER_ARRAYS * num_tokens * shape.intermediate_size
        + _SCORE_ARRAYS * num_tokens * longest * shape.num_attention_heads
    )
    return 4 * floats


def require_room(name: str, needed: int, left: int | None) -> None:
    """Refuse a model before it is loaded.

    Raises:
        MemoryLimitError: It needs more than is left.
    """
    if left is not None and needed > left:
        raise MemoryLimitError(
            f"{name} needs {needed:,} bytes for its weights and its largest batches; {left:,} are "
            "left of the memory limit. Raise MLX_BACKENDS_MEMORY_LIMIT, lower max_batch_tokens or "
            "max_length, set weight_bits=8 or 4, or take a smaller model."
        )
