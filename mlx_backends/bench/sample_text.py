"""English prose that comes with the package: what its own modules say of themselves.

For measuring how a variant of a model differs from the model, where nobody gives a text. It says
nothing of how good the model is at anything.
"""

import ast
from importlib.resources import files
from pathlib import Path

from mlx_backends.errors import ConfigError

_MAX_BYTES = 200_000


def read(path: Path | None) -> str:
    """A file's text, or the documentation strings of this package.

    Raises:
        ConfigError: The file cannot be read.
    """
    if path is None:
        return _documentation()
    try:
        return path.read_text(encoding="utf-8")[:_MAX_BYTES]
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read as text: {error}.") from error


def _documentation() -> str:
    texts = []
    for part in ("engine", "cache", "kernels", "text", "retrieval"):
        folder = files("mlx_backends").joinpath(part)
        for file in sorted(folder.iterdir(), key=lambda file: file.name):
            if file.name.endswith(".py"):
                texts.append(ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or "")
    return "\n\n".join(texts)[:_MAX_BYTES]
