"""Training that bears the rounding: gradients, equality with the packed model, resumption."""

from dataclasses import replace

import mlx.core as mx
import mlx.nn as nn
import pytest
from mlx.utils import tree_flatten

from mlx_backends import QuantizationConfig, quantize_model
from mlx_backends.errors import ConfigError, NumericalError, QuantizationError
from mlx_backends.models.loader import read_model
from mlx_backends.quantization import quantize
from mlx_backends.quantization.methods import twin_of
from mlx_backends.quantization.ptq import round_to_nearest
from mlx_backends.quantization.qat import Rounding, train
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
    options = {"steps": 25, "batch_size": 16, "learning_rate": 2e-3}
    trained = quantize(tiny, config_of(calibration_data=rows, training=options))
    held_out = mx.random.randint(0, 1_000, (4, 32), key=mx.random.key(9))
    assert distance(tiny, trained, held_out) < 0.8 * distance(tiny, plain, held_out)
    assert parameters(trained)["model.layers.0.mlp.up_proj.weight"].dtype == mx.uint32


def test_the_packed_model_is_the_one_that_was_trained(tiny, ids):
    config = config_of(embedding_bits=4)
    rounding = Rounding.of(tiny, config, mx.float32)
    twin = twin_of(tiny)
    twin.update(_tree(rounding(parameters(tiny))))
    packed = twin_of(tiny)
    round_to_nearest(packed, config)
    assert mx.allclose(twin(ids), packed(ids), atol=1e-4)


def _tree(weights):
    from mlx.utils import tree_unflatten

    return tree_unflatten(list(weights.items()))


def test_the_gradient_passes_as_if_nothing_were_rounded(tiny):
    rounding = Rounding(widths={"w": 2}, group_size=64, stored=mx.float32)
    w = mx.random.normal((4, 64))
    gradient = mx.grad(lambda w: (rounding({"w": w})["w"] * 3.0).sum())(w)
    assert mx.array_equal(gradient, mx.full((4, 64), 3.0))


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
        assert mx.allclose(array, again[name], atol=1e-6), name


def test_a_foreign_checkpoint_is_refused(tiny, ids, tmp_path):
    path = tmp_path / "state.safetensors"
    path.write_bytes(b"no safetensors")
    config = config_of(training={"checkpoint": path}, calibration_data=ids)
    with pytest.raises(ConfigError, match="no checkpoint"):
        quantize(tiny, config)
    mx.save_safetensors(str(path), {"trained/x": mx.zeros(1)}, metadata={"step": "3"})
    with pytest.raises(ConfigError, match="another training"):
        quantize(tiny, config)


def test_low_rank_training_leaves_the_base_as_it_was(tiny, ids):
    config = config_of(training={"scope": "lora", "lora_rank": 4, "steps": 6})
    twin = twin_of(tiny)
    train(twin, config, RowBatches(ids, 4, 0), teacher=tiny, stored=mx.float32)
    before, after = parameters(tiny), parameters(twin)
    name = "model.layers.0.mlp.up_proj.weight"
    change = after[name] - before[name]
    assert float(mx.abs(change).max()) > 0
    singular = mx.linalg.svd(change, stream=mx.cpu)[1]
    assert float(singular[4] / singular[0]) < 1e-4
    for kept in ("model.embed_tokens.weight", "model.norm.weight"):
        assert mx.array_equal(after[kept], before[kept])


def test_gradient_checkpointing_changes_nothing_but_memory(tiny, ids):
    ends = []
    for is_on in (False, True):
        twin = twin_of(tiny)
        config = config_of(training={"steps": 3, "gradient_checkpointing": is_on})
        train(twin, config, RowBatches(ids, 4, 0), teacher=tiny, stored=mx.float32)
        assert type(twin.layers[0]) is type(tiny.layers[0])
        ends.append(parameters(twin))
    for name, array in ends[0].items():
        assert mx.allclose(array, ends[1][name], atol=1e-5), name


def test_compiled_and_plain_steps_agree(tiny, ids):
    import mlx.optimizers as optim

    batch = RowBatches(ids, 4, 0)(0)
    losses = []
    for is_compiled in (True, False):
        twin = twin_of(tiny)
        trained = parameters(twin)
        optimizer = optim.AdamW(1e-3)
        optimizer.init(trained)
        rounding = Rounding.of(twin, config_of(), mx.float32)
        step = TrainingStep(twin, rounding, next_token_loss, optimizer, is_compiled=is_compiled)
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
    ],
)
def test_bad_training_options(options):
    with pytest.raises(ConfigError, match=next(iter(options))):
        TrainingConfig(**options)


def test_the_rate_warms_up_and_falls_to_nothing():
    rates = [TRAINING.rate_at(step) for step in range(TRAINING.steps)]
    assert max(rates) == TRAINING.learning_rate
    assert rates[-1] < 0.1 * max(rates)
