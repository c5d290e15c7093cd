"""Low-rank adapters that mlx-lm trained: LoRA, DoRA, or a full fine-tune of some layers.

Sources: Hu et al. 2021, "LoRA" (arXiv:2106.09685); Liu et al. 2024, "DoRA" (arXiv:2402.09353).
"""

from pathlib import Path

import mlx.nn as nn
from mlx.utils import tree_unflatten

from mlx_backends.errors import ModelLoadError
from mlx_backends.json_file import read_json
from mlx_backends.models import safetensors

_CONFIG = "adapter_config.json"
_WEIGHTS = "adapters.safetensors"


def apply_adapter(model: nn.Module, folder: Path) -> None:
    """Put an adapter's layers into a model, of which no weight need have been read yet.

    Args:
        model: mlx-lm's model.
        folder: What ``mlx_lm.lora`` wrote: ``adapter_config.json`` and ``adapters.safetensors``.

    Raises:
        ModelLoadError: A file is missing or malformed, or the adapter belongs to another model.
    """
    read_json(folder / _CONFIG, dict)
    if not (folder / _WEIGHTS).is_file():
        raise ModelLoadError(f"{folder} is no adapter: it has no {_WEIGHTS}.")
    safetensors.validate(folder / _WEIGHTS)
    from mlx_lm.tuner.utils import load_adapters

    try:
        load_adapters(model, str(folder))
    except Exception as error:  # whatever a config of another shape makes mlx-lm meet
        raise ModelLoadError(
            f"The adapter {folder} does not fit this model: {type(error).__name__}: {error!s:.500}"
        ) from error
    model.eval()  # a dropout of training is not for serving


def fuse_adapter(model: nn.Module) -> None:
    """Add each adapter to the dense weight it belongs to, so that it costs nothing to run."""
    fused = [(name, module.fuse()) for name, module in model.named_modules() if _can_fuse(module)]
    if fused:
        model.update_modules(tree_unflatten(fused))


def _can_fuse(module: nn.Module) -> bool:
    base = getattr(module, "linear", None) or getattr(module, "embedding", None)
    return hasattr(module, "fuse") and isinstance(base, nn.Linear | nn.Embedding)
