"""Texts and items from a file, to calibrate, train or measure with."""

import json
from pathlib import Path
from typing import Any

from mlx_backends.errors import ConfigError
from mlx_backends.models.source import model_folder
from mlx_backends.quantization.quality import Item
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
    if path.suffix != ".jsonl":
        return [_read(path)]
    entries = _entries(path)
    if not any("messages" in entry for entry in entries):
        return [entry["text"] for entry in entries]
    tokenizer = Tokenizer.from_folder(model_folder(model, "lm"))
    return [
        tokenizer.apply_chat_template(
            entry["messages"], tools=entry.get("tools"), add_generation_prompt=False
        )
        if "messages" in entry
        else entry["text"]
        for entry in entries
    ]


def read_items(path: Path, model: str) -> list[Item]:
    """Items to measure a model on: chats whose last message is the right answer.

    Args:
        path: A ``.jsonl`` file; every line has ``messages``, the last one the assistant's.
        model: Folder or Hub id of the model.

    Raises:
        ConfigError: The file cannot be read, is empty, or a line is malformed.
    """
    tokenizer = Tokenizer.from_folder(model_folder(model, "lm"))
    return [_item(path, tokenizer, entry) for entry in _entries(path)]


def _item(path: Path, tokenizer: Tokenizer, entry: dict[str, Any]) -> Item:
    messages = entry.get("messages", [])
    if len(messages) < 2 or messages[-1].get("role") != "assistant":
        raise ConfigError(f"{path}: an item has 'messages', and the last is the assistant's.")
    tools = entry.get("tools")
    prompt = tokenizer.apply_chat_template(messages[:-1], tools=tools)
    whole = tokenizer.apply_chat_template(messages, tools=tools, add_generation_prompt=False)
    if not whole.startswith(prompt):
        raise ConfigError(f"{path}: the chat template does not write the answer after the prompt.")
    start, answer = tokenizer.encode(prompt), tokenizer.encode(whole.removeprefix(prompt))
    # What the template writes after the end of the turn is not the model's.
    ends = [place for place, i in enumerate(answer) if i in tokenizer.eos_token_ids]
    answer = answer[: ends[0] + 1] if ends else answer
    return Item(start + answer, len(start), str(entry.get("group", "")))


def _read(path: Path) -> str:
    try:
        content = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read as text: {error}.") from error
    if not content.strip():
        raise ConfigError(f"{path} is empty; give texts like those the model will meet.")
    return content


def _entries(path: Path) -> list[dict[str, Any]]:
    lines = enumerate(_read(path).splitlines(), 1)
    return [_entry(path, number, line) for number, line in lines if line.strip()]


def _entry(path: Path, number: int, line: str) -> dict[str, Any]:
    try:
        entry: Any = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{path}, line {number}: not valid JSON: {error}.") from error
    is_text = isinstance(entry, dict) and isinstance(entry.get("text"), str)
    if not is_text and not (isinstance(entry, dict) and isinstance(entry.get("messages"), list)):
        raise ConfigError(f"{path}, line {number}: an object with 'text' or 'messages' is needed.")
    return entry
