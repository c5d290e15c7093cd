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
    """About 60 MB of float32 in a folder."""
    folder = tmp_path_factory.mktemp("larger")
    shape = SHAPES["llama-30m"]
    make_model(dataclasses.replace(shape, config={**shape.config, "vocab_size": 8_000}), folder)
    return folder


@pytest.fixture
def ids():
    """Token ids of the tiny model, (8, 32)."""
    return mx.random.randint(0, 1_000, (8, 32), key=mx.random.key(1))
