"""Forward passes on a GPU: a chunk of one prompt, or one token of many sequences."""

from collections.abc import Sequence as Seq

import mlx.core as mx

from mlx_backends.cache.kv_pool import KVPool
from mlx_backends.engine.dense_attention import dense_attention
from mlx_backends.engine.pool_access import PoolAccess
from mlx_backends.kernels import MAX_QUERIES


class PrefillPass:
    """New tokens of one sequence, positions ``start`` to ``stop``, in whole tiles.

    The first chunk attends to its own keys and values as they are, a later one to all that the pool
    holds by then, gathered once a layer.

    Some GPUs prepare attention for every length anew, which costs more than the attention. So a
    pass begins and ends at multiples of ``tile``: tokens before ``start`` are computed again but
    not stored, those from ``stop`` on are padding that no token sees.

    Args:
        access: Where keys and values go.
        pool: The pool that it accesses.
        block_ids: Blocks of the sequence.
        start: Position of the first token to store.
        stop: Position after the last one.
        tile: Multiple of every length that attention sees.

    Attributes:
        offset: Position of the first token of the pass.
        last: Index in the pass of the last token to store.
    """

    def __init__(
        self,
        access: PoolAccess,
        pool: KVPool,
        block_ids: Seq[int],
        start: int,
        stop: int,
        tile: int = 1,
    ) -> None:
        self._access = access
        self._tile = tile
        self._is_first = start == 0
        self._stop = stop
        self.offset = start - start % tile
        self._end = -(-stop // tile) * tile
        self.last = stop - 1 - self.offset
        runs = pool.slots(block_ids, start, stop)
        slots = [slot for first, end in runs for slot in range(first, end)]
        before, after = [-1] * (start - self.offset), [-1] * (self._end - stop)
        self._slots = mx.array([before + slots + after], dtype=mx.int32)
        num_blocks = -(-stop // pool.block_size)
        self._block_ids = mx.array(list(block_ids[:num_blocks]), dtype=mx.int32)

    def tokens(self, token_ids: Seq[int]) -> mx.array:
        """The pass's input, from all tokens of the sequence. Shapes: returns (1, L) int32."""
        padding = [0] * (self._end - self._stop)
        return mx.array([[*token_ids[self.offset : self._stop], *padding]], dtype=mx.int32)

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
        """As in ``cache.paged_cache.ForwardPass``."""
        self._access.append(layer, keys, values, self._slots)
        if not self._is_first:
            first = 0 if window is None else max(0, self.offset - window + 1)
            first -= first % self._tile
            keys, values = self._access.context(
                layer, self._block_ids, (first, self._stop), self._end - first
            )
        return dense_attention(
            queries, keys, values, scale=scale, window=window, soft_cap=soft_cap, sinks=sinks
        )


class ExtensionPass:
    """A few new tokens of one sequence, whose context the kernels read where it is.

    No context is gathered and no length matters, so that a prompt which was seen before but for
    its end costs little more than a decode step. Tokens go in groups of eight, the most that the
    kernel takes: a group is a row of its own, with the same blocks and a longer context.

    Args:
        access: Where keys and values go.
        pool: The pool that it accesses.
        block_ids: Blocks of the sequence.
        start: Position of the first token.
        stop: Position after the last one; what fills up the last group is padding.

    Attributes:
        offset: ``start``.
        last: Index of the last token.
    """

    def __init__(
        self, access: PoolAccess, pool: KVPool, block_ids: Seq[int], start: int, stop: int
    ) -> None:
        self._access = access
        self.offset = start
        self._stop = stop
        self.last = stop - 1 - start
        groups = -(-(stop - start) // MAX_QUERIES)
        self._end = start + groups * MAX_QUERIES
        runs = pool.slots(block_ids, start, stop)
        slots = [slot for first, end in runs for slot in range(first, end)]
        self._slots = mx.array([slots + [-1] * (self._end - stop)], dtype=mx.int32)
        num_blocks, num_held = -(-self._end // pool.block_size), -(-stop // pool.block_size)
        table = [*block_ids[:num_held], *[pool.scratch_block] * (num_blocks - num_held)]
        self._block_tables = mx.array([table] * groups, dtype=mx.int32)
        ends = range(start + MAX_QUERIES, self._end + 1, MAX_QUERIES)
        self._context_lens = mx.array(list(ends), dtype=mx.int32)

    def tokens(self, token_ids: Seq[int]) -> mx.array:
        """As in ``PrefillPass``."""
        padding = [0] * (self._end - self._stop)
        return mx.array([[*token_ids[self.offset : self._stop], *padding]], dtype=mx.int32)

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
        """As in ``cache.paged_cache.ForwardPass``."""
        self._access.append(layer, keys, values, self._slots)
        _, heads, length, width = queries.shape
        groups = queries.reshape(heads, -1, MAX_QUERIES, width).transpose(1, 0, 2, 3)
        out = self._access.attend(
            layer,
            groups,
            self._block_tables,
            self._context_lens,
            scale=scale,
            window=window,
            soft_cap=soft_cap,
            sinks=sinks,
        )
        # In the order of tokens, which is how the model goes on.
        return out.transpose(0, 2, 1, 3).reshape(1, length, heads, -1).transpose(0, 2, 1, 3)


class DecodePass:
    """One new token of each sequence.

    Args:
        access: Where keys and values go.
        block_tables: (B, W) int32.
        context_lens: (B,) int32, the new token included.
    """

    def __init__(self, access: PoolAccess, block_tables: mx.array, context_lens: mx.array) -> None:
        self._access = access
        self._block_tables = block_tables
        self._context_lens = context_lens
        self.offset = context_lens - 1

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
        """As in ``cache.paged_cache.ForwardPass``."""
        return self._access.decode(
            layer,
            queries,
            keys,
            values,
            self._block_tables,
            self._context_lens,
            scale=scale,
            window=window,
            soft_cap=soft_cap,
            sinks=sinks,
        )
