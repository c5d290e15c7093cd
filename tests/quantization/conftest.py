"""A tiny language model of random weights, as a folder and in memory."""

import dataclasses

import mlx.core as mx
import pytest

from mlx_backends.bench.random_model import SHAPES, make_model
from mlx_backends.models.loader import read_model


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tiny")
    shape = SHAPES["tiny"]
    make_model(
        dataclasses.replace(shape, config={**shape.config, "intermediate_size": 384}), folder
    )
    return folder


@pytest.fixture
def tiny(tiny_folder):
    model, _ = read_model(tiny_folder)
    return model


@pytest.fixture(scope="session")
def sharded_folder(tmp_path_factory):
    """About 40 MB in 16 bits, in as many layers as a model that is served has."""
    folder = tmp_path_factory.mktemp("larger")
    shape = SHAPES["llama-30m"]
    heads = {"num_attention_heads": 4, "num_key_value_heads": 2}
    sizes = {"vocab_size": 8_000, "num_hidden_layers": 24, "hidden_size": 256} | heads
    sizes |= {"intermediate_size": 704}
    make_model(dataclasses.replace(shape, config={**shape.config, **sizes}), folder)
    file = str(folder / "model.safetensors")
    weights = {name: array.astype(mx.bfloat16) for name, array in mx.load(file).items()}
    mx.eval(weights)
    mx.save_safetensors(file, weights, metadata={"format": "mlx"})
    return folder


@pytest.fixture
def ids():
    """Token ids of the tiny model, (8, 32)."""
    return mx.random.randint(0, 1_000, (8, 32), key=mx.random.key(1))
