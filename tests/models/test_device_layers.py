"""Layers for a GPU give what the layers they replace give."""

from pathlib import Path

import mlx.core as mx
import mlx.nn as nn
import pytest
from mlx.utils import tree_flatten

from mlx_backends import kernels
from mlx_backends.kernels import emulator
from mlx_backends.models import device_layers
from mlx_backends.models.unpack_rule import UnpackRule


class AlwaysFrom(UnpackRule):
    """Unpacks for so many rows and more."""

    def __init__(self, num_rows: int) -> None:
        super().__init__(Path())
        self._num_rows = num_rows

    def applies(self, num_rows: int, layer, dtype) -> bool:
        return num_rows >= self._num_rows


class Block(nn.Module):
    """The linear layers of a transformer's block, with the names of mlx-lm's models."""

    def __init__(self, *, has_bias: bool) -> None:
        super().__init__()
        self.embed = nn.Embedding(96, 64)
        self.q_proj = nn.Linear(64, 128, bias=has_bias)
        self.k_proj = nn.Linear(64, 64, bias=has_bias)
        self.v_proj = nn.Linear(64, 64, bias=has_bias)
        self.o_proj = nn.Linear(128, 64, bias=has_bias)

    def __call__(self, x: mx.array) -> list[mx.array]:
        queries = self.q_proj(x)
        return [queries, self.k_proj(x), self.v_proj(x), self.o_proj(queries)]


@pytest.fixture
def block(request):
    block = Block(has_bias=getattr(request, "param", False))
    for layer in (block.q_proj, block.k_proj, block.v_proj, block.o_proj):
        if "bias" in layer:
            layer.bias = mx.random.normal(layer.bias.shape, key=mx.random.key(len(layer.bias)))
    nn.quantize(block, group_size=32, bits=4)
    mx.eval(block.parameters())
    return block


def inputs(*shape: int) -> mx.array:
    return mx.random.normal((*shape, 64), key=mx.random.key(3))


def parameter_shapes(block: nn.Module) -> dict[str, tuple[int, ...]]:
    parameters = tree_flatten(block.parameters())
    return {name: a.shape for name, a in parameters if isinstance(a, mx.array)}


@pytest.mark.parametrize("block", [False, True], indirect=True)
@pytest.mark.parametrize("shape", [(1, 1), (3, 1), (1, 5), (2, 5)])
@pytest.mark.parametrize("rule", [None, AlwaysFrom(5)])
def test_same_numbers(block, shape, rule):
    x = inputs(*shape)
    expected = [*block(x), block.embed.as_linear(x)]
    mx.eval(expected)
    device_layers.install(block, rule)
    got = [*block(x), block.embed.as_linear(x)]
    for one, other in zip(got, expected, strict=True):
        assert one.shape == other.shape
        assert mx.allclose(one, other, rtol=1e-5, atol=1e-5).item()


def test_rows_of_one_token_are_one_product_of_one_matrix(block, monkeypatch):
    device_layers.install(block)
    shapes = []
    product = mx.quantized_matmul
    monkeypatch.setattr(
        mx, "quantized_matmul", lambda x, *a, **k: shapes.append(x.shape) or product(x, *a, **k)
    )
    block(inputs(3, 1))
    assert shapes == [(3, 64), (3, 128)]
    shapes.clear()
    block(inputs(1, 7))
    assert shapes == [(1, 7, 64)] * 3 + [(1, 7, 128)]


def test_many_rows_are_multiplied_with_unpacked_weights(block, monkeypatch):
    device_layers.install(block, AlwaysFrom(6))
    packed = []
    product = mx.quantized_matmul
    monkeypatch.setattr(
        mx, "quantized_matmul", lambda x, *a, **k: packed.append(x.shape) or product(x, *a, **k)
    )
    block(inputs(1, 6))
    assert packed == []
    block(inputs(1, 5))
    assert len(packed) == 4


def test_each_input_is_multiplied_anew(block):
    device_layers.install(block)
    first, second = inputs(1, 1), 2 * inputs(1, 1)
    queries = block.q_proj(first)
    assert mx.allclose(block.q_proj(second), 2 * queries, rtol=1e-5, atol=1e-5).item()
    keys = block.k_proj(first)
    assert mx.allclose(block.k_proj(second), 2 * keys, rtol=1e-5, atol=1e-5).item()


def test_stacked_layers_keep_their_parameters_and_compile(block):
    before = parameter_shapes(block)
    expected = block(inputs(2, 1))
    device_layers.install(block)
    device_layers.install(block)
    assert parameter_shapes(block) == before
    got = mx.compile(block)(inputs(2, 1))
    for one, other in zip(got, expected, strict=True):
        assert mx.allclose(one, other, rtol=1e-5, atol=1e-5).item()


def test_layers_of_different_formats_are_not_stacked(block):
    block.k_proj = nn.QuantizedLinear(64, 64, bias=False, group_size=64, bits=8)
    device_layers.install(block)
    assert type(block.q_proj) is device_layers.DeviceQuantizedLinear
    assert type(block.k_proj) is device_layers.DeviceQuantizedLinear


def test_the_rule_follows_what_mlx_has_compiled(block, tmp_path):
    layer = block.q_proj
    for tile in (16, 64):
        (tmp_path / f"qmm_sm80_tn_bfloat16_m{tile}_b4_g32_affine.ptx").touch()
    rule = UnpackRule(tmp_path)
    unpacked = [rows for rows in (1, 7, 8, 16, 17, 32, 33, 64, 65, 999)
                if rule.applies(rows, layer, mx.bfloat16)]  # fmt: skip
    assert unpacked == [17, 32, 65, 999]
    assert rule.applies(8, layer, mx.float16)
    device_layers.install(block, rule)
    assert device_layers.smallest_batch(block, mx.bfloat16) == 8
    assert device_layers.smallest_batch(block, mx.float16) == 1
    (tmp_path / "qmm_sm80_tn_bfloat16_m32_b4_g32_affine.ptx").touch()
    assert rule.applies(32, layer, mx.bfloat16)
    rule.compile_products(block, mx.bfloat16)
    assert not rule.applies(32, layer, mx.bfloat16)


def test_a_layer_whose_input_is_the_wider_is_unpacked_for_some_rows(block, tmp_path):
    for tile in (16, 32, 64):
        (tmp_path / f"qmm_sm80_tn_bfloat16_m{tile}_b4_g32_affine.ptx").touch()
    rule = UnpackRule(tmp_path)
    assert not rule.applies(7, block.o_proj, mx.bfloat16)
    assert rule.applies(8, block.o_proj, mx.bfloat16)
    assert rule.applies(64, block.o_proj, mx.bfloat16)
    device_layers.install(block, rule)
    assert device_layers.smallest_batch(block, mx.bfloat16) == 8  # the others have their kernel


@pytest.mark.skipif(not emulator.is_available(), reason="the emulator needs a C++ compiler")
@pytest.mark.parametrize("block", [False, True], indirect=True)
def test_a_few_rows_split_the_inner_width_where_it_is_the_wider(block, tmp_path, monkeypatch):
    rule, shapes = UnpackRule(tmp_path), []
    device_layers.install(block, rule)
    rows = [mx.random.normal((n, 1, 128), key=mx.random.key(n)) for n in (7, 8, 16, 17)]
    expected = [block.o_proj(x) for x in rows]
    mx.eval(expected)
    split = kernels.few_rows_matmul
    monkeypatch.setattr(
        kernels, "few_rows_matmul", lambda x, *a: shapes.append(x.shape) or split(x, *a)
    )
    with kernels.emulated():
        assert not rule.splits(8, block.q_proj, mx.float32)
        assert not rule.splits(8, block.o_proj, mx.float16)
        for x, wanted in zip(rows, expected, strict=True):
            assert mx.allclose(block.o_proj(x), wanted, rtol=1e-4, atol=1e-4).item()
    assert shapes == [(8, 128), (16, 128)]


def test_the_unpacked_bytes_of_the_largest_layer_and_of_the_head():
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = [Block(has_bias=False), Block(has_bias=True)]
            self.lm_head = nn.Linear(64, 96, bias=False)

    model = Model()
    nn.quantize(model, group_size=32, bits=4)
    device_layers.install(model)
    assert device_layers.unpacked_layer_bytes(model, mx.bfloat16) == 0  # nothing is unpacked
    device_layers.install(model, AlwaysFrom(8))
    layer = 64 * (128 + 64 + 64) + 128 * 64
    assert device_layers.unpacked_layer_bytes(model, mx.bfloat16) == 2 * layer
    assert device_layers.unpacked_head_bytes(model, mx.bfloat16) == 2 * 64 * 96
