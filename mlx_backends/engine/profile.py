"""What a model can do, from the small files of its folder."""

import functools
import os
from dataclasses import dataclass
from pathlib import Path

from mlx_backends import bundled
from mlx_backends.json_file import read_json
from mlx_backends.models.model_config import read_model_config
from mlx_backends.models.source import BUNDLED
from mlx_backends.text.reasoning import reasoning_format
from mlx_backends.text.template_files import read_chat_templates
from mlx_backends.text.tool_formats import tool_format


@dataclass(frozen=True, slots=True)
class Profile:
    """What a language model can do.

    Attributes:
        context_window: Most tokens of prompt and completion together.
        calls_tools: Whether its chat template has a known format of tool calls.
        reasons: Whether its chat template marks reasoning.
    """

    context_window: int
    calls_tools: bool
    reasons: bool


def local_profile(model: str | None) -> Profile | None:
    """The profile of a model that is on this machine; None for a Hub id.

    Reads two or three small files, once.

    Raises:
        ModelError: A file is malformed.
    """
    if model is None or model == BUNDLED:
        return _read(bundled.path("lm"))
    folder = Path(model).expanduser()
    return _read(folder) if os.path.isdir(folder) else None


@functools.lru_cache(maxsize=64)
def _read(folder: Path) -> Profile:
    config = read_json(folder / "tokenizer_config.json", dict, default={})
    template = "\n".join(read_chat_templates(folder, config).values())
    return Profile(
        context_window=read_model_config(folder).context_window,
        calls_tools=tool_format(template, lambda _: False) is not None,
        reasons=reasoning_format(template.__contains__) is not None,
    )
