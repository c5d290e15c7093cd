"""Adapters that mlx-lm trained, under the engine: as mlx-lm runs them, fused on a CPU or not."""

import json

import mlx.core as mx
import pytest
from mlx.utils import tree_flatten
from mlx_lm.tuner.utils import linear_to_lora_layers
from mlx_lm.utils import load_model

from mlx_backends import Engine, EngineConfig, SamplingParams, bundled
from mlx_backends.errors import ModelLoadError
from mlx_backends.models.loader import load_language_model

IDS = list(range(300, 320))
PARAMETERS = {"rank": 4, "scale": 2.0, "dropout": 0.0}


def make_adapter(folder, kind="lora", *, layers=2, size=0.3):
    """An adapter of random weights for the bundled model."""
    model, _ = load_model(bundled.path("lm"))
    model.freeze()
    linear_to_lora_layers(model, layers, PARAMETERS, use_dora=kind == "dora")
    mx.random.seed(1)
    weights = {
        name: size * mx.random.normal(array.shape) if name.endswith("lora_b") else array
        for name, array in tree_flatten(model.trainable_parameters())
    }
    folder.mkdir(exist_ok=True)
    mx.save_safetensors(str(folder / "adapters.safetensors"), weights)
    config = {"fine_tune_type": kind, "num_layers": layers, "lora_parameters": PARAMETERS}
    (folder / "adapter_config.json").write_text(json.dumps(config))
    return folder


def reference(adapter):
    """Logits of mlx-lm's own loading."""
    from mlx_lm.tuner.utils import load_adapters
    from mlx_lm.utils import dequantize_model

    model, _ = load_model(bundled.path("lm"))
    load_adapters(model, str(adapter))
    model.set_dtype(mx.float32)  # scales too: a CPU unpacks weights in float32
    dequantize_model(model)
    model.eval()
    return model(mx.array([IDS]))


@pytest.mark.parametrize("kind", ["lora", "dora"])
def test_logits_are_those_of_mlx_lm(tmp_path, kind):
    adapter = make_adapter(tmp_path / "adapter", kind)
    options = {"device": "cpu", "dtype": "float32", "memory_limit_bytes": None}
    with_adapter = load_language_model(bundled.path("lm"), adapter=adapter, **options)
    plain = load_language_model(bundled.path("lm"), **options)
    logits = with_adapter.model(mx.array([IDS]))
    assert mx.abs(logits - plain.model(mx.array([IDS]))).max().item() > 0.1
    assert mx.allclose(logits, reference(adapter), rtol=1e-3, atol=1e-3)


def test_adapters_are_fused_where_weights_are_dense(tmp_path):
    adapter = make_adapter(tmp_path / "adapter")
    loaded = load_language_model(
        bundled.path("lm"), device="cpu", dtype="auto", memory_limit_bytes=None, adapter=adapter
    )
    assert not [name for name, _ in tree_flatten(loaded.model.parameters()) if "lora" in name]


def test_an_engine_answers_with_its_adapter(tmp_path):
    adapter = make_adapter(tmp_path / "adapter")
    greedy = SamplingParams(max_tokens=8, ignore_eos=True)

    def answer(**options):
        with Engine(EngineConfig(model="bundled", **options)) as engine:
            handle = engine.submit(prompt_token_ids=IDS, sampling_params=greedy)
            return [token for output in engine.stream(handle) for token in output.token_ids]

    assert answer(adapter_path=adapter) == answer(adapter_path=str(adapter))
    assert answer(adapter_path=adapter) != answer()


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda folder: (folder / "adapter_config.json").unlink(), "has no adapter_config.json"),
        (lambda folder: (folder / "adapters.safetensors").unlink(), "has no adapters.safetensors"),
        (lambda folder: (folder / "adapters.safetensors").write_bytes(b"x" * 40), "safetensors"),
        (lambda folder: (folder / "adapter_config.json").write_text("{}"), "does not fit"),
        (lambda folder: (folder / "adapter_config.json").write_text("[]"), "JSON object"),
        (
            lambda folder: mx.save_safetensors(
                str(folder / "adapters.safetensors"), {"nothing.lora_a": mx.zeros((2, 2))}
            ),
            "does not fit this model",
        ),
    ],
)
def test_a_folder_that_is_no_adapter_of_the_model(tmp_path, spoil, message):
    adapter = make_adapter(tmp_path / "adapter")
    spoil(adapter)
    with pytest.raises(ModelLoadError, match=message):
        load_language_model(
            bundled.path("lm"), device="cpu", dtype="auto", memory_limit_bytes=None, adapter=adapter
        )
