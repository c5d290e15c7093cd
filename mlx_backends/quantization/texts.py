"""Texts from a file, to calibrate or train with."""

import json
from pathlib import Path
from typing import Any

from mlx_backends.errors import ConfigError
from mlx_backends.models.source import model_folder
from mlx_backends.text.tokenizer import Tokenizer


def read_texts(path: Path, model: str) -> list[str]:
    """Texts of a file: the whole of a text file, or one a line of a ``.jsonl`` file.

    Args:
        path: A line of ``.jsonl`` has ``text``, or ``messages``, which the model's chat template
            renders.
        model: Folder or Hub id of the model.

    Raises:
        ConfigError: The file cannot be read, is empty, or a line is malformed.
    """
    try:
        content = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read as text: {error}.") from error
    if not content.strip():
        raise ConfigError(f"{path} is empty; give texts like those the model will meet.")
    if path.suffix != ".jsonl":
        return [content]
    tokenizer: Tokenizer | None = None
    texts = []
    for number, line in enumerate(content.splitlines(), 1):
        if not line.strip():
            continue
        entry = _entry(path, number, line)
        if "messages" in entry:
            tokenizer = tokenizer or Tokenizer.from_folder(model_folder(model, "lm"))
            texts.append(
                tokenizer.apply_chat_template(
                    entry["messages"], tools=entry.get("tools"), add_generation_prompt=False
                )
            )
        else:
            texts.append(entry["text"])
    return texts


def _entry(path: Path, number: int, line: str) -> dict[str, Any]:
    try:
        entry: Any = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{path}, line {number}: not valid JSON: {error}.") from error
    is_text = isinstance(entry, dict) and isinstance(entry.get("text"), str)
    if not is_text and not (isinstance(entry, dict) and isinstance(entry.get("messages"), list)):
        raise ConfigError(f"{path}, line {number}: an object with 'text' or 'messages' is needed.")
    return entry
