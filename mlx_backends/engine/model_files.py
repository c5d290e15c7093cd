"""What an engine reads from a model folder without loading weights."""

from dataclasses import dataclass
from pathlib import Path

from mlx_backends.config import EngineConfig
from mlx_backends.models.model_config import read_model_config
from mlx_backends.models.source import model_folder
from mlx_backends.text.tokenizer import Tokenizer


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """A model's folder and what its small files say.

    Attributes:
        folder: Where the weights are.
        adapter: Folder of the adapter on top of them.
        tokenizer: The model's tokenizer, with its chat template.
        vocab_size: Every token id is below it.
        context_window: Most tokens of prompt and completion together.
    """

    folder: Path
    adapter: Path | None
    tokenizer: Tokenizer
    vocab_size: int
    context_window: int


def read_model_files(config: EngineConfig) -> ModelFiles:
    """Find the model, downloading it if need be, and read its small files.

    Raises:
        ModelError: The model cannot be found, is malformed or is not supported.
    """
    folder = model_folder(config.model, "lm", config.revision)
    model_config = read_model_config(folder)
    tokenizer = Tokenizer.from_folder(folder)
    window = model_config.context_window
    return ModelFiles(
        folder=folder,
        adapter=None if config.adapter_path is None else Path(config.adapter_path).expanduser(),
        tokenizer=tokenizer,
        vocab_size=model_config.vocab_size or tokenizer.vocab_size,
        context_window=min(window, config.max_model_len or window),
    )
