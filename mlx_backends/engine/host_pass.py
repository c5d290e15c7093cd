"""Forward passes on a CPU: ordinary operations, evaluated step by step.

New keys and values are written into the pool by slices, which MLX does in place when nothing else
holds the array: so the pool's list is its only owner, every step is evaluated before the next is
built, and a layer writes all rows before it reads any (docs/architecture.md).
"""

from collections.abc import Sequence as Seq

import mlx.core as mx

from mlx_backends.cache.kv_pool import KVPool
from mlx_backends.kernels.host_attention import attend
from mlx_backends.kernels.host_context import Contexts
from mlx_backends.kernels.pool import Pool, QuantizedPool
from mlx_backends.kernels.reference import quantize

# One scatter beats a slice for each row from here on (measured on 2 cores: 63 us against 97).
_MIN_SCATTER_ROWS = 3


class RowGroup:
    """Rows with the same number of new tokens.

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
        context_lens = [start + length for start in starts]
        self._contexts = Contexts(block_ids, context_lens, pool.block_size)
        self._slots = [
            pool.slots(ids, start, start + length)
            for ids, start in zip(block_ids, starts, strict=True)
        ]
        is_scattered = length == 1 and len(starts) >= _MIN_SCATTER_ROWS
        self._slot_array = _slot_array(self._slots) if is_scattered else None
        self.starts = starts
        self.length = length

    @property
    def num_tokens(self) -> int:
        return len(self.starts) * self.length

    @property
    def positions(self) -> list[int]:
        """Of all new tokens, row by row."""
        return [start + index for start in self.starts for index in range(self.length)]

    def store(self, pool: Pool, rows: mx.array) -> None:
        """Write ``rows`` (B, H, L, D) into ``pool`` (H, num_slots, D), rounded if it is."""
        if isinstance(pool, QuantizedPool):
            codes, scales = quantize(rows, pool.bits)
            self._write(pool.codes, codes)
            self._write(pool.scales, scales)
        else:
            self._write(pool, rows)

    def _write(self, pool: mx.array, rows: mx.array) -> None:
        """Shapes: pool (H, num_slots, ...), rows (B, H, L, ...)."""
        if self._slot_array is not None:
            pool[:, self._slot_array] = rows.squeeze(2).swapaxes(0, 1)
            return
        for row, runs in enumerate(self._slots):
            done = 0
            for first, end in runs:
                pool[:, first:end] = rows[row, :, done : done + end - first]
                done += end - first

    def attend(
        self,
        layer: int,
        queries: mx.array,
        *,
        scale: float,
        window: int | None,
        soft_cap: float | None,
        sinks: mx.array | None,
    ) -> mx.array:
        """Attention to what a layer stored. Shapes: (B, Hq, L, D) -> (B, Hq, L, Dv)."""
        return attend(
            queries,
            self._pool.keys[layer],
            self._pool.values[layer],
            self._contexts,
            scale=scale,
            window=window,
            soft_cap=soft_cap,
            sinks=sinks,
        )

    def folded(self, tokens: mx.array) -> mx.array:
        """Tokens that are rows of their own, as the rows of this group.

        Shapes: (B * L, H, 1, D) -> (B, H, L, D).
        """
        if self.length == 1:
            return tokens
        _, heads, _, width = tokens.shape
        return tokens.reshape(-1, self.length, heads, width).swapaxes(1, 2)

    def unfolded(self, rows: mx.array) -> mx.array:
        """The other way. Shapes: (B, H, L, D) -> (B * L, H, 1, D)."""
        if self.length == 1:
            return rows
        _, heads, _, width = rows.shape
        return rows.swapaxes(1, 2).reshape(-1, heads, 1, width)


class HostPass:
    """New tokens of some rows.

    The model sees rows of one length as a batch (B, L). If there are several groups, every token is
    a row of its own, (T, 1), group after group: so all of them are one product in every layer, and
    no token is padding.

    Args:
        pool: Where keys and values are.
        groups: Rows, at least one.

    Attributes:
        offset: As in ``cache.paged_cache.ForwardPass``.
    """

    def __init__(self, pool: KVPool, groups: Seq[RowGroup]) -> None:
        self._pool = pool
        self._groups = groups
        self.offset: int | mx.array
        if len(groups) > 1:
            self.offset = mx.array([p for group in groups for p in group.positions], mx.int32)
        elif len(starts := groups[0].starts) > 1:
            self.offset = mx.array(list(starts), mx.int32)
        else:
            self.offset = starts[0]

    def tokens(self, token_ids: Seq[int]) -> mx.array:
        """All new tokens, group after group, in the shape that the model is to see."""
        length = self._groups[0].length if len(self._groups) == 1 else 1
        return mx.array(list(token_ids), mx.int32).reshape(-1, length)

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
        for group, new_keys, new_values in zip(
            self._groups, self._split(keys), self._split(values), strict=True
        ):
            group.store(self._pool.keys[layer], new_keys)
            group.store(self._pool.values[layer], new_values)
        outs = [
            group.attend(layer, rows, scale=scale, window=window, soft_cap=soft_cap, sinks=sinks)
            for group, rows in zip(self._groups, self._split(queries), strict=True)
        ]
        out = self._joined(outs)
        # This layer computes while Python builds the next one.
        mx.async_eval(out)
        return out

    def _split(self, tokens: mx.array) -> list[mx.array]:
        """Each group's rows of what the model made of the tokens."""
        if len(self._groups) == 1:
            return [tokens]
        parts, start = [], 0
        for group in self._groups:
            parts.append(group.folded(tokens[start : start + group.num_tokens]))
            start += group.num_tokens
        return parts

    def _joined(self, rows: list[mx.array]) -> mx.array:
        if len(rows) == 1:
            return rows[0]
        pairs = zip(self._groups, rows, strict=True)
        return mx.concatenate([group.unfolded(part) for group, part in pairs])


def _slot_array(rows: Seq[Seq[tuple[int, int]]]) -> mx.array:
    return mx.array([slot for runs in rows for first, end in runs for slot in range(first, end)])
