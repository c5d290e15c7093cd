"""Whether tiktoken's way of merging gives what a list of merges gives.

``tokenizers`` applies a list of merges of two tokens, first entry first. tiktoken has no list: it
joins any two neighbours whose joined bytes are a token, lowest rank first. Both give the same for
all texts if each token's bytes, merged by the lower ranks alone, end as exactly the two tokens that
the list joins to make it. (Let both have done the same so far, and let tiktoken now join x and y to
t. No merge ever crossed the ends of t, so what happened inside is what happens to t alone by lower
ranks, and that ends in the list's pair for t; so the list joins them now too.) ``Merges`` checks
that condition, in a few steps a token, and refuses what does not meet it.

Source: the check of a pair is ``is_valid_token_pair`` of the Rust crate ``bpe`` (github/rust-gems,
MIT licence), written anew.
"""

from collections.abc import Iterable


class Merges:
    """The merges added so far, by rank.

    A rank is the position of a token among the single bytes and all merged tokens.
    """

    def __init__(self, num_bytes: int = 256) -> None:
        # A single byte is its own left and right half.
        self._left = list(range(num_bytes))
        self._right = list(range(num_bytes))
        self._merged: dict[tuple[int, int], int] = {}

    def add(self, pairs: Iterable[tuple[int, int]]) -> bool:
        """Add the next token, made by any of these pairs of ranks.

        Returns:
            Whether one of the pairs is what the token's bytes come to; if not, nothing is added.
        """
        rank = len(self._left)
        for left, right in pairs:
            if self._is_stable(left, right):
                self._left.append(left)
                self._right.append(right)
                self._merged[left, right] = rank
                return True
        return False

    def _is_stable(self, left: int, right: int) -> bool:
        """Whether merging the bytes of both tokens together ends as these two tokens.

        Undoes, latest first, the merges that made the two sides, and looks at each step whether
        the tokens that touch would have been joined across the boundary before that.
        """
        limit = len(self._left)
        while True:
            joined = self._merged.get((left, right))
            if joined is not None and joined < limit:
                return False
            if left > right:
                step = self._open_left(left, right) or self._open_right(left, right)
            else:
                step = self._open_right(left, right) or self._open_left(left, right)
            if step is None:
                return True
            left, right, limit = step

    def _open_left(self, left: int, right: int) -> tuple[int, int, int] | None:
        half = self._right[left]
        return None if half == left else (half, right, left)

    def _open_right(self, left: int, right: int) -> tuple[int, int, int] | None:
        half = self._left[right]
        # Of equal ranks the leftmost is joined first: the pair across comes before this one.
        return None if half == right else (left, half, right + 1)
