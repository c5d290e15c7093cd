"""Chunks of several prompts in one pass give what each gives by itself."""

import random

import mlx.core as mx
import pytest

from mlx_backends.cache.kv_pool import KVPool, LayerShape
from mlx_backends.engine.device_pass import PrefillPass
from mlx_backends.engine.packed_pass import Packing, Span, later_segments
from mlx_backends.engine.pool_access import PlainAccess

HEADS, KV_HEADS, WIDTH, BLOCK_SIZE = 4, 2, 16, 4
# Tokens stored before, and new ones: one token, on and off a grid, over several segments.
CHUNKS = [(0, 1), (0, 5), (7, 1), (9, 8), (0, 40), (3, 30), (24, 24), (15, 2), (31, 18), (48, 16)]


def pool_of(num_tokens):
    layer = LayerShape(KV_HEADS, WIDTH, WIDTH)
    return KVPool([layer], num_tokens // BLOCK_SIZE, BLOCK_SIZE, mx.float32)


def rows_of(count, seed):
    """Queries, keys and values of tokens. Shapes: (1, H, count, D)."""
    keys = mx.random.split(mx.random.key(seed), 3)
    heads = (HEADS, KV_HEADS, KV_HEADS)
    shapes = [(1, h, count, WIDTH) for h in heads]
    return [mx.random.normal(s, key=k) for s, k in zip(shapes, keys, strict=True)]


def tables_of(chunks, rng):
    ids = list(range(60 * len(chunks)))
    rng.shuffle(ids)
    return [ids[60 * i : 60 * (i + 1)] for i in range(len(chunks))]


LAYOUTS = [(1, 0), (1, 8), (2, 0), (2, 8), (3, 5), (16, 100)]


@pytest.mark.parametrize(("tile", "max_short"), LAYOUTS)
@pytest.mark.parametrize("options", [{}, {"window": 7}, {"soft_cap": 1.5}])
@pytest.mark.parametrize("count", [1, len(CHUNKS)])
def test_a_chunk_does_not_notice_its_company(tile, max_short, options, count):
    rng = random.Random(tile)
    chunks = rng.sample(CHUNKS, count)
    tables = tables_of(chunks, rng)
    pool = pool_of(60 * BLOCK_SIZE * count)
    access = PlainAccess(pool)
    expected, spans, new_rows = [], [], []
    for seed, ((start, length), table) in enumerate(zip(chunks, tables, strict=True)):
        if start:
            before = PrefillPass(access, pool, table, 0, start)
            before.attend(0, *rows_of(start, 100 + seed), scale=0.25, **options)
        new = rows_of(length, seed)
        alone = PrefillPass(access, pool, table, start, start + length)
        expected.append(alone.attend(0, *new, scale=0.25, **options))
        spans.append(Span(table, start, start + length))
        new_rows.append(new)

    packing = Packing(pool, spans, tile, max_short)
    packed_rows = [mx.zeros((packing.num_rows, rows.shape[1], 1, WIDTH)) for rows in new_rows[0]]
    lasts = zip(chunks, packing.last_rows, strict=True)
    places = [range(last - length + 1, last + 1) for (_, length), last in lasts]
    for array, of_chunks in zip(packed_rows, zip(*new_rows, strict=True), strict=True):
        for place, rows in zip(places, of_chunks, strict=True):
            array[place.start : place.stop] = rows.transpose(2, 1, 0, 3)
    _, forward_pass = packing.forward_pass(access, [range(n + k) for n, k in chunks])
    out = forward_pass.attend(0, *packed_rows, scale=0.25, **options)
    assert out.shape == (packing.num_rows, HEADS, 1, WIDTH)
    for place, alone in zip(places, expected, strict=True):
        got = out[place.start : place.stop].transpose(2, 1, 0, 3)
        assert mx.abs(got - alone).max().item() < 1e-5


def test_rows_know_their_positions_tokens_and_slots():
    pool = pool_of(100)
    spans = [Span([3, 1, 7], 2, 11), Span([5], 1, 3)]
    packing = Packing(pool, spans, tile=8, max_short=4)
    assert packing.last_rows == [16, 1]
    # Two tokens in a group of eight, then nine in two tiles.
    rows = packing.rows([range(100, 120), range(200, 210)])
    tokens, offset, slots = (array.tolist() for array in rows)
    assert offset == [1, 2, *[0] * 6, *range(2, 11), *[0] * 7]
    expected = [21, 22, *[-1] * 6, 14, 15, 4, 5, 6, 7, 28, 29, 30, *[-1] * 7]
    assert slots == expected
    assert tokens[:2] == [201, 202]
    assert tokens[8:17] == list(range(102, 111))


def test_warming_up_meets_every_pair_of_lengths():
    pool, tile = pool_of(2_000), 16
    pairs = set()
    for span in later_segments(pool, 450 // BLOCK_SIZE, tile):
        (segment,) = Packing(pool, [span], tile, max_short=0).segments
        pairs.add((segment.length, segment.position + segment.length))
    needed = set()
    for stop in range(129, 448):
        packing = Packing(pool, [Span(list(range(200)), 0, stop)], tile, max_short=0)
        needed |= {(s.length, s.position + s.length) for s in packing.segments[1:]}
    assert pairs == needed


def test_attention_sees_few_lengths():
    pool = pool_of(40_000)
    rng = random.Random(1)
    seen = set()
    for _ in range(100):
        start = rng.randrange(0, 4_000, BLOCK_SIZE)
        stop = start + rng.randint(1, 4_000)
        packing = Packing(pool, [Span(list(range(10_000)), start, stop)], tile=256, max_short=0)
        seen |= {(s.length, s.position + s.length) for s in packing.segments}
    # Four lengths for each stretch of 2,048 positions.
    assert len(seen) <= 4 * 4
