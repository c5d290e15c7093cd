"""How a device pass reads and writes the KV pool: by kernels in place, or by plain operations.

``KernelAccess`` is what runs on a GPU. ``PlainAccess`` is its readable twin: the same results from
ordinary MLX on any device, with a copy of the pool a step. Tests compile and run ahead with it
where there is no GPU.
"""

from collections.abc import Sequence as Seq
from typing import Any, Protocol

import mlx.core as mx

from mlx_backends import kernels
from mlx_backends.cache.kv_pool import KVPool
from mlx_backends.engine.dense_attention import dense_attention
from mlx_backends.kernels.reference import kv_copy, kv_gather


class PoolAccess(Protocol):
    """Reads and writes of one pool, each after the ones before it."""

    @property
    def state(self) -> list[mx.array]:
        """What carries the order of operations from one compiled step to the next."""
        ...

    def restore(self, state: Seq[mx.array]) -> None:
        """Go on from a state, such as the one that a compiled step returned."""
        ...

    def append(self, layer: int, keys: mx.array, values: mx.array, slots: mx.array) -> None:
        """Store rows. Shapes: keys and values (B, H, L, D), slots (B, L) int32, -1 for none."""
        ...

    def context(
        self, layer: int, block_ids: mx.array, bounds: tuple[int, int], length: int
    ) -> tuple[mx.array, mx.array]:
        """Keys and values of a sequence, in order, then zeros. Shapes: returns (1, H, length, D).

        Args:
            layer: Index of the layer.
            block_ids: (N,) int32, from position 0 on.
            bounds: First position, and the end of what is stored.
            length: Rows of the result.
        """
        ...

    def decode(
        self,
        layer: int,
        queries: mx.array,
        keys: mx.array,
        values: mx.array,
        block_tables: mx.array,
        context_lens: mx.array,
        *,
        scale: float,
        window: int | None,
        soft_cap: float | None,
        sinks: mx.array | None,
    ) -> mx.array:
        """Store one new row a sequence and attend to its whole context.

        Shapes: queries (B, Hq, 1, D), keys and values (B, H, 1, D), block_tables (B, W) int32,
        context_lens (B,) int32, the new row included -> (B, Hq, 1, D).
        """
        ...

    def attend(
        self,
        layer: int,
        queries: mx.array,
        block_tables: mx.array,
        context_lens: mx.array,
        *,
        scale: float,
        window: int | None,
        soft_cap: float | None,
        sinks: mx.array | None,
    ) -> mx.array:
        """Attend from a few tokens a row, which are stored already, to the row's context.

        Shapes: queries (B, Hq, L, D) with L up to 8, the last tokens of each row's context;
        block_tables (B, W) int32, context_lens (B,) int32 -> (B, Hq, L, D).
        """
        ...

    def copy_blocks(self, sources: mx.array, targets: mx.array) -> None:
        """Copy blocks in every layer. Shapes: (n,) int32; no target is a source."""
        ...

    def follow(self, read: mx.array) -> None:
        """Let later writes wait for what ``read``, an integer array, was computed from."""
        ...


class KernelAccess:
    """In place, by ``mlx_backends.kernels``.

    MLX does not see these writes. So every operation takes the order token of the one before, an
    array of one zero, and writers return a new one (docs/architecture.md).
    """

    def __init__(self, pool: KVPool) -> None:
        self._pool = pool
        self._keys = [kernels.window(rows) for rows in pool.keys]
        self._values = [kernels.window(rows) for rows in pool.values]
        self._words = [
            (kernels.words_window(keys), kernels.words_window(values))
            for keys, values in zip(pool.keys, pool.values, strict=True)
        ]
        self._order = mx.zeros((1,), mx.int32)

    @property
    def state(self) -> list[mx.array]:
        return [self._order]

    def restore(self, state: Seq[mx.array]) -> None:
        (self._order,) = state

    def append(self, layer: int, keys: mx.array, values: mx.array, slots: mx.array) -> None:
        """As in ``PoolAccess``."""
        self._order = kernels.kv_append(
            self._keys[layer], self._values[layer], keys, values, slots, self._order
        )

    def context(
        self, layer: int, block_ids: mx.array, bounds: tuple[int, int], length: int
    ) -> tuple[mx.array, mx.array]:
        """As in ``PoolAccess``."""
        shape = self._pool.layers[layer]
        return kernels.kv_gather(
            *self._words[layer],
            block_ids,
            bounds,
            length=length,
            num_kv_heads=shape.num_kv_heads,
            head_dim=shape.key_dim,
            block_size=self._pool.block_size,
            dtype=self._pool.dtype,
            order=self._order,
        )

    def decode(
        self,
        layer: int,
        queries: mx.array,
        keys: mx.array,
        values: mx.array,
        block_tables: mx.array,
        context_lens: mx.array,
        *,
        scale: float,
        window: int | None,
        soft_cap: float | None,
        sinks: mx.array | None,
    ) -> mx.array:
        """As in ``PoolAccess``."""
        out, self._order = kernels.paged_decode(
            queries,
            keys,
            values,
            self._keys[layer],
            self._values[layer],
            block_tables,
            context_lens,
            block_size=self._pool.block_size,
            scale=scale,
            order=self._order,
            window=window,
            soft_cap=soft_cap,
            sinks=None if sinks is None else sinks.astype(queries.dtype),
        )
        return out

    def attend(
        self,
        layer: int,
        queries: mx.array,
        block_tables: mx.array,
        context_lens: mx.array,
        *,
        scale: float,
        window: int | None,
        soft_cap: float | None,
        sinks: mx.array | None,
    ) -> mx.array:
        """As in ``PoolAccess``."""
        out = kernels.paged_attention(
            queries,
            self._keys[layer],
            self._values[layer],
            block_tables,
            context_lens,
            block_size=self._pool.block_size,
            scale=scale,
            order=self._order,
            window=window,
            soft_cap=soft_cap,
            sinks=None if sinks is None else sinks.astype(queries.dtype),
            num_kv_heads=self._pool.layers[layer].num_kv_heads,
        )
        assert isinstance(out, mx.array)  # a log-sum-exp was not asked for
        return out

    def copy_blocks(self, sources: mx.array, targets: mx.array) -> None:
        """As in ``PoolAccess``."""
        for layer, (keys, values) in enumerate(self._words):
            self._order = kernels.kv_copy(
                keys,
                values,
                sources,
                targets,
                num_kv_heads=self._pool.layers[layer].num_kv_heads,
                block_size=self._pool.block_size,
                order=self._order,
            )

    def follow(self, read: mx.array) -> None:
        """As in ``PoolAccess``."""
        self._order = self._order + 0 * read.reshape(-1)[:1]


class PlainAccess:
    """By ordinary operations, whose results are new arrays: MLX orders them itself."""

    def __init__(self, pool: KVPool) -> None:
        self._pool = pool

    @property
    def state(self) -> list[mx.array]:
        return self._pool.arrays

    def restore(self, state: Seq[mx.array]) -> None:
        half = len(state) // 2
        self._pool.keys[:], self._pool.values[:] = state[:half], state[half:]

    def append(self, layer: int, keys: mx.array, values: mx.array, slots: mx.array) -> None:
        """As in ``PoolAccess``."""
        # A row that is not stored goes to the last slot, which is the scratch block's.
        where = mx.where(slots < 0, self._pool.num_slots - 1, slots).reshape(-1)
        arrays: Any  # unquantized: the kernels' specification covers the others
        for arrays, rows in ((self._pool.keys, keys), (self._pool.values, values)):
            rows = rows.transpose(1, 0, 2, 3).reshape(rows.shape[1], -1, rows.shape[3])
            arrays[layer] = arrays[layer] + 0  # a copy: an array may be read after this write
            arrays[layer][:, where] = rows

    def context(
        self, layer: int, block_ids: mx.array, bounds: tuple[int, int], length: int
    ) -> tuple[mx.array, mx.array]:
        """As in ``PoolAccess``."""
        return kv_gather(
            self._pool.keys[layer],
            self._pool.values[layer],
            block_ids,
            bounds,
            length=length,
            block_size=self._pool.block_size,
            dtype=self._pool.dtype,
        )

    def decode(
        self,
        layer: int,
        queries: mx.array,
        keys: mx.array,
        values: mx.array,
        block_tables: mx.array,
        context_lens: mx.array,
        *,
        scale: float,
        window: int | None,
        soft_cap: float | None,
        sinks: mx.array | None,
    ) -> mx.array:
        """As in ``PoolAccess``."""
        size = self._pool.block_size
        last = (context_lens - 1)[:, None]
        slots = mx.take_along_axis(block_tables, last // size, axis=1) * size + last % size
        self.append(layer, keys, values, slots)
        return self.attend(
            layer,
            queries,
            block_tables,
            context_lens,
            scale=scale,
            window=window,
            soft_cap=soft_cap,
            sinks=sinks,
        )

    def attend(
        self,
        layer: int,
        queries: mx.array,
        block_tables: mx.array,
        context_lens: mx.array,
        *,
        scale: float,
        window: int | None,
        soft_cap: float | None,
        sinks: mx.array | None,
    ) -> mx.array:
        """As in ``PoolAccess``."""
        width = block_tables.shape[1] * self._pool.block_size
        own = mx.arange(-queries.shape[2], 0)
        rows = []
        for row in range(queries.shape[0]):
            rows.append(
                dense_attention(
                    queries[row : row + 1],
                    *self.context(layer, block_tables[row], (0, width), width),
                    positions=context_lens[row] + own,
                    scale=scale,
                    window=window,
                    soft_cap=soft_cap,
                    sinks=sinks,
                )
            )
        return mx.concatenate(rows)

    def copy_blocks(self, sources: mx.array, targets: mx.array) -> None:
        """As in ``PoolAccess``."""
        keys: Any = self._pool.keys
        values: Any = self._pool.values
        size = self._pool.block_size
        for layer, pools in enumerate(zip(keys, values, strict=True)):
            keys[layer], values[layer] = kv_copy(*pools, sources, targets, block_size=size)

    def follow(self, read: mx.array) -> None:
        """As in ``PoolAccess``: nothing is written in place."""
