"""Training that bears the rounding: gradients, equality with the packed model, resumption."""

from dataclasses import replace

import mlx.core as mx
import mlx.nn as nn
import mlx.optimizers as optim
import numpy as np
import pytest
from mlx.utils import tree_flatten, tree_unflatten

from mlx_backends import QuantizationConfig, quantize_model
from mlx_backends.errors import ConfigError, NumericalError, QuantizationError
from mlx_backends.models.loader import read_model
from mlx_backends.quantization import quantize
from mlx_backends.quantization.grids import Grids, _split
from mlx_backends.quantization.methods import twin_of
from mlx_backends.quantization.ptq import unpack
from mlx_backends.quantization.qat import grids_of, train
from mlx_backends.quantization.trained_weights import FullWeights, LowRankWeights
from mlx_backends.quantization.training_config import TrainingConfig
from mlx_backends.quantization.training_data import RowBatches
from mlx_backends.quantization.training_step import TrainingStep, next_token_loss

TRAINING = TrainingConfig(steps=30, batch_size=4, learning_rate=2e-3)


def config_of(**options):
    training = replace(TRAINING, **options.pop("training", {}))
    return QuantizationConfig(method="qat", weight_bits=2, training=training, **options)


def parameters(model):
    return dict(tree_flatten(model.parameters()))


def distance(model, twin, ids):
    """KL divergence of the twin's predictions from the model's."""
    wanted, got = (m(ids) - mx.logsumexp(m(ids), -1, keepdims=True) for m in (model, twin))
    return float((mx.exp(wanted) * (wanted - got)).sum(-1).mean())


def test_training_brings_the_rounded_model_nearer_to_the_original(tiny):
    plain = quantize(tiny, {"weight_bits": 2})
    rows = mx.random.randint(0, 1_000, (512, 32), key=mx.random.key(3))
    options = {"steps": 16, "batch_size": 8, "learning_rate": 2e-3}
    trained = quantize(tiny, config_of(calibration_data=rows, training=options))
    held_out = mx.random.randint(0, 1_000, (4, 32), key=mx.random.key(9))
    assert distance(tiny, trained, held_out) < 0.8 * distance(tiny, plain, held_out)
    assert parameters(trained)["model.layers.0.mlp.up_proj.weight"].dtype == mx.uint32


@pytest.mark.parametrize("bits", [2, 3, 4, 5, 6, 8])
def test_the_packed_model_is_the_one_that_was_trained(tiny, ids, bits):
    config = QuantizationConfig(method="qat", weight_bits=bits, embedding_bits=4)
    grids = grids_of(tiny, config, mx.bfloat16)
    changes = {n: 0.1 * mx.random.normal(a.shape) for n, a in grids.start().items()}
    twin, packed = twin_of(tiny), twin_of(tiny)
    twin.update(tree_unflatten(list(grids.round(parameters(tiny), changes).items())))
    grids.pack(packed, parameters(tiny), changes)
    packed.set_dtype(mx.float32)
    unpack(packed)
    for name, array in parameters(packed).items():
        if "norm" not in name:
            assert mx.allclose(parameters(twin)[name], array, atol=1e-6), name


def test_joined_weights_are_rounded_and_packed_as_those_by_name(tiny):
    grids = grids_of(tiny, config_of(embedding_bits=4), mx.bfloat16)
    changes = {n: 0.1 * mx.random.normal(a.shape) for n, a in grids.start().items()}
    joined = grids.join(parameters(tiny))
    assert len(joined) < len(parameters(tiny)) / 2
    by_name, together = grids.round(parameters(tiny), changes), grids.round(joined, changes)
    assert by_name.keys() == together.keys() == parameters(tiny).keys()
    assert all(mx.array_equal(by_name[name], together[name]) for name in by_name)
    one, other = twin_of(tiny), twin_of(tiny)
    grids.pack(one, parameters(tiny), changes)
    grids.pack(other, joined, changes)
    assert all(mx.array_equal(a, parameters(other)[n]) for n, a in parameters(one).items())


def test_gradients_pass_through_the_rounding():
    weights = {"w": mx.random.normal((4, 64))}
    grids = Grids(weights, {"w": 2}, 64, mx.float32)

    def total(w, changes):
        return (grids.round({"w": w}, changes)["w"] * 3.0).sum()

    gradient, changes = mx.grad(total, argnums=(0, 1))(weights["w"], grids.start())
    is_through = np.isclose(np.array(gradient), 3.0)
    assert is_through.mean() > 0.8
    assert not np.array(gradient)[~is_through].any()  # clipped weights take none
    assert float(mx.abs(changes["grid.0.log_scale"]).min()) > 0


def test_first_grids_lose_less_than_rounding_to_nearest():
    weight = mx.random.normal((64, 128), key=mx.random.key(0))
    grids = Grids({"w": weight}, {"w": 2}, 64, mx.float32)
    ours = grids.round({"w": weight}, grids.start())["w"]
    theirs = mx.dequantize(*mx.quantize(weight, 64, 2), group_size=64, bits=2)
    assert mx.linalg.norm(ours - weight) < 0.9 * mx.linalg.norm(theirs - weight)


def test_a_training_taken_up_ends_as_one_without_a_break(tiny, ids, tmp_path):
    def run(model, **options):
        config = config_of(training={"steps": 6, "checkpoint_every": 3, **options})
        batches = RowBatches(ids, 4, 0)
        train(model, config, batches, teacher=tiny, stored=mx.float32)
        return parameters(model)

    path = tmp_path / "deep" / "state.safetensors"
    whole = run(twin_of(tiny))

    class Stop(Exception):
        pass

    batches = RowBatches(ids, 4, 0)

    def stop_at_five(index):
        if index == 5:
            raise Stop
        return batches(index)

    broken = config_of(training={"steps": 6, "checkpoint_every": 3, "checkpoint": path})
    with pytest.raises(Stop):
        train(twin_of(tiny), broken, stop_at_five, teacher=tiny, stored=mx.float32)
    assert [file.name for file in path.parent.iterdir()] == ["state.safetensors"]
    again = run(twin_of(tiny), checkpoint=path)
    for name, array in whole.items():
        assert mx.array_equal(array, again[name]), name


def test_a_foreign_checkpoint_is_refused(tiny, ids, tmp_path):
    path = tmp_path / "state.safetensors"
    path.write_bytes(b"no safetensors")
    config = config_of(training={"checkpoint": path}, calibration_data=ids)
    with pytest.raises(ConfigError, match="no checkpoint"):
        quantize(tiny, config)
    mx.save_safetensors(str(path), {"trained/x": mx.zeros(1)}, metadata={"step": "3"})
    with pytest.raises(ConfigError, match="another training"):
        quantize(tiny, config)


def test_low_rank_training_adds_thin_products_alone(tiny):
    name = "model.layers.0.mlp.up_proj.weight"
    weights = LowRankWeights(parameters(tiny), [name], rank=4, seed=0)
    trained = weights.start()
    assert mx.array_equal(weights.exact(trained)[name], parameters(tiny)[name])
    trained[f"{name}.up"] = mx.random.normal(trained[f"{name}.up"].shape)
    change = weights.exact(trained)[name] - parameters(tiny)[name]
    singular = mx.linalg.svd(change, stream=mx.cpu)[1]
    assert float(singular[3]) > 1e-2
    assert float(singular[4] / singular[0]) < 1e-5
    assert mx.array_equal(weights.exact(trained)["model.norm.weight"], tiny.model.norm.weight)


def test_low_rank_training_runs(tiny, ids):
    config = config_of(training={"scope": "lora", "lora_rank": 4, "steps": 4})
    losses = train(twin_of(tiny), config, RowBatches(ids, 4, 0), teacher=tiny)
    assert len(losses) == 1


def test_gradient_checkpointing_changes_nothing_but_memory(tiny, ids):
    ends = []
    for is_on in (False, True):
        twin = twin_of(tiny)
        config = config_of(training={"steps": 10, "gradient_checkpointing": is_on})
        ends += train(twin, config, RowBatches(ids, 4, 0), teacher=tiny, stored=mx.float32)
        assert type(twin.layers[0]) is type(tiny.layers[0])
    assert ends[0] == pytest.approx(ends[1], rel=1e-3)


def test_compiled_and_plain_steps_agree(tiny, ids):
    batch = RowBatches(ids, 4, 0)(0)
    losses = []
    for is_compiled in (True, False):
        grids = grids_of(tiny, config_of(), mx.float32)
        weights = FullWeights(parameters(tiny))
        trained = weights.start() | grids.start()
        optimizer = optim.AdamW(1e-3)
        optimizer.init(trained)
        step = TrainingStep(
            twin_of(tiny),
            lambda trained, w=weights, g=grids: g.round(w.exact(trained), trained),
            next_token_loss,
            optimizer,
            is_compiled=is_compiled,
        )
        for _ in range(3):
            trained, loss = step(trained, batch)
        losses.append(float(loss))
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


def test_eight_bit_activations_are_trained_and_saved(tiny, ids):
    config = QuantizationConfig(
        method="qat",
        weight_bits=8,
        activation_bits=8,
        calibration_data=ids,
        training=replace(TRAINING, steps=2, learning_rate=1e-5),
    )
    twin = quantize(tiny, config)
    assert type(twin.model.layers[0].mlp.up_proj).__name__ == "RoundedInputQuantizedLinear"
    assert distance(tiny, twin, ids) < 0.01


def test_a_folder_is_trained_and_loads_as_any_other(tiny_folder, tmp_path, ids):
    config = config_of(training={"steps": 4}, calibration_data=ids)
    steps = []
    quantize_model(
        tiny_folder, tmp_path / "out", config, on_progress=lambda done, total: steps.append(done)
    )
    assert 4 in steps
    model, settings = read_model(tmp_path / "out")
    assert settings["quantization"]["bits"] == 2
    assert bool(mx.isfinite(model(ids)).all())


def test_a_rate_that_breaks_the_model_is_told(tiny, ids):
    config = config_of(training={"learning_rate": 0.999, "steps": 40, "loss": "data"})
    with pytest.raises(QuantizationError):
        quantize(nn.LayerNorm(8), config_of(calibration_data=ids))
    broken = twin_of(tiny)
    broken.model.norm.weight = broken.model.norm.weight * float("nan")
    with pytest.raises(NumericalError, match="learning_rate"):
        train(broken, config, RowBatches(ids, 4, 0), stored=mx.float32)


@pytest.mark.parametrize(
    "options",
    [
        {"steps": 0},
        {"batch_size": True},
        {"loss": "mse"},
        {"scope": "half"},
        {"learning_rate": 0},
        {"lora_rank": 1.5},
        {"start": "zero"},
    ],
)
def test_bad_training_options(options):
    with pytest.raises(ConfigError, match=next(iter(options))):
        TrainingConfig(**options)


def test_the_rate_warms_up_and_falls_to_nothing():
    rates = [TRAINING.rate_at(step) for step in range(TRAINING.steps)]
    assert max(rates) == TRAINING.learning_rate
    assert rates[-1] < 0.1 * max(rates)


def test_gradients_of_weights_side_by_side_are_those_of_slices():
    rows, wanted = mx.random.normal((2, 60, 4), key=mx.random.key(5))

    def loss(parts):
        return lambda rows: (mx.concatenate(parts(rows)[::-1]) * wanted).square().sum()

    cut = mx.grad(loss(lambda rows: _split(rows, [10, 20, 30])))(rows)
    assert mx.allclose(cut, mx.grad(loss(lambda rows: [rows[:10], rows[10:30], rows[30:]]))(rows))
