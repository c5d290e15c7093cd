"""Projections of pooled vectors: the ``Dense`` steps of sentence-transformers."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import mlx.core as mx
import mlx.nn as nn

from mlx_backends.errors import ModelLoadError, UnsupportedModelError
from mlx_backends.json_file import read_json
from mlx_backends.models.encoders.loader import load_weights, read_weights

_ACTIVATIONS: dict[str, Callable[[mx.array], mx.array]] = {
    "Identity": lambda x: x,
    "Tanh": mx.tanh,
    "ReLU": nn.relu,
    "GELU": nn.gelu,
}
_MAX_FEATURES = 65_536


@dataclass(frozen=True, slots=True, kw_only=True)
class DenseDescription:
    """One projection.

    Attributes:
        folder: Holds its weights.
        in_features, out_features: Lengths of vectors before and after.
        has_bias: Whether it adds a vector.
        activation: Name of what follows.
    """

    folder: Path
    in_features: int
    out_features: int
    has_bias: bool
    activation: str


class Dense(nn.Module):
    """Vectors to vectors; float32, as there are few of them."""

    def __init__(self, description: DenseDescription) -> None:
        super().__init__()
        self.linear = nn.Linear(
            description.in_features, description.out_features, bias=description.has_bias
        )
        self._activation = _ACTIVATIONS[description.activation]

    def __call__(self, vectors: mx.array) -> mx.array:
        return self._activation(self.linear(vectors))


def load_dense(description: DenseDescription) -> Dense:
    """The projection with its weights.

    Raises:
        ModelLoadError: They are missing, malformed or do not fit the description.
    """
    made = Dense(description)
    load_weights(made, read_weights(description.folder), description.folder)
    made.set_dtype(mx.float32)
    mx.eval(made.parameters())
    return made


def read_dense(folder: Path, *, in_features: int) -> DenseDescription:
    """Read and check a step's ``config.json``.

    Raises:
        ModelLoadError: It is missing or malformed, or takes vectors of another length.
        UnsupportedModelError: Its activation, or a residual, is not implemented.
    """
    config = read_json(folder / "config.json", dict)
    stated, out = config.get("in_features"), config.get("out_features")
    if stated != in_features:
        raise ModelLoadError(
            f"{folder}: in_features in config.json is {stated!r:.80}; the step before gives "
            f"{in_features}."
        )
    if not isinstance(out, int) or isinstance(out, bool) or not 1 <= out <= _MAX_FEATURES:
        raise ModelLoadError(
            f"{folder}: out_features in config.json must be an integer from 1 to "
            f"{_MAX_FEATURES:,}; got {out!r:.80}."
        )
    # The class's default, which files of old versions rest on.
    activation = str(config.get("activation_function", "Tanh") or "Identity").rpartition(".")[2]
    if config.get("use_residual", False) is not False:
        raise UnsupportedModelError(f"{folder}: a Dense step with use_residual is not supported.")
    if activation not in _ACTIVATIONS:
        raise UnsupportedModelError(
            f"{folder}: the activation {activation!r:.80} is not supported; supported are: "
            f"{', '.join(_ACTIVATIONS)}."
        )
    return DenseDescription(
        folder=folder,
        in_features=in_features,
        out_features=out,
        has_bias=config.get("bias", True) is True,
        activation=activation,
    )
