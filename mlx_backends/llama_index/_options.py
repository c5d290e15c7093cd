"""How the fields of a LlamaIndex component become the options of the engine below it."""

import os
from dataclasses import fields
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator


def _as_text(model: Any) -> Any:
    return os.fspath(model) if isinstance(model, os.PathLike) else model


ModelName = Annotated[str | None, BeforeValidator(_as_text)]
"""A Hub id or a local folder. A ``Path`` is taken too and kept as text, so that it serializes."""


def options_of(component: BaseModel, options_class: Any) -> dict[str, Any]:
    """The component's fields that are set and have a namesake in a dataclass of options."""
    names = (f.name for f in fields(options_class) if f.name in type(component).model_fields)
    return {n: value for n in names if (value := getattr(component, n)) is not None}
