"""The details of MLX and mlx-lm that the engine rests on. A failure here means: read the change."""

import inspect

import mlx.core as mx
import mlx_lm.models.cache
import mlx_lm.utils


def test_load_model_never_runs_code_unless_told():
    parameter = inspect.signature(mlx_lm.utils.load_model).parameters["trust_remote_code"]
    assert parameter.default is False


def test_load_model_takes_what_the_loader_passes():
    names = set(inspect.signature(mlx_lm.utils.load_model).parameters)
    assert {"model_path", "lazy", "strict", "trust_remote_code"} <= names


def test_caches_tell_their_state_and_size():
    cache = mlx_lm.models.cache.KVCache()
    keys = mx.zeros((1, 2, 3, 4))
    cache.update_and_fetch(keys, keys)
    assert cache.nbytes > 0
    assert sum(isinstance(value, mx.array) for value in cache.state) == 2
    assert "model" in inspect.signature(mlx_lm.models.cache.make_prompt_cache).parameters


def test_mlx_can_clear_the_streams_of_a_thread():
    assert callable(mx.clear_streams)
    assert callable(mx.synchronize)
