"""Pruning, sparse layers, recovery, and the folder that the engine serves."""

import json

import mlx.core as mx
import mlx.nn as nn
import numpy as np
import pytest
from mlx.utils import tree_flatten
from mlx_lm.utils import dequantize_model, load_model

from mlx_backends import Engine, EngineConfig, SamplingParams, bundled, kernels
from mlx_backends.errors import ConfigError, ModelLoadError, OutputError
from mlx_backends.models.loader import load_language_model
from mlx_backends.sparsity import (
    SparseLinear,
    input_norms,
    prune,
    recover,
    save_model,
    to_dense,
    to_sparse,
)

IDS = [5, 6, 7, 8]
PATTERNS = ("unstructured", "2:4", "block")


def language_model() -> nn.Module:
    model, _ = load_model(bundled.path("lm"))
    dequantize_model(model)
    model.set_dtype(mx.float32)
    return model


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        mx.random.seed(0)
        self.first, self.second = nn.Linear(64, 96), nn.Linear(96, 32, bias=False)

    def __call__(self, x: mx.array) -> mx.array:
        return self.second(nn.relu(self.first(x)))


@pytest.fixture
def net() -> Net:
    return Net()


def test_magnitude_takes_the_smallest_weights_of_a_matrix(net):
    before = np.abs(np.array(net.first.weight))
    pruned = prune(net, sparsity=0.75)
    after = np.array(net.first.weight)
    assert pruned.zeros["first"] == pytest.approx(0.75)
    assert before[after != 0].min() >= before[after == 0].max()


def test_wanda_weighs_by_the_norm_of_the_input_and_compares_rows(net):
    x = mx.random.normal((50, 64), key=mx.random.key(1)) * mx.arange(64)
    scores = np.abs(np.array(net.first.weight)) * np.linalg.norm(np.array(x), axis=0)
    prune(net, "wanda", 0.5, calibration_data=[x])
    is_kept = np.array(net.first.weight) != 0
    for row in range(96):
        assert is_kept[row].sum() == 32
        assert scores[row][is_kept[row]].min() >= scores[row][~is_kept[row]].max()
    assert type(net.first) is nn.Linear


def test_norms_serve_several_ways_to_prune(net):
    data = [mx.random.normal((50, 64), key=mx.random.key(1)) * mx.arange(64)]
    norms = input_norms(net, data)
    prune(net, "wanda", 0.5, calibration_data=norms)
    again = Net()
    prune(again, "wanda", 0.5, calibration_data=data)
    assert mx.array_equal(net.first.weight, again.first.weight).item()
    with pytest.raises(ConfigError, match="'second'"):
        prune(Net(), "wanda", 0.5, calibration_data={"first": norms["first"]})
    with pytest.raises(ConfigError, match="none of 96 inputs for 'second'"):
        prune(Net(), "wanda", 0.5, calibration_data={**norms, "second": norms["first"]})


def test_two_of_four_keeps_the_two_highest(net):
    before = np.abs(np.array(net.first.weight)).reshape(96, 16, 4)
    prune(net, pattern="2:4")
    kept = (np.array(net.first.weight) != 0).reshape(96, 16, 4)
    assert (kept.sum(axis=-1) == 2).all()
    highest = np.sort(before, axis=-1)[..., 2:]
    assert np.array_equal(np.sort(before * kept, axis=-1)[..., 2:], highest)


def test_equal_weights_are_still_pruned_to_the_share(net):
    net.first.weight = mx.ones((96, 64))
    for pattern in PATTERNS:
        assert prune(net, pattern=pattern, block_size=16).zeros["first"] == pytest.approx(0.5)
        net.first.weight = mx.ones((96, 64))


def test_blocks_go_whole(net):
    prune(net, sparsity=0.5, pattern="block", block_size=16)
    blocks = (np.array(net.first.weight) != 0).reshape(6, 16, 4, 16).any(axis=(1, 3))
    assert blocks.sum() == 12


@pytest.mark.parametrize("bits", [None, 8])
@pytest.mark.parametrize("pattern", PATTERNS)
def test_sparse_layers_compute_what_the_pruned_ones_do(net, pattern, bits):
    prune(net, sparsity=0.5 if pattern == "2:4" else 0.8, pattern=pattern, block_size=16)
    x = mx.random.normal((2, 3, 64), key=mx.random.key(1))
    expected = net(x)
    zeros = net.first.weight == 0
    new = to_sparse(net, pattern, bits=bits, block_size=16)
    assert set(new) == {"first", "second"}
    tolerance = 1e-5 if bits is None else 0.05
    assert mx.allclose(net(x), expected, atol=tolerance).item()
    with kernels.emulated():
        assert mx.allclose(net(x), expected, atol=tolerance).item()
    # Quantized or not, what was pruned stays exactly zero.
    assert mx.all(mx.where(zeros, net.first.to_linear().weight, 0) == 0).item()
    to_dense(net)
    assert type(net.first) is nn.Linear
    assert mx.allclose(net(x), expected, atol=tolerance).item()


def test_a_layer_that_would_not_get_smaller_stays_dense(net):
    net.set_dtype(mx.bfloat16)
    prune(net, sparsity=0.4)
    assert to_sparse(net, "unstructured") == {}
    assert type(net.first) is nn.Linear


def test_entries_and_bias_are_all_that_trains(net):
    prune(net, sparsity=0.8)
    to_sparse(net, "unstructured")
    names = {name for name, _ in tree_flatten(net.trainable_parameters())}
    assert names == {"first.entries", "first.bias", "second.entries"}
    loss = nn.value_and_grad(net, lambda x: net(x).square().sum())
    _, gradients = loss(mx.random.normal((5, 64)))
    assert gradients["first"]["entries"].shape == net.first.entries.shape


def test_evaluation_mode_computes_the_same(net):
    prune(net, pattern="2:4")
    to_sparse(net, "2:4")
    x = mx.random.normal((2, 3, 64), key=mx.random.key(1))
    trained = net(x)
    net.eval()
    assert mx.allclose(net(x), trained, atol=1e-6).item()
    with kernels.emulated():
        assert mx.allclose(net(x), trained, atol=1e-5).item()


def test_recovery_trains_what_is_left_and_zeros_stay(net):
    x = mx.random.normal((64, 64), key=mx.random.key(2))
    target = net(x)
    prune(net, sparsity=0.7)
    zeros = net.first.weight == 0
    losses = []
    steps = recover(
        net, [(x, target)] * 60, learning_rate=3e-3,
        loss=lambda model, x, y: nn.losses.mse_loss(model(x), y),
        on_step=lambda _, loss: losses.append(loss),
    )  # fmt: skip
    assert steps == 60
    assert losses[-1] < 0.5 * losses[0]
    assert mx.array_equal(net.first.weight == 0, zeros).item()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"method": "random"}, "magnitude, wanda are allowed"),
        ({"pattern": "3:4"}, "unstructured, 2:4, block are allowed"),
        ({"sparsity": 1.0}, "not 1, is allowed"),
        ({"pattern": "2:4", "sparsity": 0.7}, "give sparsity=0.5"),
        ({"pattern": "block", "block_size": 8}, "block_size=8"),
        ({"method": "wanda"}, "needs calibration_data"),
        ({"method": "wanda", "calibration_data": "text"}, "needs calibration_data"),
        ({"method": "wanda", "calibration_data": []}, "is empty"),
        ({"exclude": ("first", "second")}, "no linear layer"),
    ],
)
def test_what_prune_refuses(net, arguments, message):
    with pytest.raises(ConfigError, match=message):
        prune(net, **arguments)


def test_a_quantized_model_is_refused(net):
    nn.quantize(net, 32, 4)
    with pytest.raises(ConfigError, match="is quantized"):
        prune(net)


@pytest.fixture(scope="module", params=["2:4", "block"])
def folder(request, tmp_path_factory):
    """A pruned bundled model with packed entries, as a folder, and its logits for some tokens."""
    model = language_model()
    pattern = request.param
    prune(model, sparsity=0.5, pattern=pattern)
    to_sparse(model, pattern, bits=8)
    model.set_dtype(mx.bfloat16)
    nn.quantize(model, 64, 8)  # the embedding, which is not sparse
    path = save_model(model, bundled.path("lm"), tmp_path_factory.mktemp("sparse") / "model")
    model.set_dtype(mx.float32)
    logits = model(mx.array([IDS]))
    mx.eval(logits)
    return path, logits


def test_the_engine_serves_a_sparse_folder(folder):
    path, expected = folder
    model = load_language_model(path, device="cpu", dtype="auto", memory_limit_bytes=None).model
    logits = model(mx.array([IDS]))
    # mlx-lm unpacks the embedding to bfloat16.
    assert mx.abs(logits - expected).max().item() < 0.05 * mx.abs(expected).max().item()
    with Engine(EngineConfig(model=str(path), device="cpu")) as engine:
        parameters = SamplingParams(temperature=0.0, max_tokens=6, ignore_eos=True)
        handle = engine.submit(prompt_token_ids=IDS, sampling_params=parameters)
        tokens = [token for output in engine.stream(handle) for token in output.token_ids]
    assert len(tokens) == 6
    logits = model(mx.array([IDS + tokens[:-1]]))[0, len(IDS) - 1 :]
    chosen = mx.take_along_axis(logits, mx.array(tokens)[:, None], axis=-1)[:, 0]
    # Ties aside, each token is the likeliest one.
    assert mx.allclose(chosen, logits.max(axis=-1), atol=1e-3).item()


def test_on_a_cpu_only_blocks_stay_sparse(folder):
    path, _ = folder
    loaded = load_language_model(path, device="cpu", dtype="auto", memory_limit_bytes=None)
    sparse = {layer.format for layer in loaded.model.modules() if isinstance(layer, SparseLinear)}
    config = json.loads((path / "config.json").read_text(encoding="utf-8"))
    formats = {entry["format"] for entry in config["sparsity"]["layers"].values()}
    assert sparse == formats - {"2:4"}


def test_a_folder_is_not_overwritten(folder):
    path, _ = folder
    with pytest.raises(OutputError, match="exists already"):
        save_model(Net(), bundled.path("lm"), path)


@pytest.mark.parametrize(
    "change",
    [
        lambda layers: layers.update({"model.layers.0.no": next(iter(layers.values()))}),
        lambda layers: next(iter(layers.values())).update(shape=[384, 383]),
        lambda layers: next(iter(layers.values())).update(format="coo"),
        lambda layers: next(iter(layers.values())).pop("shape"),
        lambda layers: next(iter(layers.values())).update(bits=None),
    ],
)
def test_a_wrong_section_is_a_load_error(folder, tmp_path, change):
    path, _ = folder
    for file in path.iterdir():
        (tmp_path / file.name).symlink_to(file)
    config = json.loads((path / "config.json").read_text(encoding="utf-8"))
    change(config["sparsity"]["layers"])
    (tmp_path / "config.json").unlink()
    (tmp_path / "config.json").write_text(json.dumps(config), encoding="utf-8")
    with pytest.raises(ModelLoadError):
        load_language_model(tmp_path, device="cpu", dtype="auto", memory_limit_bytes=None)
