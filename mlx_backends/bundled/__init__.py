"""The demonstration models that ship with the package.

Owns where their folders are. Loads nothing: callers pass the folder to the ordinary loaders.
"""

from pathlib import Path

from mlx_backends.config import ModelKind
from mlx_backends.errors import ModelNotFoundError

KINDS: tuple[ModelKind, ...] = ("lm", "encoder", "reranker")


def path(kind: ModelKind) -> Path:
    """Return the folder of a bundled model, in Hugging Face layout.

    Args:
        kind: ``"lm"`` for the chat model, ``"encoder"`` for the sentence encoder, ``"reranker"``
            for the cross-encoder.

    Raises:
        ModelNotFoundError: If there is no such model or its files are missing.
    """
    folder = Path(__file__).parent / kind
    if kind not in KINDS or not (folder / "config.json").is_file():
        raise ModelNotFoundError(
            f"There is no bundled model {kind!r}; the bundled models are: {', '.join(KINDS)}. "
            "Reinstall the package if its files are missing, or name a model of your own."
        )
    return folder
