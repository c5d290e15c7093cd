"""Calibration data: what is accepted, and the batches that are made of it."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import mlx.core as mx
import numpy as np

from mlx_backends.errors import ConfigError

SEQUENCE_LENGTH = 512
Encode = Callable[[str], list[int]]


def model_inputs(data: Any) -> list[mx.array]:
    """Calibration data as arrays, each of which a model takes as a batch.

    Args:
        data: An array of shape (batch, ...), or an iterable of such arrays or of lists of ids.

    Raises:
        ConfigError: There is no data, it is text, or an item is no array.
    """
    if data is None or isinstance(data, str | bytes):
        raise ConfigError(
            "calibration_data must be arrays of model inputs here, such as token ids of shape "
            f"(batch, length); got {type(data).__name__}."
        )
    items = [data] if isinstance(data, mx.array | np.ndarray) else list(_iterable(data))
    if any(isinstance(item, str) for item in items):
        raise ConfigError("calibration_data holds texts; quantize_model() turns texts to ids.")
    batches = [batch for batch in map(_batch, items) if batch.size]
    if not batches:
        raise ConfigError("calibration_data is empty; give at least one batch of model inputs.")
    return batches


def token_rows(data: Any, encode: Encode | None, *, length: int = SEQUENCE_LENGTH) -> mx.array:
    """Calibration data as token ids of shape (rows, length).

    Args:
        data: A text, an iterable of texts or of lists of ids, which are joined and cut; or an
            array of shape (rows, any length), which is taken as it is.
        encode: Turns a text into ids.
        length: Tokens a row; shorter data makes one shorter row.

    Raises:
        ConfigError: There is nothing in it.
    """
    if isinstance(data, mx.array | np.ndarray):
        rows = _batch(data)
        if rows.size and rows.ndim == 2:
            return rows.astype(mx.int32)
        raise ConfigError(f"calibration_data has shape {rows.shape}; it is (rows, length), not 0.")
    parts = [data] if isinstance(data, str) else list(_iterable(data))
    ids = [int(i) for part in parts for i in _ids(part, encode)]
    if len(ids) < 2:
        raise ConfigError(
            "calibration_data is empty; give texts like those the model will meet, some thousand "
            "tokens in all."
        )
    length = min(length, len(ids))
    count = len(ids) // length
    return mx.array(ids[: count * length], mx.int32).reshape(count, length)


def _ids(part: Any, encode: Encode | None) -> Sequence[int]:
    if isinstance(part, str):
        if encode is None:
            raise ConfigError("calibration_data holds texts, but no tokenizer is known here.")
        return encode(part)
    return np.array(part).reshape(-1).tolist()


def _iterable(data: Any) -> Iterable[Any]:
    if data is None or not isinstance(data, Iterable):
        raise ConfigError(
            f"calibration_data must be texts, lists of ids or arrays; got {type(data).__name__}."
        )
    return data


def _batch(item: Any) -> mx.array:
    try:
        array = item if isinstance(item, mx.array) else mx.array(np.array(item))
    except (TypeError, ValueError) as error:
        raise ConfigError(f"calibration_data holds what is no array: {error}.") from error
    return array[None] if array.ndim == 1 else array
