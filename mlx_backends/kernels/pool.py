"""Pools of keys and values: one row of ``head_dim`` elements for each KV head and slot.

A pool is an array of shape ``(num_kv_heads, num_slots, head_dim)`` in the activations' type, or a
``QuantizedPool``. Slot ``block * block_size + i`` holds token ``i`` of a block, so a block of a
head is one contiguous piece of memory.
"""

from dataclasses import dataclass, replace

import mlx.core as mx

from mlx_backends.errors import ConfigError
from mlx_backends.kernels.host import host

MAX_HEAD_DIM = 256
CHUNK = 8
"""Elements that a lane reads at once; rows are whole chunks."""


@dataclass(frozen=True, slots=True)
class QuantizedPool:
    """Rows as codes.

    With 8 bits a row has one scale, ``value = scale * (code - 128)``; with 4 bits each group of
    elements has a scale and a bias, ``value = scale * code + bias``.

    Attributes:
        codes: ``(num_kv_heads, num_slots, head_dim * bits / 32)`` uint32, first element lowest.
        scales: ``(num_kv_heads, num_slots, 1)`` float16 for 8 bits; for 4 bits the last axis holds
            scale and bias of each group.
        bits: 8 or 4.
    """

    codes: mx.array
    scales: mx.array
    bits: int

    @property
    def arrays(self) -> list[mx.array]:
        return [self.codes, self.scales]

    @property
    def head_dim(self) -> int:
        return self.codes.shape[2] * 32 // self.bits


Pool = mx.array | QuantizedPool


def make_pool(
    num_kv_heads: int,
    num_slots: int,
    head_dim: int,
    dtype: mx.Dtype,
    *,
    bits: int | None = None,
) -> Pool:
    """A pool of zeros.

    Args:
        num_kv_heads: KV heads of a layer.
        num_slots: Blocks times block size.
        head_dim: Elements a row, a multiple of 8 up to 256.
        dtype: Type of an unquantized pool.
        bits: 8 or 4 for a quantized pool, None for none.

    Raises:
        ConfigError: The row or the bits cannot be served.
    """
    check_head_dim(head_dim)
    if bits is None:
        return mx.zeros((num_kv_heads, num_slots, head_dim), dtype)
    if bits not in (4, 8):
        raise ConfigError(f"bits={bits!r}: a quantized pool has 4 or 8 bits an element.")
    return QuantizedPool(
        codes=mx.zeros((num_kv_heads, num_slots, head_dim * bits // 32), mx.uint32),
        scales=mx.zeros((num_kv_heads, num_slots, scales_per_row(head_dim, bits)), mx.float16),
        bits=bits,
    )


def window(pool: Pool) -> Pool:
    """The same memory under the size of one row, or a few short ones.

    Kernels find a row by the pool's strides alone. MLX hands a GPU its work in pieces of so many
    bytes, each input counted in full: a whole pool in every layer would make the pieces small, and
    a step's time depend on the size of the pool. The emulator checks bounds and needs the pool.
    """
    if host() == "emulator":
        return pool
    if isinstance(pool, QuantizedPool):
        return replace(pool, codes=_one_row(pool.codes), scales=_one_row(pool.scales))
    return _one_row(pool)


def words_window(pool: Pool) -> Pool:
    """As ``window``; a pool of floats as 32-bit words, which is how rows are copied."""
    return window(pool if isinstance(pool, QuantizedPool) else words_of(pool))


def words_of(pool: mx.array) -> mx.array:
    """A pool of floats as 32-bit words; words stay as they are."""
    return pool if pool.dtype == mx.uint32 else pool.view(mx.uint32)


def check_head_dim(head_dim: int) -> None:
    """Raise ConfigError if the kernels cannot serve rows of this length."""
    if head_dim % CHUNK or not 0 < head_dim <= MAX_HEAD_DIM:
        raise ConfigError(
            f"head_dim={head_dim}: kernels take multiples of {CHUNK} up to {MAX_HEAD_DIM}."
        )


def group_size(head_dim: int) -> int:
    """Elements that share a scale and a bias in 4 bits: the most up to 32 that divide the row."""
    return next(size for size in (32, 16, 8) if head_dim % size == 0)


def scales_per_row(head_dim: int, bits: int) -> int:
    """Numbers in float16 that a row of codes has beside it."""
    return 1 if bits == 8 else 2 * head_dim // group_size(head_dim)


def pool_arrays(prefix: str, pool: Pool) -> dict[str, mx.array]:
    """The pool's arrays under their names in the kernels, such as ``k_pool`` and ``k_scales``."""
    if isinstance(pool, QuantizedPool):
        return {f"{prefix}_pool": pool.codes, f"{prefix}_scales": pool.scales}
    return {f"{prefix}_pool": pool}


def pool_constants(k_pool: Pool, v_pool: Pool, dtype: mx.Dtype, head_dim: int) -> dict[str, int]:
    """Constants that tell kernels how the pools are stored.

    Raises:
        ConfigError: The pools do not fit each other or the activations.
    """
    check_head_dim(head_dim)
    values = {"HEAD_DIM": head_dim}
    for prefix, pool in (("K", k_pool), ("V", v_pool)):
        if isinstance(pool, QuantizedPool):
            values[f"{prefix}_BITS"] = pool.bits
            width = pool.head_dim
        else:
            if pool.dtype != dtype:
                raise ConfigError(f"The pool is {pool.dtype} and the activations are {dtype}.")
            values[f"{prefix}_BITS"] = 0
            width = pool.shape[2]
        if width != head_dim:
            raise ConfigError(f"Rows of the pool have {width} elements, new rows {head_dim}.")
    is_quantized = values["K_BITS"] or values["V_BITS"]
    return values | {"GROUP": group_size(head_dim) if is_quantized else 0}


def _one_row(array: mx.array) -> mx.array:
    _, num_slots, width = array.shape
    # Metal gets arrays of fewer than eight elements as constants, which no kernel may write.
    num_rows = min(-(-8 // width), num_slots)
    row_view = mx.as_strided(array, (1, num_rows, width), (num_slots * width, width, 1))
    mx.eval(row_view)
    return row_view
