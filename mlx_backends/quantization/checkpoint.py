"""The state of a training, saved whole and taken up again."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mlx.core as mx
import mlx.optimizers as optim

from mlx_backends.errors import ConfigError, OutputError
from mlx_backends.quantization.trained_weights import Arrays

_TRAINED, _OPTIMIZER = "trained/", "optimizer/"


def save(path: Path, step: int, trained: Arrays, optimizer: optim.Optimizer) -> None:
    """Write the state after ``step`` steps; the file before is replaced when this one is whole.

    Raises:
        OutputError: The file cannot be written.
    """
    content = {_TRAINED + name: array for name, array in trained.items()}
    content |= dict(_flat(optimizer.state))
    partial = path.with_name(f".{path.name}.partial.safetensors")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        mx.save_safetensors(str(partial), content, metadata={"step": str(step)})
        os.replace(partial, path)
    except (OSError, RuntimeError) as error:
        partial.unlink(missing_ok=True)
        raise OutputError(f"The checkpoint {path} cannot be written: {error}.") from error


def load(path: Path, trained: Arrays, optimizer: optim.Optimizer) -> tuple[int, Arrays]:
    """The number of steps done, and what was trained; the optimizer's state is set.

    Args:
        path: What ``save`` wrote.
        trained: What this training would begin with: names and shapes must agree.
        optimizer: Of the same kind.

    Raises:
        ConfigError: It is the checkpoint of another training, or no checkpoint.
    """
    try:
        loaded: Any = mx.load(str(path), format="safetensors", return_metadata=True)
    except RuntimeError as error:
        raise ConfigError(f"{path} is no checkpoint of a training: {error}.") from error
    content, metadata = loaded
    found = {
        name.removeprefix(_TRAINED): array
        for name, array in content.items()
        if name.startswith(_TRAINED)
    }
    if {n: a.shape for n, a in found.items()} != {n: a.shape for n, a in trained.items()}:
        raise ConfigError(
            f"{path} belongs to another training; delete it, or name another checkpoint."
        )
    optimizer.state = _nested(content)
    optimizer.init(trained)
    return int(metadata["step"]), found


def _flat(state: dict[str, Any]) -> Iterator[tuple[str, mx.array]]:
    """Arrays of an optimizer's state; names of parameters hold dots, so a slash parts levels."""
    for name, value in state.items():
        if isinstance(value, dict):
            for key, array in value.items():
                yield f"{_OPTIMIZER}{name}/{key}", array
        else:
            yield f"{_OPTIMIZER}{name}", value


def _nested(content: dict[str, mx.array]) -> dict[str, Any]:
    """The inverse of ``_flat``."""
    state: dict[str, Any] = {}
    for full, array in content.items():
        if full.startswith(_OPTIMIZER):
            name, _, key = full.removeprefix(_OPTIMIZER).partition("/")
            if key:
                state.setdefault(name, {})[key] = array
            else:
                state[name] = array
    return state
