"""Quantized KV entries on a CPU: against the kernels' specification, and through the engine."""

import mlx.core as mx
import pytest

from mlx_backends import Engine, EngineConfig, bundled
from mlx_backends.cache.kv_pool import KVPool, LayerShape
from mlx_backends.config import CacheConfig
from mlx_backends.engine.host_pass import HostPass, RowGroup
from mlx_backends.kernels import reference

from .conftest import collect, greedy, prompts_of, together

LAYER = LayerShape(2, 64, 64)


def random_rows(seed, *shape):
    return mx.random.normal(shape, key=mx.random.key(seed))


@pytest.mark.parametrize("bits", [8, 4])
@pytest.mark.parametrize(
    ("block_ids", "starts", "length"),
    [
        ([[1, 2, 3]], [0], 9),  # a prompt
        ([[5, 0, 3], [1, 2, 6], [4, 8, 7]], [3, 9, 7], 1),  # short rows, side by side
        ([[6, 2, 4]], [5], 1),  # blocks that are not in order
    ],
)
def test_a_pass_is_what_the_specification_says(bits, block_ids, starts, length):
    pool = KVPool([LAYER], 12, 4, mx.float32, kv_bits=bits)
    assert (pool.keys[0].bits, pool.values[0].bits) == (8, bits)
    batch = len(starts)
    if starts[0]:
        for row, (ids, start) in enumerate(zip(block_ids, starts, strict=True)):
            past = RowGroup(pool, [ids], [0], start)
            HostPass(pool, [past]).attend(
                0,
                random_rows(row, 1, 4, start, 64),
                random_rows(row + 10, 1, 2, start, 64),
                random_rows(row + 20, 1, 2, start, 64),
                scale=0.125,
            )
    q, k, v = (random_rows(30 + i, batch, h, length, 64) for i, h in enumerate((4, 2, 2)))
    group = RowGroup(pool, block_ids, starts, length)
    out = HostPass(pool, [group]).attend(0, q, k, v, scale=0.125)
    expected, _ = reference.paged_attention(
        q,
        pool.keys[0],
        pool.values[0],
        mx.array(block_ids),
        mx.array([start + length for start in starts], mx.int32),
        block_size=4,
        scale=0.125,
    )
    assert mx.allclose(out, expected, atol=1e-5)


@pytest.mark.parametrize("bits", [8, 4])
def test_a_pool_keeps_its_rows_as_it_grows_and_copies(bits):
    pool = KVPool([LAYER], 3, 4, mx.float32, kv_bits=bits)
    group = RowGroup(pool, [[1]], [0], 4)
    group.store(pool.values[0], random_rows(0, 1, 2, 4, 64))
    before = reference.dequantize(pool.values[0])[:, 4:8]
    pool.grow(9)
    pool.copy_block(1, 8)
    grown = reference.dequantize(pool.values[0])
    assert grown.shape[1] == pool.num_slots == 40
    assert mx.array_equal(grown[:, 4:8], before)
    assert mx.array_equal(grown[:, 32:36], before)


@pytest.mark.parametrize("bits", [8, 4])
def test_the_same_pool_bytes_hold_more_tokens(tmp_path, bits):
    def capacity(kv_bits):
        cache = CacheConfig(kv_bits=kv_bits, pool_bytes=8_000_000)
        config = EngineConfig(model=str(bundled.path("lm")), cache=cache, max_model_len=512)
        with Engine(config) as engine:
            engine.load()
            return engine._loop.pool_tokens

    assert capacity(bits) > {8: 3.8, 4: 4.7}[bits] * capacity(None)


@pytest.mark.parametrize("bits", [8, 4])
def test_company_and_reuse_change_nothing(tiny_lm, bits):
    """Rows are rounded one by one, so neighbours, chunks and cached prefixes do not matter."""
    prompts = prompts_of([33, 5, 21, 40], seed=3)

    def engine(**options):
        cache = CacheConfig(kv_bits=bits, block_size=8, pool_bytes=400_000)
        return Engine(EngineConfig(model=str(tiny_lm), cache=cache, **options))

    with engine() as first:
        alone = [collect(first, first.submit(p, greedy(12)))[0] for p in prompts]
        assert together(first, prompts, [greedy(12)] * 4) == alone  # prefixes are cached now
    with engine(prefill_chunk_size=7) as second:
        assert together(second, prompts, [greedy(12)] * 4) == alone
