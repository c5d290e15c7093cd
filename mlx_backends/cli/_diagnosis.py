"""Facts about this installation and about models on disk, as plain values."""

import os
import platform
from importlib import metadata
from pathlib import Path
from typing import Any

import mlx.core as mx

from mlx_backends import bundled, fast_blas
from mlx_backends.errors import ModelError
from mlx_backends.json_file import read_json
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
        "tiktoken": Tokenizer.from_folder(folder).encoding_reason or "equal encoding",
    }


def needs(folder: Path) -> dict[str, Any]:
    """Bytes that a model's weights take, and its KV cache for 1,000 tokens, as far as is known."""
    weight_bytes = sum(file.stat().st_size for file in folder.glob("*.safetensors"))
    return {"weight_bytes": weight_bytes, "kv_bytes_per_1000_tokens": _kv_bytes(folder, 1_000)}


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
    if config.get("model_type") == "bert":
        return None
    dtype = str(config.get("torch_dtype") or config.get("dtype")).removeprefix("torch.")
    return 2 * width * num_tokens * _BYTES_OF_DTYPE.get(dtype, 2)


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
