"""Rounding with data: block by block, with what the inputs say."""

import mlx.core as mx
import mlx.nn as nn
import numpy as np
import pytest

from mlx_backends import QuantizationConfig
from mlx_backends.errors import QuantizationError
from mlx_backends.quantization import quantize
from mlx_backends.quantization.awq import awq
from mlx_backends.quantization.block_runs import visit_blocks
from mlx_backends.quantization.blocks import input_moments
from mlx_backends.quantization.gptq import round_columns
from mlx_backends.quantization.grids import best_grid, round_alone, round_to_best_grid
from mlx_backends.quantization.layers import leaves


@pytest.fixture
def matrix():
    return mx.random.normal((48, 128), key=mx.random.key(2))


@pytest.fixture
def moment():
    """Of inputs that depend on each other, with channels of very different size."""
    mixing = mx.random.normal((128, 128), key=mx.random.key(3)) / 4 + mx.eye(128)
    sizes = mx.exp(0.5 * mx.random.normal((128,), key=mx.random.key(4)))
    inputs = mx.random.normal((2_000, 128), key=mx.random.key(5)) @ mixing * sizes
    return inputs.T @ inputs


def product_error(rounded, matrix, moment):
    error = rounded.values().reshape(matrix.shape) - matrix
    return float(((error @ moment) * error).sum())


@pytest.mark.parametrize("bits", [2, 3, 4])
def test_columns_make_up_for_the_errors_of_columns_before(matrix, moment, bits):
    alone = round_to_best_grid(matrix, bits, 64)
    weighted = round_to_best_grid(matrix, bits, 64, mx.diag(moment))
    by_column = round_columns(matrix, moment, bits, 64)
    errors = [product_error(r, matrix, moment) for r in (alone, weighted, by_column)]
    assert errors[1] < errors[0]
    assert errors[2] < 0.9 * errors[1]
    codes = np.array(by_column.codes)
    assert set(np.unique(codes)) <= set(range(2**bits))


def test_inputs_that_do_not_depend_on_each_other_leave_each_column_to_itself(matrix):
    by_column = round_columns(matrix, mx.eye(128), 3, 64)
    alone = round_to_best_grid(matrix, 3, 64)
    assert mx.allclose(by_column.values(), alone.values(), atol=1e-5)


def test_the_best_grid_loses_less_than_mlx_s_own(matrix):
    for bits in (2, 3, 4):
        own = mx.dequantize(*mx.quantize(matrix, 64, bits), 64, bits)
        found = round_to_best_grid(matrix, bits, 64).values().reshape(matrix.shape)
        assert mx.square(found - matrix).sum() < mx.square(own - matrix).sum()


def test_groups_of_equal_weights_are_kept():
    flat = mx.full((4, 64), 0.5)
    scale, bias = best_grid(flat, 2)
    assert mx.isfinite(scale).all()
    assert mx.isfinite(bias).all()
    for bits in (2, 4):
        assert mx.allclose(round_alone(flat, bits, 64).values(), flat, atol=1e-3)


def test_four_bits_without_data_are_mlx_s_own(matrix):
    own = mx.dequantize(*mx.quantize(matrix, 64, 4), 64, 4)
    assert mx.allclose(round_alone(matrix, 4, 64).values().reshape(matrix.shape), own, atol=1e-5)


def test_a_block_sees_what_the_blocks_before_it_give(tiny, ids):
    """The second block's inputs change when the first block's weights do."""
    seen: list[dict[str, mx.array]] = []

    def visit(block, run):
        seen.append(input_moments({"q": block.self_attn.q_proj}, run))
        return run()

    def visit_and_change(block, run):
        visit(block, run)
        block.mlp.down_proj.weight = block.mlp.down_proj.weight * 3
        return run()

    kinds = [type(block) for block in tiny.layers]
    visit_blocks(tiny, ids, visit)
    visit_blocks(tiny, ids, visit_and_change)
    assert [type(block) for block in tiny.layers] == kinds
    count = len(kinds)
    assert mx.array_equal(seen[0]["q"], seen[count]["q"])
    assert not mx.allclose(seen[1]["q"], seen[count + 1]["q"])


def test_moments_are_of_all_tokens(tiny, ids):
    layer = tiny.layers[0].self_attn.q_proj
    found = []

    def visit(block, run):
        if block is tiny.layers[0]:
            found.append(input_moments({"q": layer}, run)["q"])
        return run()

    visit_blocks(tiny, ids, visit)
    inputs = tiny.layers[0].input_layernorm(tiny.model.embed_tokens(ids)).reshape(-1, 128)
    assert mx.allclose(found[0], inputs.T @ inputs, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("algorithm", ["awq", "gptq"])
def test_layers_may_be_left_out(tiny, ids, algorithm):
    config = {
        "weight_bits": 3, "algorithm": algorithm, "calibration_data": ids, "exclude": ("v_proj",)
    }  # fmt: skip
    layers = leaves(quantize(tiny, config))
    assert "scales" not in layers["model.layers.0.self_attn.v_proj"]
    assert "scales" in layers["model.layers.0.self_attn.q_proj"]


def test_scaling_alone_changes_nothing_that_the_model_computes(tiny, ids):
    before = tiny(ids)
    config = QuantizationConfig(weight_bits=8, algorithm="awq", calibration_data=ids)
    awq(tiny, ids, config)
    error = mx.linalg.norm(tiny(ids) - before) / mx.linalg.norm(before)
    assert float(error) < 0.02


def test_a_model_without_blocks_is_refused():
    with pytest.raises(QuantizationError, match="no list of blocks"):
        visit_blocks(nn.Linear(8, 8), mx.zeros((1, 8), mx.int32), lambda block, run: run())
