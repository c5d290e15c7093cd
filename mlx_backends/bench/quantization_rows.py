"""Rows that need no training: rounding, calibration, activations and KV entries."""

from dataclasses import replace
from typing import Any

import mlx.core as mx

from mlx_backends.bench.quantization_row import Run, num_weights, packed_row, quantized_row, row
from mlx_backends.kernels.pool import QuantizedPool
from mlx_backends.kernels.reference import dequantize, quantize
from mlx_backends.models import rounded_inputs
from mlx_backends.models.loader import read_model
from mlx_backends.quantization.config import Algorithm, QuantizationConfig
from mlx_backends.quantization.methods import twin_of

# In both embeddings and head, of the rows at 2 and 3 bits: the same for every method.
_EMBEDDING_BITS = 4


def rounding_rows(state: Run) -> None:
    row(state, "fp32", state.model, num_bytes=4 * num_weights(state.model))
    if state.wants("bf16"):
        twin = twin_of(state.model)
        twin.set_dtype(mx.bfloat16)
        row(state, "bf16", twin, num_bytes=2 * num_weights(state.model))
    for bits in (8, 6, 5, 4, 3, 2):
        quantized_row(state, f"{bits} bits, to nearest", low(QuantizationConfig(weight_bits=bits)))
    for bits in (4, 3, 2):
        config = QuantizationConfig(weight_bits=bits, algorithm="search")
        quantized_row(state, f"{bits} bits, searched", low(config))
    for mode in ("mxfp8", "nvfp4", "mxfp4"):
        quantized_row(state, mode, QuantizationConfig(mode=mode))
    dynamic = QuantizationConfig(method="dynamic", weight_bits=8)
    quantized_row(state, "W8A8 dynamic", dynamic)
    for observer in ("minmax", "percentile", "mse"):
        config = QuantizationConfig(
            method="static", weight_bits=8, observer=observer, calibration_data=state.calibration
        )
        quantized_row(state, f"W8A8 static, {observer}", config)
    config = QuantizationConfig(
        method="static", weight_bits=8, smooth=False, calibration_data=state.calibration
    )
    quantized_row(state, "W8A8 static, minmax, not smoothed", config)
    few = state.calibration[:1, :8]
    wrong = mx.random.randint(0, 4_096, (16, 512), key=mx.random.key(0))
    for name, rows in (("8 tokens", few), ("random tokens", wrong)):
        config = QuantizationConfig(
            method="static", weight_bits=8, observer="minmax", calibration_data=rows
        )
        quantized_row(state, f"W8A8 static, minmax on {name}", config)
    for name, key_bits, value_bits in (("int8 KV", 8, 8), ("int4 KV, keys 8", 8, 4)):
        caches = [_RoundedEntries(key_bits, value_bits) for _ in state.model.layers]
        row(state, name, _WithCaches(state.model, caches))


def folder_rows(state: Run) -> None:
    for folder in state.options.folders:
        if state.wants(folder.name):
            model, settings = read_model(folder)
            keys = ("quantization", rounded_inputs.KEY, rounded_inputs.NATIVE_KEY)
            kept = {key: settings[key] for key in keys if settings.get(key)}
            packed_row(state, folder.name, model, kept)


def format_rows(state: Run) -> None:
    for mode in ("mxfp8", "nvfp4"):
        config = QuantizationConfig(method="dynamic", mode=mode)
        quantized_row(state, f"{mode}, activations too", config)


def calibrated_rows(state: Run) -> None:
    for algorithm in ("gptq", "awq"):
        for bits in (2, 3, 4):
            _algorithm_row(state, bits, algorithm)
    config = QuantizationConfig(
        weight_bits=2, high_bits=4, target_bits=3.5, algorithm="mixed",
        calibration_data=state.calibration,
    )  # fmt: skip
    quantized_row(state, "2 and 4 bits, mixed, 3.5 a weight", config)
    few = state.calibration[:1, :8]
    config = QuantizationConfig(weight_bits=2, algorithm="gptq", calibration_data=few)
    quantized_row(state, "2 bits, GPTQ on 8 tokens", low(config))


def _algorithm_row(state: Run, bits: int, algorithm: Algorithm) -> None:
    config = QuantizationConfig(
        weight_bits=bits, algorithm=algorithm, calibration_data=state.calibration
    )
    quantized_row(state, f"{bits} bits, {algorithm.upper()}", low(config))


def low(config: QuantizationConfig) -> QuantizationConfig:
    return replace(config, embedding_bits=_EMBEDDING_BITS) if config.bits < 4 else config


class _RoundedEntries:
    """A KV cache for one pass over whole sequences, whose entries are rounded as the pool's are."""

    offset = 0

    def __init__(self, key_bits: int, value_bits: int) -> None:
        self._bits = key_bits, value_bits

    def make_mask(self, length: int, **_: Any) -> str:
        return "causal"

    def update_and_fetch(self, keys: mx.array, values: mx.array) -> tuple[mx.array, mx.array]:
        key_bits, value_bits = self._bits
        return _rounded(keys, key_bits), _rounded(values, value_bits)


def _rounded(rows: mx.array, bits: int) -> mx.array:
    codes, scales = quantize(rows.reshape(1, -1, rows.shape[-1]), bits)
    kept = dequantize(QuantizedPool(codes, scales, bits))
    return kept.reshape(rows.shape).astype(rows.dtype)


class _WithCaches:
    """A model called with the same caches each time."""

    def __init__(self, model: Any, caches: list[Any]) -> None:
        self._model, self._caches = model, caches

    def __call__(self, ids: mx.array) -> mx.array:
        return self._model(ids, cache=self._caches)
