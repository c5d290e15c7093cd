"""Products with weights that are held as bytes too, against the floats they were unpacked to."""

import gc

import mlx.core as mx
import mlx.nn as nn
import pytest

from mlx_backends import fast_blas
from mlx_backends.models import byte_weights

pytestmark = pytest.mark.skipif(not fast_blas.has_bytes(), reason="no kernel for bytes here")

COLUMNS, ROWS = 192, 131  # no multiple of a tile


def make_layer(bits=4, group_size=32):
    """A packed layer in a model, before it is unpacked."""
    mx.random.seed(bits)
    model = nn.Sequential(nn.Linear(COLUMNS, ROWS))
    nn.quantize(model, group_size=group_size, bits=bits)
    mx.eval(model.parameters())
    return model


def enter(model, *, spoil=False):
    """Unpack a model and enter its bytes, other ones than the floats if asked."""
    (weight,) = byte_weights.unpack(model)
    if spoil:
        codes = mx.zeros_like(weight.codes)
        weight = byte_weights.ByteWeight(
            weight.layer, codes, weight.scales, weight.offsets, weight.group_size
        )
    mx.eval(model.parameters())
    byte_weights.enter_all(model, [weight])
    return model.layers[0]


def inputs(count):
    return mx.random.normal((count, COLUMNS), key=mx.random.key(count))


def product(x, weight):
    """With a weight at another address, that the BLAS knows nothing about."""
    return x @ mx.contiguous(weight + 0).T


@pytest.mark.parametrize("group_size", [32, 64])
@pytest.mark.parametrize("bits", [2, 3, 4, 5, 6, 8])
@pytest.mark.parametrize("count", [1, 2, 3, 5, 16, 17])
def test_the_same_numbers_up_to_rounding(bits, group_size, count):
    packed = make_layer(bits, group_size).layers[0]
    expected = mx.dequantize(packed.weight, packed.scales, packed.biases, group_size, bits)
    layer = enter(make_layer(bits, group_size))
    assert mx.array_equal(layer.weight, expected)
    x = inputs(count)
    found, floats = layer(x) - layer.bias, product(x, expected)
    assert mx.abs(found - floats).max() <= 1e-6 * mx.abs(floats).max() * COLUMNS**0.5


def test_a_row_is_the_same_in_any_batch():
    layer, x = enter(make_layer()), inputs(16)
    together = x @ layer.weight.T
    for count in range(1, 16):
        assert mx.array_equal(x[:count] @ layer.weight.T, together[:count])


def test_few_rows_read_the_bytes_and_many_the_floats():
    layer = enter(make_layer(), spoil=True)
    for count, reads_bytes in ((1, True), (16, True), (17, False)):
        x = inputs(count)
        is_right = mx.allclose(x @ layer.weight.T, product(x, layer.weight), atol=1e-4)
        assert bool(is_right) != reads_bytes


def test_a_layer_that_is_gone_is_forgotten_and_a_new_weight_is_read():
    model = make_layer()
    layer, x = enter(model, spoil=True), inputs(4)
    old = layer.weight
    layer.weight = mx.random.normal(old.shape)
    assert mx.allclose(x @ layer.weight.T, product(x, layer.weight), atol=1e-4)
    assert not mx.allclose(x @ old.T, product(x, old), atol=1e-4)
    del layer, model
    gc.collect()
    assert mx.allclose(x @ old.T, product(x, old), atol=1e-4)


def test_layers_that_were_replaced_are_not_entered():
    model = make_layer()
    weights = byte_weights.unpack(model)
    model.layers[0] = nn.Linear(COLUMNS, ROWS)
    mx.eval(model.parameters())
    byte_weights.enter_all(model, weights)
    assert weights == []


def test_weights_of_other_types_are_left_alone():
    model = make_layer()
    model.set_dtype(mx.bfloat16)
    assert byte_weights.unpack(model) == []
    assert model.layers[0].weight.dtype == mx.bfloat16


def test_what_does_not_fit_is_refused():
    layer = nn.Linear(24, 8)
    weight = byte_weights.ByteWeight(
        layer, mx.zeros((8, 24), mx.uint8), mx.ones((8, 3)), mx.ones((8, 3)), 8
    )
    weight.enter()
    x = mx.ones((1, 24))
    assert mx.allclose(x @ layer.weight.T, product(x, layer.weight), atol=1e-5)
