"""Forward passes on a GPU: a chunk of one prompt, or one token of many sequences."""

from collections.abc import Sequence as Seq

import mlx.core as mx

from mlx_backends.cache.kv_pool import KVPool
from mlx_backends.engine.dense_attention import dense_attention
from mlx_backends.engine.pool_access import PoolAccess


class PrefillPass:
    """New tokens of one sequence, positions ``start`` to ``stop``.

    They attend to their own keys and values as they are, and to earlier ones gathered from the
    pool, once a layer.
    """

    def __init__(
        self, access: PoolAccess, pool: KVPool, block_ids: Seq[int], start: int, stop: int
    ) -> None:
        self._access = access
        self._block_size = pool.block_size
        self._block_ids = block_ids
        runs = pool.slots(block_ids, start, stop)
        slots = [slot for first, end in runs for slot in range(first, end)]
        self._slots = mx.array([slots], dtype=mx.int32)
        self._contexts: dict[int, mx.array] = {}
        self.offset = start

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
        all_keys, all_values = keys, values
        first = 0 if window is None else max(0, self.offset - window + 1)
        if first < self.offset:
            old_keys, old_values = self._context(layer, first // self._block_size)
            all_keys = mx.concatenate([old_keys, keys], axis=2)
            all_values = mx.concatenate([old_values, values], axis=2)
        self._access.append(layer, keys, values, self._slots)
        return dense_attention(
            queries,
            all_keys,
            all_values,
            scale=scale,
            window=window,
            soft_cap=soft_cap,
            sinks=sinks,
        )

    def _context(self, layer: int, first_block: int) -> tuple[mx.array, mx.array]:
        """Keys and values from a block on, up to the first new token. Shapes: (1, H, n, D)."""
        block_ids = self._contexts.get(first_block)
        if block_ids is None:
            stop_block = -(-self.offset // self._block_size)
            block_ids = mx.array(list(self._block_ids[first_block:stop_block]), dtype=mx.int32)
            self._contexts[first_block] = block_ids
        count = self.offset - first_block * self._block_size
        keys, values = self._access.context(layer, block_ids)
        return keys[:, :, :count], values[:, :, :count]


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
