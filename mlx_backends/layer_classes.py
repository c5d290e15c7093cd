"""Gives a model's layers other classes for a while, to watch or to change what they compute."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import mlx.nn as nn


@contextmanager
def changed_classes(
    layers: Iterable[nn.Module], changed: Callable[[type[nn.Module]], type[nn.Module]]
) -> Iterator[None]:
    """Give layers other classes, made from their own, for a while."""
    before: list[tuple[Any, type[nn.Module]]] = [(layer, type(layer)) for layer in layers]
    for layer, kind in before:
        layer.__class__ = changed(kind)
    try:
        yield
    finally:
        for layer, kind in before:
            layer.__class__ = kind
