"""The seam in mlx-lm's attention. A failure here means that upstream changed: read the change."""

import inspect
import sys

import mlx.core as mx
import pytest
from mlx_lm.models import base, gemma2, llama
from mlx_lm.models.cache import KVCache, RotatingKVCache

from mlx_backends.cache.paged_cache import CausalMask, PagedCache
from mlx_backends.models import attention_seam, gemma2_attention
from mlx_backends.models.paging import NotPageableError, plan_paging

from .families import PAGED, tiny_model


class Recorder:
    """A forward pass that returns its queries and keeps what it was asked."""

    offset = 3

    def __init__(self):
        self.calls = []

    def attend(self, layer, queries, keys, values, **options):
        self.calls.append((layer, keys, values, options))
        return queries


def test_upstream_still_takes_what_the_seam_passes_on():
    upstream = inspect.signature(base.scaled_dot_product_attention)
    ours = inspect.signature(attention_seam.attention)
    assert list(upstream.parameters) == list(ours.parameters)
    mask = inspect.signature(base.create_attention_mask).parameters
    assert list(mask) == ["h", "cache", "window_size", "return_array"]
    assert "make_mask" in inspect.getsource(base.create_attention_mask)


def test_caches_still_say_what_the_plan_reads():
    assert RotatingKVCache(max_size=9).max_size == 9
    assert RotatingKVCache(max_size=9).keep == 0
    assert KVCache().offset == 0


@pytest.mark.parametrize("name", [name for name in PAGED if name != "gemma2"])
def test_every_family_calls_attention_by_the_name_that_is_replaced(name):
    model = tiny_model(name)
    attention_seam.install(model)
    names = {cls.__module__ for layer in model.modules() for cls in type(layer).__mro__}
    bound = [getattr(sys.modules[n], "scaled_dot_product_attention", None) for n in names]
    assert attention_seam.attention in bound


def test_gemma2_still_writes_its_attention_out():
    assert "scaled_dot_product_attention" not in inspect.getsource(gemma2)
    assert "attn_logit_softcapping" in inspect.getsource(gemma2.Attention)


def test_installing_twice_is_once():
    model = tiny_model("llama")
    attention_seam.install(model)
    attention_seam.install(model)
    assert llama.scaled_dot_product_attention is attention_seam.attention
    assert base.scaled_dot_product_attention is not attention_seam.attention
    gemma = tiny_model("gemma2")
    gemma2_attention.install(gemma)
    gemma2_attention.install(gemma)
    assert type(gemma.layers[0].self_attn).__mro__[1] is gemma2.Attention


def test_paged_rows_reach_the_pass_and_others_mlx_lm():
    recorder = Recorder()
    cache = PagedCache(2, recorder, window=8)
    x = mx.random.normal((1, 2, 3, 4))
    keys, values = cache.update_and_fetch(x, x + 1)
    sinks = mx.ones((2,))
    mask = cache.make_mask(3, window_size=5)
    attention_seam.attention(x, keys, values, cache, 0.5, mask, sinks=sinks)
    ((layer, got_keys, got_values, options),) = recorder.calls
    assert layer == 2
    assert got_keys is x
    assert mx.array_equal(got_values, x + 1)
    assert (options["scale"], options["window"]) == (0.5, 5)
    assert options["sinks"] is sinks
    plain = attention_seam.attention(x, x, x, None, 0.5, "causal")
    expected = mx.fast.scaled_dot_product_attention(x, x, x, scale=0.5, mask="causal")
    assert mx.array_equal(plain, expected)


@pytest.mark.parametrize(
    ("own", "asked", "expected"), [(None, None, None), (8, None, 8), (None, 5, 5), (4, 9, 4)]
)
def test_the_narrower_window_holds(own, asked, expected):
    recorder = Recorder()
    cache = PagedCache(0, recorder, window=own)
    x = mx.zeros((1, 1, 1, 8))
    rows = cache.update_and_fetch(x, x)
    cache.attend(x, *rows, scale=1.0, mask=CausalMask(asked))
    assert recorder.calls[0][3]["window"] == expected


def test_a_mask_of_the_models_own_is_refused():
    model = tiny_model("llama")

    def with_bias(queries, keys, values, cache, scale, mask, sinks=None):
        return attention_seam.attention(queries, keys, values, cache, scale, mx.zeros((3, 3)))

    attention_seam.install(model)
    llama.scaled_dot_product_attention = with_bias
    try:
        with pytest.raises(NotPageableError, match="masks with array"):
            plan_paging(model)
    finally:
        llama.scaled_dot_product_attention = attention_seam.attention


def test_a_layer_that_shares_anothers_cache_is_refused():
    model = tiny_model("llama")
    model.model.layers[1].self_attn = _Twice(model.model.layers[1].self_attn)
    with pytest.raises(NotPageableError, match="attends 2 times"):
        plan_paging(model)


class _Twice(llama.nn.Module):
    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def __call__(self, x, mask=None, cache=None):
        return self.inner(x, mask, cache) + self.inner(x, mask, cache)
