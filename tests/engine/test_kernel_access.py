"""The device runner on the project's own kernels, run by the host emulator, uncompiled."""

import mlx.core as mx
import pytest

from mlx_backends import kernels
from mlx_backends.cache.kv_pool import KVPool, LayerShape
from mlx_backends.engine.device_pass import DecodePass, PrefillPass
from mlx_backends.engine.packed_pass import Packing, Span
from mlx_backends.engine.pool_access import KernelAccess, PlainAccess
from mlx_backends.kernels import emulator

pytestmark = pytest.mark.skipif(not emulator.is_available(), reason="needs a C++ compiler")

LAYER = LayerShape(2, 16, 16)
NUM_HEADS, BLOCK_SIZE, NUM_BLOCKS = 4, 4, 12
TABLES = [[7, 2, 9, 0], [3, 4, 5, 1]]
LENS = [11, 6]
# Share of the output's norm: rounding of float32, of 8 bits and of 4 bits.
TOLERANCE = {None: 1e-5, 8: 2e-2, 4: 0.2}


@pytest.fixture(autouse=True)
def _emulated():
    with kernels.emulated():
        yield


def pool_of(bits=None):
    return KVPool(
        [LAYER],
        NUM_BLOCKS,
        BLOCK_SIZE,
        mx.float32,
        kv_bits=bits,
    )


def rows(seed, count, length):
    shapes = [(count, heads, length, 16) for heads in (NUM_HEADS, 2, 2)]
    keys = mx.random.split(mx.random.key(seed), 3)
    arrays = [mx.random.normal(s, key=k) for s, k in zip(shapes, keys, strict=True)]
    mx.eval(arrays)
    return arrays


def conversation(access, pool, **options):
    """Outputs of prefill in two chunks, a copied block, and two decode steps of both rows."""
    outputs = []
    for seed, (block_ids, length) in enumerate(zip(TABLES, LENS, strict=True)):
        for start, stop in ((0, 5), (5, length)):
            forward_pass = PrefillPass(access, pool, block_ids, start, stop)
            new = rows(10 * seed + start, 1, stop - start)
            outputs.append(forward_pass.attend(0, *new, scale=0.25, **options))
            mx.eval(outputs, access.state)
    # A short chunk and a long one in one pass, the long one off its grid.
    spans = [Span(TABLES[1], 3, 6), Span(TABLES[0], 1, 11)]
    packing = Packing(pool, spans, tile=2, max_short=5)
    _, packed = packing.forward_pass(access, [range(span.stop) for span in spans])
    new = rows(7, packing.num_rows, 1)
    outputs.append(
        packed.attend(0, *new, scale=0.25, **options)[mx.array([0, 1, 2, *range(8, 18)])]
    )
    access.follow(mx.array([5]))
    access.copy_blocks(mx.array([7], mx.int32), mx.array([11], mx.int32))
    mx.eval(access.state)
    tables = mx.array([[11, *TABLES[0][1:]], TABLES[1]], dtype=mx.int32)
    for step in range(2):
        context_lens = mx.array([length + step + 1 for length in LENS], dtype=mx.int32)
        forward_pass = DecodePass(access, tables, context_lens)
        outputs.append(forward_pass.attend(0, *rows(99 + step, 2, 1), scale=0.25, **options))
        mx.eval(outputs, access.state)
    return outputs


@pytest.mark.parametrize("options", [{}, {"window": 3}, {"soft_cap": 1.5}, {"sinks": None}])
@pytest.mark.parametrize("bits", [None, 8, 4])
def test_kernels_and_plain_operations_agree(options, bits):
    if "sinks" in options:
        options = {"sinks": mx.array([0.5, -1.0, 2.0, 0.0])}
    pool, plain = pool_of(bits), pool_of()
    got = conversation(KernelAccess(pool), pool, **options)
    expected = conversation(PlainAccess(plain), plain, **options)
    for one, other in zip(got, expected, strict=True):
        error = mx.linalg.norm(one - other) / mx.linalg.norm(other)
        assert error.item() < TOLERANCE[bits]


def test_the_order_token_stays_zero_and_changes_with_every_write():
    pool = pool_of()
    access = KernelAccess(pool)
    tokens = [access.state[0]]
    for start in (0, 4):
        forward_pass = PrefillPass(access, pool, TABLES[0], start, start + 4)
        forward_pass.attend(0, *rows(start, 1, 4), scale=1.0)
        tokens.append(access.state[0])
    access.follow(mx.array([77, 1]))
    tokens.append(access.state[0])
    assert len({id(token) for token in tokens}) == len(tokens)
    assert [token.tolist() for token in tokens] == [[0]] * len(tokens)
