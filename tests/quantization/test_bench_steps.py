"""What a training step costs: the usual loop computes what it should, and the figures are whole."""

import mlx.core as mx
import numpy as np
import pytest
from mlx.utils import tree_flatten

from mlx_backends import QuantizationConfig
from mlx_backends.bench.quantization_loop import fake_quantized, round_when_called
from mlx_backends.bench.quantization_row import Options, Run
from mlx_backends.bench.quantization_steps import STEP_PARTS, STEP_TIMES
from mlx_backends.bench.quantization_training import step_rows, training_tokens
from mlx_backends.quantization.methods import twin_of


def test_the_usual_loop_rounds_weights_in_each_call_and_keeps_them(tiny, ids):
    config = QuantizationConfig(method="qat", weight_bits=3)
    usual, rounded = twin_of(tiny), twin_of(tiny)
    round_when_called(usual, config)
    exact = dict(tree_flatten(tiny.parameters()))
    for name, layer in rounded.named_modules():
        if "weight" in layer and layer.weight.ndim == 2:
            layer.weight = fake_quantized(exact[f"{name}.weight"], 3, config.group)
    assert mx.allclose(usual(ids), rounded(ids), atol=1e-5)
    assert not mx.allclose(usual(ids), tiny(ids), atol=1e-2)
    for name, kept in tree_flatten(usual.parameters()):
        assert mx.array_equal(kept, exact[name]), name


def test_a_fake_quantized_group_has_few_values_and_its_own_ends():
    weight = mx.random.normal((3, 64), key=mx.random.key(0))
    kept = np.array(fake_quantized(weight, 2, 64))
    assert all(len(np.unique(row.round(5))) == 4 for row in kept)
    assert np.allclose(kept.min(-1), np.array(weight.min(-1)), atol=1e-6)
    assert np.allclose(kept.max(-1), np.array(weight.max(-1)), atol=1e-6)
    gradient = mx.grad(lambda w: (2.0 * fake_quantized(w, 2, 64)).sum())(weight)
    assert mx.allclose(gradient, mx.full(weight.shape, 2.0))


@pytest.mark.parametrize(
    ("only", "tokens"),
    [(("fp32", "bits, GPTQ"), 0), (("control",), 400_000), (("QAT",), 400_000),
     ((STEP_TIMES,), 0), ((), 400_000)],
)  # fmt: skip
def test_training_data_is_made_only_for_rows_that_train(tmp_path, only, tokens):
    options = Options(collection=tmp_path / "none", only=only, training_seconds=1.0)
    assert training_tokens(options) == tokens


@pytest.mark.slow
def test_steps_and_their_parts_are_timed(tiny, ids, tmp_path):
    options = Options(collection=tmp_path / "none", only=(STEP_TIMES, STEP_PARTS))
    lines = []
    state = Run(options, lines.append, tiny, [], ids, 0.0)
    step_rows(state)
    (times,) = state.record[STEP_TIMES].values()
    (parts,) = state.record[STEP_PARTS].values()
    assert all(value > 0 for value in (times | parts).values())
    assert times["usual loop, uncompiled / with rounding, compiled"] == pytest.approx(
        times["usual loop, uncompiled"] / times["with rounding, compiled"]
    )
    assert len(lines) > len(times) + len(parts)
