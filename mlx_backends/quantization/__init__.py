"""Quantization of weights and activations: after training, with calibration, and in training.

``quantize`` works on a model in memory, ``quantize_model`` on a folder. Names load at first use:
the configuration alone needs no MLX.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlx_backends.quantization.config import QuantizationConfig
    from mlx_backends.quantization.folder import QuantizedFolder, quantize_model
    from mlx_backends.quantization.methods import quantize
    from mlx_backends.quantization.report import QuantizationReport, make_report
    from mlx_backends.quantization.training_config import TrainingConfig

_HOME = {
    "QuantizationConfig": "config",
    "QuantizationReport": "report",
    "QuantizedFolder": "folder",
    "TrainingConfig": "training_config",
    "make_report": "report",
    "quantize": "methods",
    "quantize_model": "folder",
}

__all__ = [
    "QuantizationConfig",
    "QuantizationReport",
    "QuantizedFolder",
    "TrainingConfig",
    "make_report",
    "quantize",
    "quantize_model",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
