"""Forward passes over the pool of a GPU: one prompt by itself, or one token of many sequences."""

from collections.abc import Sequence as Seq

import mlx.core as mx

from mlx_backends.cache.kv_pool import KVPool
from mlx_backends.engine.dense_attention import dense_attention
from mlx_backends.engine.pool_access import PoolAccess


class PrefillPass:
    """New tokens of one sequence, positions ``start`` to ``stop``, exactly as they are.

    The first chunk attends to its own keys and values, a later one to all that the pool holds by
    then, gathered once a layer. It is what ``PackedPass`` has to agree with.

    Args:
        access: Where keys and values go.
        pool: The pool that it accesses.
        block_ids: Blocks of the sequence.
        start: Position of the first token.
        stop: Position after the last one.

    Attributes:
        offset: ``start``.
    """

    def __init__(
        self, access: PoolAccess, pool: KVPool, block_ids: Seq[int], start: int, stop: int
    ) -> None:
        self._access = access
        self._stop = stop
        self.offset = start
        runs = pool.slots(block_ids, start, stop)
        slots = [slot for first, end in runs for slot in range(first, end)]
        self._slots = mx.array([slots], dtype=mx.int32)
        num_blocks = -(-stop // pool.block_size)
        self._block_ids = mx.array(list(block_ids[:num_blocks]), dtype=mx.int32)

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
        if self.offset:
            first = 0 if window is None else max(0, self.offset - window + 1)
            keys, values = self._access.context(
                layer, self._block_ids, (first, self._stop), self._stop - first
            )
        return dense_attention(
            queries, keys, values, scale=scale, window=window, soft_cap=soft_cap, sinks=sinks
        )


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
