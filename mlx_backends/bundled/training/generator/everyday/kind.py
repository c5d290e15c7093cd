"""What an everyday tool is made from."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from mlx_backends.bundled.training.generator.invented_tool import Call


@dataclass(frozen=True, slots=True)
class Kind:
    """A tool without the dress of a framework.

    Attributes:
        name: Of the function.
        description: What it does.
        properties: JSON schema of each argument.
        call: Makes a request that needs it.
        purpose: What no other tool of a conversation may share.
        optional: Names of arguments that may be left out.
    """

    name: str
    description: str
    properties: dict[str, dict[str, Any]]
    call: Callable[[], Call]
    purpose: str
    optional: frozenset[str] = frozenset()

    @property
    def required(self) -> list[str]:
        return [name for name in self.properties if name not in self.optional]
