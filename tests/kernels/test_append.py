"""Writing rows into pools, on the emulator and on a GPU, against the reference."""

import mlx.core as mx
import pytest

from mlx_backends import kernels
from mlx_backends.errors import ConfigError
from mlx_backends.kernels import QuantizedPool, reference
from mlx_backends.kernels.pool import pool_arrays

F32, F16, BF16 = mx.float32, mx.float16, mx.bfloat16


def append(k_pool, v_pool, k, v, slots):
    return kernels.kv_append(k_pool, v_pool, k, v, slots, mx.zeros(1, dtype=mx.int32))


def same(pool, expected) -> bool:
    if isinstance(pool, QuantizedPool):
        pairs = (pool.codes, expected.codes), (pool.scales, expected.scales)
        return all(mx.array_equal(a, b).item() for a, b in pairs)
    return mx.array_equal(pool, expected).item()


@pytest.mark.parametrize(
    ("dtype", "head_dim", "k_bits", "v_bits"),
    [
        (F32, 64, None, None),
        (F16, 80, None, None),
        (BF16, 256, None, None),
        (F32, 64, 8, 8),
        (BF16, 128, 8, 4),
        (F16, 80, 8, 4),
        (F32, 8, None, 8),
    ],
)
def test_writes_the_rows_and_nothing_else(any_host, dtype, head_dim, k_bits, v_bits):
    pools = [kernels.make_pool(3, 50, head_dim, dtype, bits=bits) for bits in (k_bits, v_bits)]
    # (batch, length, heads, dim) seen as (batch, heads, length, dim)
    keys = mx.random.split(mx.random.key(0))
    k, v = (mx.random.normal((2, 5, 3, head_dim), key=key).astype(dtype) for key in keys)
    k, v = k.transpose(0, 2, 1, 3), v.transpose(0, 2, 1, 3)
    slots = mx.array([[3, 4, -1, 49, 0], [7, -1, 9, 10, 11]], dtype=mx.int32)
    expected = reference.kv_append(*pools, k, v, slots)
    mx.eval([array for pool in expected for array in pool_arrays("", pool).values()])
    mx.eval(append(*pools, k, v, slots))
    assert all(same(pool, want) for pool, want in zip(pools, expected, strict=True))


@pytest.mark.parametrize(
    ("dtype", "head_dim", "k_bits", "v_bits"),
    [(F32, 64, None, None), (BF16, 80, None, None), (F16, 128, 8, 4), (BF16, 64, 8, 8)],
)
@pytest.mark.parametrize(("bounds", "length"), [((0, 19), 19), ((5, 19), 24), ((8, 9), 600)])
def test_gathers_rows_in_order_and_then_zeros(
    any_host, dtype, head_dim, k_bits, v_bits, bounds, length
):
    pools = [kernels.make_pool(3, 32, head_dim, dtype, bits=bits) for bits in (k_bits, v_bits)]
    keys = mx.random.split(mx.random.key(0))
    k, v = (mx.random.normal((32, 3, head_dim), key=key).astype(dtype) for key in keys)
    pools = reference.kv_append(*pools, k, v, mx.arange(32, dtype=mx.int32))
    block_ids = mx.array([6, 1, 7, 0, 3], dtype=mx.int32)
    options = {"length": length, "block_size": 4, "dtype": dtype}
    expected = reference.kv_gather(*pools, block_ids, bounds, **options)
    got = kernels.kv_gather(
        *map(kernels.words_window, pools), block_ids, bounds, **options,
        num_kv_heads=3, head_dim=head_dim, order=mx.zeros(1, dtype=mx.int32),
    )  # fmt: skip
    for one, other in zip(got, expected, strict=True):
        assert one.shape == (1, 3, length, head_dim)
        assert mx.allclose(one, other, rtol=0, atol=1e-6).item()


@pytest.mark.parametrize(
    ("dtype", "head_dim", "k_bits", "v_bits"),
    [(F32, 64, None, None), (BF16, 80, None, None), (F16, 128, 8, 4), (BF16, 64, 8, 8)],
)
def test_copies_blocks_as_they_are_stored_and_nothing_else(
    any_host, dtype, head_dim, k_bits, v_bits
):
    pools = [kernels.make_pool(3, 32, head_dim, dtype, bits=bits) for bits in (k_bits, v_bits)]
    keys = mx.random.split(mx.random.key(0))
    k, v = (mx.random.normal((32, 3, head_dim), key=key).astype(dtype) for key in keys)
    pools = reference.kv_append(*pools, k, v, mx.arange(32, dtype=mx.int32))
    blocks = mx.array([[6, 1, 6], [7, 0, 3]], dtype=mx.int32)
    expected = reference.kv_copy(*pools, *blocks, block_size=4)
    mx.eval([array for pool in (*pools, *expected) for array in pool_arrays("", pool).values()])
    order = kernels.kv_copy(
        *map(kernels.words_window, pools), *blocks, num_kv_heads=3, block_size=4,
        order=mx.zeros(1, dtype=mx.int32),
    )  # fmt: skip
    mx.eval(order)
    assert order.tolist() == [0]
    assert all(same(pool, want) for pool, want in zip(pools, expected, strict=True))


def test_refuses_copies_that_do_not_fit(emulated):
    pools = [kernels.make_pool(2, 8, 16, F32) for _ in range(2)]
    ids, order = mx.array([0, 1], mx.int32), mx.zeros(1, dtype=mx.int32)
    with pytest.raises(ConfigError, match="one int32 a copy"):
        kernels.kv_copy(*pools, ids, ids[:1], num_kv_heads=2, block_size=4, order=order)


def test_takes_rows_without_a_batch(any_host):
    pools = [kernels.make_pool(2, 8, 16, F32) for _ in range(2)]
    rows = mx.random.normal((3, 2, 16), key=mx.random.key(1))
    mx.eval(append(*pools, rows, rows + 1, mx.array([6, 0, 3], dtype=mx.int32)))
    assert mx.array_equal(pools[0][:, mx.array([6, 0, 3])], rows.transpose(1, 0, 2)).item()
    assert mx.array_equal(pools[1][:, mx.array([6, 0, 3])], rows.transpose(1, 0, 2) + 1).item()
    assert mx.all(pools[0][:, mx.array([1, 2, 4, 5, 7])] == 0).item()


def test_large_values_stay_within_float16_scales(emulated):
    pools = [kernels.make_pool(1, 4, 32, F32, bits=8) for _ in range(2)]
    rows = mx.linspace(-1e6, 1e6, 32).reshape(1, 1, 32)
    expected = reference.kv_append(*pools, rows, rows, mx.array([2], dtype=mx.int32))
    append(*pools, rows, rows, mx.array([2], dtype=mx.int32))
    assert same(pools[0], expected[0])
    assert mx.all(mx.isfinite(reference.dequantize(pools[0]))).item()


@pytest.mark.parametrize(
    ("slots", "message"),
    [
        (mx.zeros(2, mx.int32), "do not fit"),
        (mx.zeros(3, mx.int64), "do not fit"),
    ],
)
def test_refuses_slots_that_do_not_fit(emulated, slots, message):
    pools = [kernels.make_pool(2, 8, 16, F32) for _ in range(2)]
    with pytest.raises(ConfigError, match=message):
        append(*pools, mx.zeros((3, 2, 16)), mx.zeros((3, 2, 16)), slots)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"head_dim": 60}, "head_dim=60"),
        ({"head_dim": 264}, "head_dim=264"),
        ({"head_dim": 64, "bits": 2}, "bits=2"),
    ],
)
def test_refuses_pools_that_kernels_cannot_read(arguments, message):
    with pytest.raises(ConfigError, match=message):
        kernels.make_pool(2, 8, arguments.pop("head_dim"), F32, **arguments)
