"""The fused layers compute what mlx-lm's do, on the emulator, in any row of a batch."""

import mlx.core as mx
import pytest

from mlx_backends import bundled, kernels
from mlx_backends.cache.kv_pool import KVPool
from mlx_backends.engine.device_pass import DecodePass
from mlx_backends.engine.pool_access import KernelAccess
from mlx_backends.kernels import emulator
from mlx_backends.models import fused_qwen3
from mlx_backends.models.loader import load_language_model
from mlx_backends.models.paging import plan_paging

LENGTHS = (1, 20, 33)


def logits(attention: bool, residual: bool) -> mx.array:
    """Logits after one token of three sequences, whose earlier keys and values are random."""
    loaded = load_language_model(
        bundled.path("lm"), device="cpu", dtype="auto", memory_limit_bytes=None
    )
    loaded.model.model.layers = loaded.model.model.layers[:2]
    plan = plan_paging(loaded.model)
    count = fused_qwen3.install(loaded.model, attention=attention, residual=residual)
    assert count == 2 * (attention + residual)
    pool = KVPool(plan.layers, 9, 16, plan.dtype)
    access = KernelAccess(pool)
    mx.random.seed(0)
    for layer, shape in enumerate(plan.layers):
        rows = mx.random.normal((2, 1, shape.num_kv_heads, 144, shape.key_dim))
        access.append(layer, rows[0], rows[1], mx.arange(144, dtype=mx.int32)[None])
    tables = mx.arange(9, dtype=mx.int32).reshape(3, 3)
    forward_pass = DecodePass(access, tables, mx.array(LENGTHS, dtype=mx.int32))
    tokens = mx.array([[5], [6], [7]])
    return loaded.model(tokens, cache=plan.caches(forward_pass))[:, -1]


@pytest.mark.skipif(not emulator.is_available(), reason="needs a C++ compiler")
@pytest.mark.parametrize(("attention", "residual"), [(True, False), (False, True), (True, True)])
def test_fused_layers_give_the_same_logits(attention, residual):
    with kernels.emulated():
        expected, got = logits(False, False), logits(attention, residual)
    scale = mx.abs(expected).max().item()
    assert 0 < mx.abs(got - expected).max().item() <= 1e-5 * scale


def test_other_caches_reach_the_layers_as_they_were():
    loaded = load_language_model(
        bundled.path("lm"), device="cpu", dtype="auto", memory_limit_bytes=None
    )
    tokens = mx.array([[5, 6, 7]])
    expected = loaded.model(tokens)
    assert fused_qwen3.install(loaded.model) > 0
    assert mx.array_equal(loaded.model(tokens), expected).item()
