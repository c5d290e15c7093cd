"""What a model of mlx-lm sees as the cache of one layer: a thin handle on the pass that runs.

A model asks its cache for ``offset`` (where the new tokens stand), for a mask, and gives it the new
keys and values. Storing them and attending to all of them is one operation of the pass, so the
handle only carries them to ``models.attention_seam``, which finds them in the attention call.
"""

from dataclasses import dataclass
from typing import Protocol

import mlx.core as mx


class ForwardPass(Protocol):
    """One run of the model over some tokens of some sequences."""

    @property
    def offset(self) -> int | mx.array:
        """Position of the first new token: of all rows, or (B,) int32 of each."""
        ...

    def attend(
        self,
        layer: int,
        queries: mx.array,
        keys: mx.array,
        values: mx.array,
        *,
        scale: float,
        window: int | None = None,
        soft_cap: float | None = None,
        sinks: mx.array | None = None,
    ) -> mx.array:
        """Store the new keys and values and attend to all of each row's so far.

        Shapes: queries (B, Hq, L, D), keys and values (B, Hkv, L, D or Dv) -> (B, Hq, L, Dv).
        A query sees the tokens up to its own, at most ``window`` of them.
        """
        ...


@dataclass(frozen=True, slots=True)
class CausalMask:
    """The mask of a paged pass: causal by definition, narrowed to a window if there is one."""

    window: int | None


@dataclass(frozen=True, slots=True)
class NewRows:
    """New keys or values on their way from ``update_and_fetch`` to the attention call."""

    cache: "PagedCache"
    array: mx.array


class PagedCache:
    """The cache of one layer during one forward pass.

    Args:
        layer: Index of the layer in the pool.
        forward_pass: What stores and attends.
        window: Tokens that the layer's own cache would keep; None is all.
        last: Index of the last new token; those after it are padding. Where every token is a row of
            its own, (n,) int32 of the rows whose logits are wanted.

    Attributes:
        last: As above.
    """

    __slots__ = ("_forward_pass", "_layer", "_window", "last")

    def __init__(
        self,
        layer: int,
        forward_pass: ForwardPass,
        window: int | None = None,
        last: int | mx.array = -1,
    ) -> None:
        self._layer = layer
        self._forward_pass = forward_pass
        self._window = window
        self.last = last

    @property
    def offset(self) -> int | mx.array:
        return self._forward_pass.offset

    def make_mask(
        self, num_tokens: int, *, return_array: bool = False, window_size: int | None = None
    ) -> CausalMask:
        """The name of the mask, which ``attend`` gets back; no array is made."""
        return CausalMask(window_size or self._window)

    def update_and_fetch(self, keys: mx.array, values: mx.array) -> tuple[NewRows, NewRows]:
        return NewRows(self, keys), NewRows(self, values)

    def attend(
        self,
        queries: mx.array,
        keys: NewRows,
        values: NewRows,
        *,
        scale: float,
        mask: CausalMask | None = None,
        soft_cap: float | None = None,
        sinks: mx.array | None = None,
    ) -> mx.array:
        """Attention of this layer; shapes as in ``ForwardPass.attend``."""
        return self._forward_pass.attend(
            self._layer,
            queries,
            keys.array,
            values.array,
            scale=scale,
            window=_narrower(self._window, mask.window if mask else None),
            soft_cap=soft_cap,
            sinks=sinks,
        )


def _narrower(first: int | None, second: int | None) -> int | None:
    if first is None or second is None:
        return first or second
    return min(first, second)
