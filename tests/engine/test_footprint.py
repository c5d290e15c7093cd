"""The memory that a workload really takes, against what was predicted before loading."""

import gc

import mlx.core as mx
import pytest

from mlx_backends import Engine, EngineConfig, SamplingParams, bundled, registry
from mlx_backends.bench.random_model import SHAPES, make_model
from mlx_backends.config import CacheConfig
from mlx_backends.engine import buffer_limit
from mlx_backends.engine.footprint import predict
from mlx_backends.engine.memory_plan import MemoryPlan

NEW_TOKENS = 12


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A Llama of 17 million parameters, in float32."""
    path = tmp_path_factory.mktemp("small")
    config = dict(SHAPES["llama-30m"].config) | {"num_hidden_layers": 4, "vocab_size": 8_000}
    make_model(type(SHAPES["tiny"])("small", config), path)
    return path


def measured(config, prompt_tokens, num_sequences):
    """Peak bytes of loading, and of loading and running, over what was in use before."""
    registry.close_all()
    gc.collect()
    mx.clear_cache()
    before = mx.get_active_memory()
    mx.reset_peak_memory()
    with Engine(config) as engine:
        engine.load()
        load_peak = mx.get_peak_memory() - before
        params = SamplingParams(max_tokens=NEW_TOKENS, ignore_eos=True)
        prompts = [
            [(7 * i + 31 * row) % 900 + 3 for i in range(prompt_tokens)]
            for row in range(num_sequences)
        ]
        for handle in [engine.submit(prompt, params) for prompt in prompts]:
            handle.result()
        pool_bytes = engine.stats().pool_bytes
    return load_peak, mx.get_peak_memory() - before, pool_bytes


@pytest.mark.parametrize(
    ("prompt_tokens", "num_sequences"), [(40, 1), (500, 1), (1_500, 1), (60, 8)]
)
def test_the_peak_is_within_ten_percent(small, prompt_tokens, num_sequences):
    config = EngineConfig(model=str(small), device="cpu")
    found = predict(
        config, prompt_tokens=prompt_tokens, new_tokens=NEW_TOKENS, num_sequences=num_sequences
    )
    _, peak, pool_bytes = measured(config, prompt_tokens, num_sequences)
    assert pool_bytes == found.pool_bytes
    assert peak == pytest.approx(found.peak_bytes, rel=0.1)


@pytest.mark.gpu
@pytest.mark.slow
@pytest.mark.parametrize("shape", ["llama-3.2-1b-4bit", "qwen3-0.6b-4bit"])
def test_a_gpu_takes_no_more_than_ten_percent_over_the_plan(tmp_path, shape):
    if not mx.is_available(mx.gpu):
        pytest.skip("MLX has no GPU here")
    make_model(SHAPES[shape], tmp_path / shape)
    cache = CacheConfig(pool_bytes=2 << 30)
    config = EngineConfig(model=str(tmp_path / shape), device="gpu", cache=cache)
    mx.clear_cache()
    mx.reset_peak_memory()
    with Engine(config) as engine:
        params = SamplingParams(max_tokens=NEW_TOKENS, ignore_eos=True)
        engine.submit([7 * i % 900 + 3 for i in range(16_384)], params).result()
        planned = engine.stats().planned_bytes
    assert mx.get_peak_memory() <= 1.1 * planned


def test_a_quantized_model_that_is_unpacked(small):
    config = EngineConfig(model=str(bundled.path("lm")), device="cpu")
    found = predict(config, prompt_tokens=60, new_tokens=NEW_TOKENS)
    _, peak, _ = measured(config, 60, 1)
    # While it is loaded the packed weights are there too, and that is its peak.
    assert peak == pytest.approx(max(found.peak_bytes, found.load_peak_bytes), rel=0.2)
    assert found.weight_bytes > 6 * found.file_bytes


def test_loading_makes_no_second_copy(small):
    config = EngineConfig(model=str(small), device="cpu")
    found = predict(config, prompt_tokens=16, new_tokens=1)
    load_peak, _, _ = measured(config, 16, 1)
    file_bytes = (small / "model.safetensors").stat().st_size
    assert found.weight_bytes == pytest.approx(file_bytes, rel=0.001)
    assert load_peak <= 1.01 * (file_bytes + found.pool_bytes)


def test_bytes_read_for_a_token(make_lm):
    tied = predict(EngineConfig(model=str(make_lm())), prompt_tokens=8, new_tokens=8)
    assert tied.read_bytes_per_token == tied.weight_bytes
    # 2 layers of 2 KV heads of 16 numbers, keys and values, float32
    assert tied.kv_bytes_per_token == 2 * 2 * 2 * 16 * mx.float32.size


def test_the_buffer_limit_is_that_of_the_largest_step(tiny_lm):
    def plan(step_bytes):
        return MemoryPlan(
            num_blocks=1,
            block_size=16,
            block_bytes=1,
            weight_bytes=0,
            activation_bytes=step_bytes,
            logits_bytes=0,
        )

    assert buffer_limit.bytes_to_hold(plan(1)) == buffer_limit.MIN_BYTES
    assert buffer_limit.bytes_to_hold(plan(500 << 20)) == 500 << 20
    assert buffer_limit.bytes_to_hold(plan(1 << 40)) == buffer_limit.MAX_BYTES
    with Engine(EngineConfig(model=str(tiny_lm))) as engine:
        engine.load()
        held = mx.set_cache_limit(buffer_limit.MIN_BYTES)
        mx.set_cache_limit(held)
    assert held >= buffer_limit.MIN_BYTES
