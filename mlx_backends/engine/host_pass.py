"""Forward passes on a CPU: ordinary operations, evaluated step by step.

A row's new keys and values are written into the pool by slices, which MLX does in place when
nothing else holds the array: so the pool's list is its only owner, and every step is evaluated
before the next is built (docs/architecture.md).
"""

from collections.abc import Sequence as Seq

import mlx.core as mx

from mlx_backends.cache.kv_pool import KVPool
from mlx_backends.kernels.host_attention import attend

# One scatter beats a slice for each row from here on (measured on 2 cores: 63 us against 97).
_MIN_SCATTER_ROWS = 3


class HostPass:
    """Some new tokens of each row, the same number in all rows.

    Args:
        pool: Where keys and values are.
        block_ids: Blocks of each row, enough for its new tokens.
        starts: Position of each row's first new token.
        length: New tokens of each row.
    """

    def __init__(
        self, pool: KVPool, block_ids: Seq[Seq[int]], starts: Seq[int], length: int
    ) -> None:
        self._pool = pool
        self._block_ids = block_ids
        self._context_lens = [start + length for start in starts]
        self._slots = [
            pool.slots(ids, start, start + length)
            for ids, start in zip(block_ids, starts, strict=True)
        ]
        self._slot_array = _slot_array(self._slots) if len(starts) >= _MIN_SCATTER_ROWS else None
        self.offset = starts[0] if len(starts) == 1 else mx.array(list(starts), mx.int32)

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
        self._store(self._pool.keys[layer], keys)
        self._store(self._pool.values[layer], values)
        out = attend(
            queries,
            self._pool.keys[layer],
            self._pool.values[layer],
            self._block_ids,
            self._context_lens,
            block_size=self._pool.block_size,
            scale=scale,
            window=window,
            soft_cap=soft_cap,
            sinks=sinks,
        )
        # This layer computes while Python builds the next one.
        mx.async_eval(out)
        return out

    def _store(self, pool: mx.array, rows: mx.array) -> None:
        """Write ``rows`` (B, H, L, D) into ``pool`` (H, num_slots, D)."""
        if self._slot_array is not None:
            heads, width = rows.shape[1], rows.shape[3]
            pool[:, self._slot_array] = rows.transpose(1, 0, 2, 3).reshape(heads, -1, width)
            return
        for row, runs in enumerate(self._slots):
            done = 0
            for first, end in runs:
                pool[:, first:end] = rows[row, :, done : done + end - first]
                done += end - first


def _slot_array(rows: Seq[Seq[tuple[int, int]]]) -> mx.array:
    return mx.array([slot for runs in rows for first, end in runs for slot in range(first, end)])
