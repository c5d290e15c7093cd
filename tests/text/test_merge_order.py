import itertools
import random

import pytest

from mlx_backends.text.merge_order import Merges


def merged(tokens: dict[bytes, int], data: bytes) -> list[bytes]:
    """The specification: join the neighbours of the lowest rank, leftmost first."""
    parts = [bytes([byte]) for byte in data]
    while True:
        ranks = [tokens.get(a + b, len(tokens)) for a, b in itertools.pairwise(parts)]
        if not ranks or min(ranks) == len(tokens):
            return parts
        at = ranks.index(min(ranks))
        parts[at : at + 2] = [parts[at] + parts[at + 1]]


@pytest.mark.parametrize("seed", range(30))
def test_agrees_with_merging_the_bytes(seed):
    rng = random.Random(seed)
    letters = b"ab" if seed % 2 else b"abc"
    names = [bytes([byte]) for byte in range(256)]
    tokens = {name: rank for rank, name in enumerate(names)}
    merges = Merges()
    for _ in range(60):
        choices = [name for name in names if set(name) <= set(letters)]
        left, right = rng.choice(choices), rng.choice(choices)
        if left + right in tokens:
            continue
        is_stable = merged(tokens, left + right) == [left, right]
        assert merges.add([(tokens[left], tokens[right])]) == is_stable
        if is_stable:
            tokens[left + right] = len(names)
            names.append(left + right)


def test_takes_the_pair_that_the_bytes_come_to():
    merges = Merges()
    a, b, ab, aa = ord("a"), ord("b"), 256, 257
    assert merges.add([(a, b)])
    assert merges.add([(a, a)])
    # "aab" comes to "a" + "ab", because "ab" is joined before "aa".
    assert not merges.add([(aa, b)])
    assert merges.add([(aa, b), (a, ab)])
