"""Which schemas refer to themselves, and the schema that one names at its top."""

import pytest

from mlx_backends.grammar.references import refers_to_itself, unfolded

LEAF = {"type": "integer"}


def ref(name: str, place: str = "$defs") -> dict:
    return {"$ref": f"#/{place}/{name}"}


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ({"type": "object"}, False),
        ({"$defs": {"a": LEAF}, "properties": {"x": ref("a"), "y": ref("a")}}, False),
        ({"$defs": {"a": ref("b"), "b": ref("c"), "c": LEAF}, **ref("a")}, False),
        ({"$defs": {"a": {"items": ref("a")}}, **ref("a")}, True),
        ({"$defs": {"a": {"anyOf": [LEAF, ref("b")]}, "b": {"items": [ref("a")]}}}, True),
        ({"definitions": {"a": {"items": ref("a", "definitions")}}}, True),
        ({"$defs": {"a": ref("missing")}}, False),
        ({"$defs": {"a": {"properties": {"$ref": LEAF}}}}, False),  # a property of that name
    ],
)
def test_schemas_that_refer_to_themselves(schema, expected):
    assert refers_to_itself(schema) is expected


def test_the_schema_at_the_top():
    tree = {"type": "object", "properties": {"left": ref("tree")}}
    assert unfolded({"$defs": {"tree": tree}, **ref("tree")}) == {"$defs": {"tree": tree}, **tree}
    assert unfolded(tree) == tree
    assert unfolded({"$ref": "#"}) == {"$ref": "#"}
