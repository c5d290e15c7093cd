"""Facts about this installation and about models on disk, as plain values."""

import os
import platform
from importlib import metadata
from pathlib import Path
from typing import Any

import mlx.core as mx

from mlx_backends import bundled, fast_blas
from mlx_backends.errors import MemoryLimitError, ModelError
from mlx_backends.json_file import read_json
from mlx_backends.kernels import host_encoder
from mlx_backends.models.model_config import read_model_config
from mlx_backends.models.source import model_folder
from mlx_backends.text.tokenizer import Tokenizer

_PACKAGES = (
    "mlx-backends",
    "mlx",
    "mlx-lm",
    "tokenizers",
    "tiktoken",
    "bm25s",
    "langchain-core",
    "llama-index-core",
)
# Models without a KV cache.
_ENCODERS = ("bert", "modernbert", "nomic_bert", "roberta", "xlm-roberta")
_BYTES_OF_DTYPE = {"float32": 4, "float16": 2, "bfloat16": 2}


def versions() -> dict[str, str | None]:
    """Version of Python and of each package that matters; None if it is not installed."""
    return {"python": platform.python_version()} | {name: _version(name) for name in _PACKAGES}


def platform_facts() -> dict[str, Any]:
    """What MLX runs on here. Memory in bytes."""
    blas = fast_blas.preload()
    return {
        "system": platform.platform(),
        "processors": os.cpu_count(),
        "memory_bytes": total_memory_bytes(),
        "device": "gpu" if mx.is_available(mx.gpu) else "cpu",
        "metal": mx.metal.is_available(),
        "cuda": mx.cuda.is_available(),
        "blas": f"{blas.name} ({blas.reason})",
        "blas_is_fast": blas.is_fast,
        "cpu_encoder": host_encoder.status().reason,
    }


def total_memory_bytes() -> int | None:
    """Memory of the machine, or None where the system does not say."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError):
        return None


def bundled_models() -> dict[str, dict[str, Any] | str]:
    """What each model that comes with the package needs, or why it is not there."""
    found: dict[str, dict[str, Any] | str] = {}
    for kind in bundled.KINDS:
        try:
            found[kind] = needs(bundled.path(kind))
        except ModelError as error:
            found[kind] = str(error)
    return found


def language_model(name: str) -> dict[str, Any]:
    """What a language model needs, and whether tiktoken can stand in for its tokenizer.

    Raises:
        ModelError: The model cannot be found, or its files are malformed.
    """
    folder = model_folder(name, "lm")
    config = read_model_config(folder)
    return {
        "folder": str(folder),
        "model_type": config.model_type,
        "context_window": config.context_window,
        **needs(folder),
        **kv_cache(name, folder),
        "tiktoken": Tokenizer.from_folder(folder).encoding_reason or "equal encoding",
    }


def kv_cache(name: str, folder: Path) -> dict[str, Any]:
    """Which kind of KV cache serves a language model here, with the default options.

    No weight is read: mlx-lm loads lazily, and the plan is made from shapes.
    """
    # Here, not at the top: mlx_lm takes two seconds to import.
    from mlx_lm.utils import load_model

    from mlx_backends.config import EngineConfig, memory_limit_from_environment
    from mlx_backends.engine import build
    from mlx_backends.engine.model_files import read_model_files
    from mlx_backends.models.loader import LoadedModel, pick_device, use_device
    from mlx_backends.models.paging import NotPageableError, plan_paging

    device = pick_device("auto")
    config = build.with_chunk_size(EngineConfig(model=name), device)
    try:
        with use_device(device):
            model = load_model(folder, lazy=True)[0]
            if device == mx.Device(mx.cpu):
                model.set_dtype(mx.float32)
            plan = plan_paging(model)
            if device != mx.Device(mx.cpu):
                build.check_kernels(plan)
        loaded = LoadedModel(model, device, _weight_bytes(folder))
        memory = build.divide_memory(
            loaded, plan, read_model_files(config), config, memory_limit_from_environment()
        )
    except NotPageableError as reason:
        return {"kv_cache": f"mlx-lm's own, a set a sequence, because {reason}"}
    except MemoryLimitError as error:
        return {"kv_cache": f"does not fit: {error}"}
    except Exception as error:  # whatever mlx-lm meets in a model that it cannot build
        return {"kv_cache": f"unknown: {type(error).__name__}: {error!s:.200}"}
    check = (
        "" if plan.is_tested else ", if it passes a check against mlx-lm's own when it is loaded"
    )
    return {
        "kv_cache": f"paged{check}",
        "block_size": memory.block_size,
        "pool_bytes": memory.pool_bytes,
        "pool_tokens": memory.num_tokens,
    }


def needs(folder: Path) -> dict[str, Any]:
    """Bytes that a model's weights take, and its KV cache for 1,000 tokens, as far as is known."""
    return {
        "weight_bytes": _weight_bytes(folder),
        "kv_bytes_per_1000_tokens": _kv_bytes(folder, 1_000),
    }


def _weight_bytes(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.glob("*.safetensors"))


def _kv_bytes(folder: Path, num_tokens: int) -> int | None:
    """Bytes of keys and values of full attention in every layer; None for encoders."""
    config = read_json(folder / "config.json", dict)
    config = {**config, **config.get("text_config", {})}
    try:
        num_heads = config["num_attention_heads"]
        head_dim = config.get("head_dim") or config["hidden_size"] // num_heads
        num_kv_heads = config.get("num_key_value_heads") or num_heads
        width = num_kv_heads * head_dim * config["num_hidden_layers"]
    except (KeyError, TypeError, ZeroDivisionError):
        return None
    if config.get("model_type") in _ENCODERS:
        return None
    dtype = str(config.get("torch_dtype") or config.get("dtype")).removeprefix("torch.")
    return 2 * width * num_tokens * _BYTES_OF_DTYPE.get(dtype, 2)


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
