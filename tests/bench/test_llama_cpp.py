"""llama.cpp as a peer; the parts that need neither it nor its file format."""

import importlib.util

import numpy as np
import pytest

from mlx_backends.bench import llama_cpp
from mlx_backends.bench.random_model import SHAPES, make_model

CONFIG = {"num_attention_heads": 2, "num_key_value_heads": 1}


def test_the_two_of_a_rotary_pair_become_neighbours():
    weight = np.arange(8)[:, None] * np.ones((1, 3))
    turned = llama_cpp._turned("model.layers.0.self_attn.q_proj.weight", weight, CONFIG)
    assert turned[:, 0].tolist() == [0, 2, 1, 3, 4, 6, 5, 7]
    keys = llama_cpp._turned("model.layers.0.self_attn.k_proj.weight", weight, CONFIG)
    assert keys[:, 0].tolist() == [0, 4, 1, 5, 2, 6, 3, 7]
    values = llama_cpp._turned("model.layers.0.self_attn.v_proj.weight", weight, CONFIG)
    assert values is weight


def test_every_weight_of_a_llama_model_has_a_name(tmp_path):
    from mlx.core import load

    make_model(SHAPES["tiny"], tmp_path)
    weights = load(str(tmp_path / "model.safetensors"))
    names = {llama_cpp._gguf_name(name) for name in weights}
    assert len(names) == len(weights)
    assert {"token_embd.weight", "output_norm.weight", "blk.1.ffn_down.weight"} <= names


@pytest.mark.parametrize("name", SHAPES)
def test_only_float32_llama_models_are_served(monkeypatch, name):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
    assert llama_cpp.can_serve(SHAPES[name]) is (name in ("tiny", "llama-30m", "llama-120m"))


def test_without_its_packages_it_is_no_peer(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert not llama_cpp.can_serve(SHAPES["tiny"])
