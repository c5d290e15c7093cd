"""Where a model's folder keeps its chat templates."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mlx_backends.errors import ModelLoadError
from mlx_backends.json_file import read_bytes
from mlx_backends.text.template_renderer import MAX_TEMPLATE_BYTES


def read_chat_templates(folder: Path, config: Mapping[str, Any]) -> dict[str, str]:
    """The templates of the ``.jinja`` files by name, else those of ``tokenizer_config.json``.

    Raises:
        ModelLoadError: A template is too large or is not text.
    """
    files = {path.stem: path for path in sorted(folder.glob("additional_chat_templates/*.jinja"))}
    if (folder / "chat_template.jinja").is_file():
        files["default"] = folder / "chat_template.jinja"
    if files:
        return {name: _read_text(path, MAX_TEMPLATE_BYTES) for name, path in files.items()}
    templates = _named_templates(config.get("chat_template"))
    for name, source in templates.items():
        if len(source.encode("utf-8", "surrogatepass")) > MAX_TEMPLATE_BYTES:
            raise ModelLoadError(
                f"tokenizer_config.json: the chat template {name!r:.40} is larger than "
                f"{MAX_TEMPLATE_BYTES:,} bytes."
            )
    return templates


def _named_templates(value: object) -> dict[str, str]:
    if value is None:
        return {}
    if isinstance(value, str):
        return {"default": value}
    entries: Sequence[Any] = value if isinstance(value, list) else [value]
    templates: dict[str, str] = {}
    for entry in entries:
        name = entry.get("name") if isinstance(entry, Mapping) else None
        source = entry.get("template") if isinstance(entry, Mapping) else None
        if not isinstance(name, str) or not isinstance(source, str):
            raise ModelLoadError(
                "tokenizer_config.json: chat_template is neither a text nor a list of objects "
                "with a name and a template."
            )
        templates[name] = source
    return templates


def _read_text(path: Path, max_bytes: int) -> str:
    try:
        return read_bytes(path, max_bytes).decode("utf-8")
    except UnicodeDecodeError as error:
        raise ModelLoadError(f"{path.name} is not UTF-8: {error}") from error
