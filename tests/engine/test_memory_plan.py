"""Bytes counted before anything is allocated, and what is refused for them."""

from dataclasses import replace

import mlx.core as mx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlx_backends.cache.kv_pool import KVPool, LayerShape
from mlx_backends.config import CacheConfig
from mlx_backends.core import Request, SamplingParams
from mlx_backends.engine.admission import fit_to_pool
from mlx_backends.engine.handle import OutputChannel
from mlx_backends.engine.memory_plan import (
    ModelShape,
    StepShape,
    bytes_of_activations,
    bytes_of_block,
    plan_memory,
)
from mlx_backends.engine.sequence import Sequence
from mlx_backends.errors import ConfigError, MemoryLimitError

GIB = 2**30
QWEN3_600M = ModelShape(
    num_layers=28,
    num_heads=16,
    num_kv_heads=8,
    head_dim=128,
    hidden_size=1_024,
    intermediate_size=3_072,
    vocab_size=151_936,
    activation_bytes=2,
)
STEP = StepShape(
    max_num_seqs=32, prefill_chunk_size=2_048, context_window=40_960, has_fused_attention=True
)


def plan(limit_bytes, weight_bytes=GIB, step=STEP, **cache):
    return plan_memory(
        QWEN3_600M, step, CacheConfig(**cache), weight_bytes=weight_bytes, limit_bytes=limit_bytes
    )


def test_a_block_is_keys_and_values_of_all_layers():
    # 28 layers x 2 x 8 heads x 128 values x 2 bytes = 114,688 bytes a token
    assert bytes_of_block(QWEN3_600M, CacheConfig()) == 16 * 114_688
    # 8 bits a number and a scale of 2 bytes a row: 1.97 times the tokens
    assert bytes_of_block(QWEN3_600M, CacheConfig(kv_bits=8)) == 16 * 28 * 8 * 2 * (128 + 2)
    # values in 4 bits, with a scale and a bias of 2 bytes for each of 4 groups
    assert bytes_of_block(QWEN3_600M, CacheConfig(kv_bits=4)) == 16 * 28 * 8 * (130 + 64 + 16)


@pytest.mark.parametrize("kv_bits", [None, 8, 4])
@pytest.mark.parametrize("head_dim", [24, 64, 80, 128])
def test_a_block_is_what_the_pool_takes(head_dim, kv_bits):
    shape = replace(QWEN3_600M, num_layers=2, head_dim=head_dim)
    pool = KVPool([LayerShape(8, head_dim, head_dim)] * 2, 3, 16, mx.bfloat16, kv_bits=kv_bits)
    assert bytes_of_block(shape, CacheConfig(kv_bits=kv_bits)) == pool.bytes_per_block


@given(st.integers(3 * GIB, 200 * GIB), st.sampled_from((8, 16, 64)), st.booleans())
def test_the_plan_uses_the_limit_and_no_more(limit, block_size, is_quantized):
    made = plan(limit, block_size=block_size, kv_bits=8 if is_quantized else None)
    assert made.total_bytes <= limit
    full = STEP.max_num_seqs * STEP.context_window // block_size
    assert made.num_blocks == full or limit - made.total_bytes < made.block_bytes


def test_a_pool_of_a_set_size_takes_it():
    made = plan(None, pool_bytes=4 * GIB)
    assert 4 * GIB - made.block_bytes < made.pool_bytes <= 4 * GIB


def test_without_any_limit_the_pool_is_bounded():
    assert plan(None).pool_bytes <= GIB


def test_attention_without_fusion_counts_its_scores():
    step = StepShape(
        max_num_seqs=32, prefill_chunk_size=512, context_window=8_192, has_fused_attention=False
    )
    fused = StepShape(
        max_num_seqs=32, prefill_chunk_size=512, context_window=8_192, has_fused_attention=True
    )
    scores = plan(8 * GIB, step=step).activation_bytes - plan(8 * GIB, step=fused).activation_bytes
    assert scores == 2 * 4 * 16 * 512 * 8_192


def test_a_gpu_holds_layers_in_flight_and_unpacked_weights():
    shape = replace(QWEN3_600M, unpacked_layer_bytes=30_000_000, unpacked_head_bytes=5_000_000)
    one, two = (
        bytes_of_activations(shape, replace(STEP, layers_in_flight=count)) for count in (1, 2)
    )
    assert two - one == one - 5_000_000
    packed = bytes_of_activations(QWEN3_600M, replace(STEP, layers_in_flight=2))
    assert two - packed == 2 * 30_000_000 + 5_000_000
    # Up to the end of its work a layer keeps more than what it needs at once.
    assert packed > 2 * bytes_of_activations(QWEN3_600M, STEP)


def test_too_small_a_limit_is_refused_with_the_numbers():
    with pytest.raises(MemoryLimitError, match=r"0 tokens .* 512 tokens.*1,073,741,824 bytes"):
        plan(GIB + 1)
    with pytest.raises(MemoryLimitError, match="pool_bytes"):
        plan(2 * GIB, pool_bytes=2 * GIB)


def test_the_configuration_is_checked():
    for options in ({"block_size": 12}, {"pool_bytes": 0}, {"kv_bits": 2}):
        with pytest.raises(ConfigError):
            CacheConfig(**options)


def sequence(num_prompt_tokens, max_tokens, window=1_000):
    request = Request(
        request_id="r",
        prompt_token_ids=(1,) * num_prompt_tokens,
        sampling_params=SamplingParams(max_tokens=max_tokens),
    )
    room = window - num_prompt_tokens
    bound = min(max_tokens or room, room)
    return Sequence(request, OutputChannel(), None, None, seed=0, max_tokens=bound)


@pytest.mark.parametrize("max_tokens", [1, 41])
def test_a_request_that_just_fits_is_taken(max_tokens):
    fitting = sequence(101 - max_tokens, max_tokens)
    fit_to_pool(fitting, 100)
    assert fitting.max_tokens == max_tokens


@pytest.mark.parametrize(("num_prompt_tokens", "max_tokens"), [(101, None), (101, 1), (60, 42)])
def test_a_request_that_can_never_fit_is_refused_with_the_numbers(num_prompt_tokens, max_tokens):
    with pytest.raises(MemoryLimitError, match=rf"{num_prompt_tokens} of the prompt.*holds 100"):
        fit_to_pool(sequence(num_prompt_tokens, max_tokens), 100)


def test_a_completion_without_max_tokens_is_bounded_by_the_pool():
    bounded = sequence(60, None)
    fit_to_pool(bounded, 100)
    assert bounded.max_tokens == 41
    assert bounded.max_kv_tokens == 100
