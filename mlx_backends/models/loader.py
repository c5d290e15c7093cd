"""Loads a language model's weights into mlx-lm's model class. Runs on the MLX thread only."""

import resource
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import mlx.core as mx
import mlx.nn as nn
from mlx.utils import tree_flatten, tree_map

from mlx_backends.config import Device, DType
from mlx_backends.errors import MemoryLimitError, ModelLoadError, UnsupportedModelError
from mlx_backends.kernels.device import keep_compiled_kernels
from mlx_backends.models import byte_weights, cpu_layers, device_layers, rounded_inputs, safetensors
from mlx_backends.models.adapters import apply_adapter, fuse_adapter
from mlx_backends.models.byte_weights import ByteWeight
from mlx_backends.models.unpack_rule import UnpackRule
from mlx_backends.sparsity import model_files as sparse_files
from mlx_backends.sparsity.layers import SparseLinear, unpack_for_cpu

# MLX's CPU backend multiplies quantized matrices slower than dense ones, so small models are
# unpacked once (docs/architecture.md).
MAX_UNPACKED_BYTES = 2 * 2**30


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A model that is ready to run.

    Attributes:
        model: mlx-lm's model: ``model(token_ids, cache=...)`` -> logits.
        device: Where it runs.
        weight_bytes: Bytes that its weights hold.
        byte_weights: Weights to hold as bytes too, until they are entered.
    """

    model: nn.Module
    device: mx.Device
    weight_bytes: int
    byte_weights: list[ByteWeight] = field(default_factory=list)


def use_device(device: mx.Device) -> AbstractContextManager[Any]:
    """Context in which MLX operations of this thread run on the device."""
    return mx.stream(device)


def pick_device(name: Device) -> mx.Device:
    """The MLX device of a setting.

    Raises:
        UnsupportedModelError: A GPU was asked for and MLX has none here.
    """
    has_gpu = mx.is_available(mx.gpu)
    if name == "gpu" and not has_gpu:
        raise UnsupportedModelError(
            "device='gpu' was asked for, but this MLX build has no GPU. Use device='auto' or 'cpu'."
        )
    return mx.Device(mx.cpu if name == "cpu" or not has_gpu else mx.gpu)


def load_language_model(
    folder: Path,
    *,
    device: Device,
    dtype: DType,
    memory_limit_bytes: int | None,
    adapter: Path | None = None,
) -> LoadedModel:
    """Load a model folder, and an adapter folder on top of it if one is given.

    Raises:
        ModelLoadError: A file is missing or malformed, or the weights do not fit the config.
        UnsupportedModelError: mlx-lm has no such architecture, or the device is missing.
        MemoryLimitError: The weights alone exceed the budget.
    """
    _check_budget(folder, _file_bytes(folder), memory_limit_bytes)
    chosen = pick_device(device)
    with use_device(chosen):
        loaded = prepare_model(folder, chosen, dtype, adapter)
        _check_budget(folder, loaded.weight_bytes, memory_limit_bytes)
        mx.eval(loaded.model.parameters())
        byte_weights.enter_all(loaded.model, loaded.byte_weights)
    return loaded


def prepare_model(
    folder: Path, device: mx.Device, dtype: DType, adapter: Path | None = None
) -> LoadedModel:
    """A model as it will run, of which no weight has been read yet.

    Raises:
        ModelLoadError, UnsupportedModelError: As in ``load_language_model``.
    """
    model, config = read_model(folder)
    if adapter is not None:
        apply_adapter(model, adapter)
    rounded_inputs.replace_unsupported(model, config)
    weights = _prepare_for_device(model, device, dtype)
    rounded_inputs.install_from_config(model, config)
    weight_bytes = parameter_bytes(model) + sum(weight.nbytes for weight in weights)
    return LoadedModel(model, device, weight_bytes, weights)


def _check_budget(folder: Path, weight_bytes: int, limit: int | None) -> None:
    if limit is not None and weight_bytes > limit:
        raise MemoryLimitError(
            f"{folder.name} needs {weight_bytes:,} bytes for its weights; the memory limit is "
            f"{limit:,}. Raise memory_limit_bytes or MLX_BACKENDS_MEMORY_LIMIT, or take a "
            "smaller or quantized model."
        )


def read_model(folder: Path) -> tuple[nn.Module, dict[str, Any]]:
    """mlx-lm's model with weights that are read when they are first used, and ``config.json``.

    Raises:
        ModelLoadError: A file is missing or malformed, or the weights do not fit the config.
        UnsupportedModelError: mlx-lm has no such architecture.
    """
    for file in _weight_files(folder):
        safetensors.validate(file)
    with kept_file_limit():
        from mlx_lm.utils import load_model
    try:
        return load_model(
            folder,
            lazy=True,
            trust_remote_code=False,
            get_model_classes=sparse_files.model_classes,
        )
    except Exception as error:  # mlx-lm raises whatever the model class meets
        if "not supported" in str(error):
            raise UnsupportedModelError(f"{folder}: {error}") from error
        raise ModelLoadError(
            f"{folder} could not be loaded: {type(error).__name__}: {error!s:.500}"
        ) from error


def _weight_files(folder: Path) -> list[Path]:
    files = sorted(folder.glob("model*.safetensors"))
    if not files:
        raise ModelLoadError(f"{folder} holds no model*.safetensors.")
    return files


def _file_bytes(folder: Path) -> int:
    return sum(file.stat().st_size for file in _weight_files(folder))


def _prepare_for_device(model: nn.Module, device: mx.Device, dtype: DType) -> list[ByteWeight]:
    """Make a model what runs on a device; returns weights that are also at hand as bytes."""
    is_cpu = device == mx.Device(mx.cpu)
    is_unpacked = is_cpu and _unpacked_bytes(model) <= MAX_UNPACKED_BYTES
    new_dtype = mx.float32 if dtype == "auto" else getattr(mx, dtype)
    is_cast, weights = dtype != "auto" or is_cpu, list[ByteWeight]()
    if is_cast:
        _cast(model, new_dtype)  # scales too, so that weights are unpacked in the new type
    if is_unpacked:
        weights = byte_weights.unpack(model)
        _cast(model, new_dtype)  # what formats without float scales make
        fuse_adapter(model)
        unpack_for_cpu(model)  # after the cast, so that quantized entries are not rounded again
    if is_cpu:
        cpu_layers.install(model)
    else:
        rule = UnpackRule(keep_compiled_kernels()) if mx.cuda.is_available() else None
        device_layers.install(model, rule)
    return weights


def _unpacked_bytes(model: nn.Module) -> int:
    """Bytes of the model with every quantized and sparse layer as float32."""
    quantized = [m for _, m in model.named_modules() if hasattr(m, "bits") and "scales" in m]
    unpacked = sum(m.weight.size * 32 // m.bits * 4 for m in quantized)
    unpacked += sum(m.size * 4 for m in model.modules() if isinstance(m, SparseLinear))
    return unpacked + parameter_bytes(model)


def parameter_bytes(model: nn.Module) -> int:
    """Bytes that a model's arrays hold."""
    arrays = [array for _, array in tree_flatten(model.parameters())]
    return sum(array.nbytes for array in arrays if isinstance(array, mx.array))


def _cast(model: nn.Module, dtype: mx.Dtype) -> None:
    def cast(array: mx.array) -> mx.array:
        # Block scales of the fp4 and fp8 formats are uint8 and stay.
        return array.astype(dtype) if mx.issubdtype(array.dtype, mx.floating) else array

    model.update(tree_map(cast, model.parameters()))


@contextmanager
def kept_file_limit() -> Iterator[None]:
    """Undo what importing mlx_lm does to the process: it lowers the open-files limit."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        yield
    finally:
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        except ValueError:  # only the superuser may raise the hard limit again
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
