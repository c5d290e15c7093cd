"""Layouts of launches: within what every GPU grants, and wide enough to fill it."""

import pytest

from mlx_backends.errors import ConfigError
from mlx_backends.kernels import Tuning, tuning


@pytest.mark.parametrize("head_dim", [8, 16, 64, 80, 96, 128, 256])
@pytest.mark.parametrize("num_rows", [1, 2, 3, 4, 7, 8, 16, 24, 64])
def test_tiles_cover_all_rows_within_the_shared_memory(head_dim, num_rows):
    rows = tuning.rows_per_tile(num_rows, head_dim)
    layout = tuning.default_tuning(head_dim, rows)
    assert 1 <= rows <= min(num_rows, 8)
    wasted = -num_rows % rows
    assert wasted < -(-num_rows // rows)  # equal parts: at most one row a tile is idle
    assert 4 * layout.simdgroups * rows * (head_dim + 2) <= 32 * 1024
    assert layout.lanes * 8 >= head_dim


@pytest.mark.parametrize(("head_dim", "chunk"), [(8, 8), (24, 8), (64, 16), (80, 16), (256, 16)])
def test_a_lane_takes_sixteen_codes_where_the_row_has_them(head_dim, chunk):
    layout = tuning.default_tuning(head_dim, 4, is_quantized=True)
    assert tuning.chunk_of_codes(head_dim, layout.lanes) == chunk
    assert layout.lanes * chunk >= head_dim > layout.lanes // 2 * chunk


def test_splits_grow_with_the_context_and_shrink_with_the_batch(monkeypatch):
    monkeypatch.setattr(tuning, "num_multiprocessors", lambda: 132)
    assert tuning.num_splits(128, groups=1) == 1
    assert tuning.num_splits(16_384, groups=64) == 8
    assert tuning.num_splits(16_384, groups=8) == 66
    assert tuning.num_splits(1 << 20, groups=1) == 128
    assert tuning.num_splits(1 << 20, groups=10_000) == 1


@pytest.mark.parametrize("bad", [(3, 1, 1), (64, 1, 1), (8, 0, 1), (8, 1, 0)])
def test_refuses_layouts_that_no_gpu_has(bad):
    with pytest.raises(ConfigError, match="not possible"):
        Tuning(*bad)


def test_a_step_is_what_a_threadgroup_reads_at_once():
    assert Tuning(lanes=8, tokens=2, simdgroups=4).step == 4 * 4 * 2
