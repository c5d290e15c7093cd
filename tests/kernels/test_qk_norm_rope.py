"""The fused kernel against MLX's own norm and rotary embedding, one after the other."""

import mlx.core as mx
import numpy as np
import pytest

from mlx_backends.errors import ConfigError
from mlx_backends.kernels import emulator
from mlx_backends.kernels.qk_norm_rope import qk_norm_rope

from .conftest import TOLERANCE

EPS = 1e-6


def arguments(head_dim=64, heads=4, kv_heads=2, batch=3, dtype=mx.float32, seed=0):
    rng = np.random.default_rng(seed)

    def normal(*shape):
        return mx.array(rng.standard_normal(shape).astype(np.float32)).astype(dtype)

    base = mx.array(1e6) ** (-2 * mx.arange(head_dim // 2) / head_dim)
    offsets = mx.array(rng.integers(0, 200, batch).astype(np.int32))
    return [
        normal(batch, heads * head_dim),
        normal(batch, kv_heads * head_dim),
        normal(head_dim),
        normal(head_dim),
        base.astype(mx.float32),
        offsets,
    ]


def expected(q, k, q_weight, k_weight, frequencies, offsets):
    outputs = []
    for rows, weight in ((q, q_weight), (k, k_weight)):
        head_dim = weight.size
        heads = rows.reshape(rows.shape[0], 1, -1, head_dim).transpose(0, 2, 1, 3)
        normed = mx.fast.rms_norm(heads, weight, EPS)
        outputs.append(
            mx.fast.rope(
                normed, head_dim, traditional=False, base=None, scale=1.0, offset=offsets,
                freqs=1 / frequencies,
            )
        )  # fmt: skip
    return outputs


@pytest.mark.parametrize("dtype", [mx.float32, mx.float16, mx.bfloat16], ids=str)
@pytest.mark.parametrize(
    "shape",
    [
        {"head_dim": 64},
        {"head_dim": 128, "heads": 16, "kv_heads": 8, "batch": 1},
        {"head_dim": 80, "heads": 3, "kv_heads": 1},
        {"head_dim": 256, "heads": 1, "kv_heads": 1, "batch": 2},
    ],
    ids=lambda shape: f"D{shape['head_dim']}",
)
def test_equals_norm_and_rope(any_host, dtype, shape):
    given = arguments(dtype=dtype, **shape)
    for output, want in zip(qk_norm_rope(*given, eps=EPS), expected(*given), strict=True):
        assert output.shape == want.shape
        difference = mx.abs(output.astype(mx.float32) - want.astype(mx.float32)).max().item()
        assert difference <= 4 * TOLERANCE[dtype]  # numbers of size four


def test_reads_strided_rows(emulated):
    q, k, *rest = arguments()
    both = mx.concatenate([q, k], axis=1)
    parts = mx.split(both, [q.shape[1]], axis=1)
    for output, want in zip(
        qk_norm_rope(*parts, *rest, eps=EPS), expected(q, k, *rest), strict=True
    ):
        assert mx.allclose(output, want, atol=1e-4).item()


@pytest.mark.parametrize("schedule", ["reverse", "shuffled"])
def test_any_order_of_threads_gives_the_same(emulated, schedule):
    given = arguments()
    forward = qk_norm_rope(*given, eps=EPS)
    with emulator.scheduled(schedule):
        other = qk_norm_rope(*given, eps=EPS)
    assert all(mx.array_equal(a, b).item() for a, b in zip(forward, other, strict=True))


def test_arrays_that_do_not_fit_are_refused(emulated):
    q, k, *rest = arguments()
    with pytest.raises(ConfigError, match="do not fit"):
        qk_norm_rope(q[:, :-1], k, *rest, eps=EPS)
    with pytest.raises(ConfigError, match="do not fit"):
        qk_norm_rope(q.astype(mx.float16), k, *rest, eps=EPS)
