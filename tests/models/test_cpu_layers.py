"""The CPU's layers against the ones they replace."""

import mlx.core as mx
import mlx.nn as nn
import numpy as np
import pytest
from mlx_lm.models import gemma, llama, qwen3

from mlx_backends.models import cpu_layers

pytestmark = pytest.mark.skipif(mx.is_available(mx.gpu), reason="these layers run on CPUs only")


class Layers(nn.Module):
    """One of each layer that is swapped, and one of a subclass that is not."""

    def __init__(self, bits=4):
        super().__init__()
        self.norm = nn.RMSNorm(96, eps=1e-5)
        self.norm.weight = mx.random.normal((96,))
        self.small_norm = nn.RMSNorm(64, eps=1e-6)
        self.linear = nn.QuantizedLinear.from_linear(nn.Linear(64, 96), group_size=32, bits=bits)
        self.embedding = nn.QuantizedEmbedding(50, 64, group_size=32, bits=bits)
        self.rope = nn.RoPE(64)


def pair(**options):
    """The same layers twice, as they are and swapped."""
    mx.random.seed(0)
    plain = Layers(**options)
    mx.random.seed(0)
    swapped = Layers(**options)
    swapped.update(plain.parameters())
    cpu_layers.install(swapped)
    return plain, swapped


def assert_close(found, expected, rtol=1e-5):
    scale = np.abs(np.array(expected)).max()
    np.testing.assert_allclose(np.array(found), np.array(expected), atol=rtol * scale, rtol=0)


@pytest.mark.parametrize("num_rows", [1, 2, 130])
@pytest.mark.parametrize("bits", [3, 4, 8])
class TestQuantizedLayers:
    def test_linear(self, num_rows, bits):
        plain, swapped = pair(bits=bits)
        x = mx.random.normal((1, num_rows, 64))
        assert_close(swapped.linear(x), plain.linear(x))

    def test_head(self, num_rows, bits):
        plain, swapped = pair(bits=bits)
        x = mx.random.normal((1, num_rows, 64))
        assert_close(swapped.embedding.as_linear(x), plain.embedding.as_linear(x))


@pytest.mark.parametrize("shape", [(1, 1, 64), (1, 5, 64), (3, 1, 64), (4, 64)])
@pytest.mark.parametrize("bias", [True, False])
def test_linear(shape, bias):
    plain = nn.Linear(64, 96, bias=bias)
    swapped = nn.Linear(64, 96, bias=bias)
    swapped.update(plain.parameters())
    cpu_layers.install(swapped)
    x = mx.random.normal(shape)
    assert_close(swapped(x), plain(x), 1e-6)
    swapped.weight = plain.weight * 2  # as an adapter that is merged
    plain.weight = plain.weight * 2
    assert_close(swapped(x), plain(x), 1e-6)


def test_head_of_a_tied_embedding():
    plain, swapped = nn.Embedding(50, 64), nn.Embedding(50, 64)
    swapped.update(plain.parameters())
    cpu_layers.install(swapped)
    for shape in ((1, 1, 64), (1, 5, 64), (3, 1, 64)):
        x = mx.random.normal(shape)
        assert_close(swapped.as_linear(x), plain.as_linear(x), 1e-6)
    ids = mx.array([[3, 49]])
    assert mx.array_equal(swapped(ids), plain(ids))


def test_norms_of_two_widths_and_epsilons():
    plain, swapped = pair()
    for shape in ((1, 1, 96), (2, 7, 96), (3, 96)):
        x = mx.random.normal(shape) * 3
        assert_close(swapped.norm(x), plain.norm(x), 1e-6)
    heads = mx.random.normal((2, 5, 3, 64)).transpose(0, 2, 1, 3)
    assert_close(swapped.small_norm(heads), plain.small_norm(heads), 1e-6)


@pytest.mark.parametrize("family", [llama, qwen3])
@pytest.mark.parametrize("num_rows", [1, 3, 70])
def test_gated_mlp(family, num_rows):
    plain = mlp_of(family)
    swapped = mlp_of(family)
    swapped.update(plain.parameters())
    cpu_layers.install(swapped)
    assert isinstance(swapped, cpu_layers.HostGatedMLP)
    x = mx.random.normal((2, num_rows, 32)) * 30  # gates of both signs, far from 0 too
    assert_close(swapped(x), plain(x))


def test_gates_beyond_what_an_exponential_holds():
    plain, swapped = mlp_of(llama), mlp_of(llama)
    swapped.update(plain.parameters())
    cpu_layers.install(swapped)
    x = mx.random.normal((16, 32), key=mx.random.key(1))
    for scale in (1e2, 1e3, 1e6):
        assert_close(swapped(scale * x), plain(scale * x))
    damaged = mx.where(mx.arange(16)[:, None] == 3, mx.nan, x)
    is_nan = mx.isnan(swapped(damaged)).all(axis=-1)
    assert is_nan.tolist() == [row == 3 for row in range(16)]


def mlp_of(family):
    if family is qwen3:
        return qwen3.MLP(32, 48)
    return llama.MLP(
        llama.ModelArgs(
            model_type="llama",
            hidden_size=32,
            num_hidden_layers=1,
            intermediate_size=48,
            num_attention_heads=1,
            rms_norm_eps=1e-6,
            vocab_size=8,
        )
    )


def test_another_mlp_is_left_alone():
    mlp = gemma.MLP(32, 48)  # its activation is a GELU
    cpu_layers.install(mlp)
    assert type(mlp) is gemma.MLP


def test_norm_keeps_half_precision():
    plain, swapped = pair()
    x = mx.random.normal((1, 3, 96)).astype(mx.bfloat16)
    assert swapped.norm(x).dtype == plain.norm(x).dtype


class TestRoPE:
    @pytest.mark.parametrize("offset", [0, 1, 4_095])
    def test_one_offset(self, offset):
        plain, swapped = pair()
        x = mx.random.normal((2, 3, 5, 64))
        with cpu_layers.one_position():
            assert_close(swapped.rope(x, offset=offset), plain.rope(x, offset=offset), 1e-6)

    def test_an_offset_for_each_row(self):
        plain, swapped = pair()
        x, offset = mx.random.normal((3, 4, 2, 64)), mx.array([0, 17, 3_000])
        with cpu_layers.one_position():
            for _ in range(2):
                assert_close(swapped.rope(x, offset=offset), plain.rope(x, offset=offset), 1e-6)

    def test_two_lengths_and_two_offsets_in_one_pass(self):
        plain, swapped = pair()
        with cpu_layers.one_position():
            for length, offset in ((1, 5), (4, 5), (1, 6), (1, 5)):
                x = mx.random.normal((1, 2, length, 64))
                assert_close(swapped.rope(x, offset=offset), plain.rope(x, offset=offset), 1e-6)

    def test_an_offset_that_changes_in_place_outside_of_a_pass(self):
        plain, swapped = pair()
        x, offset = mx.random.normal((2, 3, 1, 64)), mx.array([3, 4])
        for _ in range(3):
            assert_close(swapped.rope(x, offset=offset), plain.rope(x, offset=offset), 1e-6)
            offset += 1

    @pytest.mark.parametrize("num_rows", [2, 16, 17])
    def test_one_position_of_some_rows(self, num_rows):
        plain, swapped = pair()
        x, offset = mx.random.normal((num_rows, 3, 1, 64)), 90 * mx.arange(num_rows)
        with cpu_layers.one_position():
            for _ in range(2):
                assert_close(swapped.rope(x, offset=offset), plain.rope(x, offset=offset), 1e-6)

    @pytest.mark.parametrize("length", [1, 3])
    @pytest.mark.parametrize("options", [{"traditional": True}, {"base": 500.0}, {"scale": 0.5}])
    def test_settings(self, options, length):
        plain, swapped = nn.RoPE(64, **options), nn.RoPE(64, **options)
        cpu_layers.install(swapped)
        x = mx.random.normal((1, 2, length, 64))
        with cpu_layers.one_position():
            assert_close(swapped(x, offset=9), plain(x, offset=9), 1e-6)

    @pytest.mark.parametrize("length", [1, 3])
    def test_rotates_a_part_of_a_head_as_before(self, length):
        plain, swapped = nn.RoPE(32), nn.RoPE(32)
        cpu_layers.install(swapped)
        x = mx.random.normal((1, 2, length, 64))
        with cpu_layers.one_position():
            assert_close(swapped(x, offset=9), plain(x, offset=9), 1e-6)


class OwnNorm(nn.RMSNorm):
    def __call__(self, x):
        return super().__call__(x) + 1


def test_subclasses_are_left_alone():
    norm = OwnNorm(8)
    cpu_layers.install(norm)
    assert type(norm) is OwnNorm


def test_parameters_stay_where_they_are():
    plain, swapped = pair()
    names = {name for name, _ in nn.utils.tree_flatten(plain.parameters())}
    assert {name for name, _ in nn.utils.tree_flatten(swapped.parameters())} == names


def test_other_modes_are_left_alone():
    layer = nn.QuantizedLinear(64, 64, bias=False, group_size=32, bits=4, mode="mxfp4")
    cpu_layers.install(layer)
    assert type(layer) is nn.QuantizedLinear
