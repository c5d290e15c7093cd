"""Families of facts: how each kind is stated and asked for."""

from mlx_backends.bundled.training.families.fact import Fact
from mlx_backends.bundled.training.families.held_out import (
    HELD_OUT,
    HELD_OUT_RELATIONS,
    HELD_OUT_REWORDED,
)
from mlx_backends.bundled.training.families.registry import (
    ALL_TRAINED,
    FAMILIES,
    TYPED_FAMILIES,
)

__all__ = [
    "ALL_TRAINED",
    "FAMILIES",
    "HELD_OUT",
    "HELD_OUT_RELATIONS",
    "HELD_OUT_REWORDED",
    "TYPED_FAMILIES",
    "Fact",
]
