"""Which families training draws from, in the order that seeds refer to."""

from typing import Any

from mlx_backends.bundled.training.families.actions import Actions
from mlx_backends.bundled.training.families.clauses import Clauses
from mlx_backends.bundled.training.families.code import CODE
from mlx_backends.bundled.training.families.concepts import TRAINED_CONCEPTS
from mlx_backends.bundled.training.families.errors import Errors, Raises
from mlx_backends.bundled.training.families.family import Family
from mlx_backends.bundled.training.families.links import Links
from mlx_backends.bundled.training.families.measures import MEASURES
from mlx_backends.bundled.training.families.projects import PROJECTS
from mlx_backends.bundled.training.families.relations import Relations
from mlx_backends.bundled.training.families.things import THINGS
from mlx_backends.bundled.training.families.triples import TRIPLES
from mlx_backends.bundled.training.families.values import VALUES

# The order decides what a seed draws.
_ORDER = (
    "attribute default limit measure command command_block allowed state duration also "
    "which_kind relation_noun environment option file requirement support kinds definition "
    "made role place returns instead format cost purpose_of order since "
).split()
_BY_NAME: dict[str, Family] = {
    family.name: family for family in (*VALUES, *CODE, *THINGS, *PROJECTS)
}
FAMILIES = [_BY_NAME.pop(name) for name in _ORDER]
assert not _BY_NAME, f"families without a place in the order: {list(_BY_NAME)}"

TYPED: list[Any] = [
    Actions(),
    Links(),
    Clauses("reason"),
    Clauses("consequence"),
    Raises(),
    Errors(),
    Relations("relation", TRAINED_CONCEPTS, weight=34.0),
]
ALL_TRAINED: list[Any] = [*FAMILIES, *MEASURES, *TRIPLES, *TYPED]
TYPED_FAMILIES = frozenset(family.name for family in TYPED)
