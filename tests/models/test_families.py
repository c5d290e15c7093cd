"""Every family through the paged path, token by token against mlx-lm's own generation.

``families.py`` makes the models. A family that is new in mlx-lm is added there, and to
``models.paging.TESTED_FAMILIES`` once it passes.
"""

import random

import mlx.core as mx
import mlx.nn as nn
import pytest
from mlx_lm.generate import generate_step
from mlx_lm.models import gpt2

from mlx_backends.cache.kv_pool import KVPool
from mlx_backends.cache.prefix_cache import PrefixCache
from mlx_backends.core import Request, SamplingParams
from mlx_backends.engine.device_runner import DeviceRunner
from mlx_backends.engine.fallback_runner import FallbackRunner
from mlx_backends.engine.host_runner import HostRunner
from mlx_backends.engine.pool_access import PlainAccess
from mlx_backends.engine.runner import PackingRunner, PrefillPackingRunner
from mlx_backends.engine.scheduler import Scheduler
from mlx_backends.engine.self_check import check_against_own_caches
from mlx_backends.engine.sequence import Sequence
from mlx_backends.engine.step import PrefillChunk
from mlx_backends.models import rounded_inputs
from mlx_backends.models.last_logits import keep_last_position
from mlx_backends.models.loader import LoadedModel
from mlx_backends.models.paging import TESTED_FAMILIES, NotPageableError, plan_paging

from .families import PAGED, UNMERGED, UNPAGED, VOCAB, tiny_model

COUNT = 16
BLOCK_SIZE = 4
NUM_BLOCKS = 80


@pytest.fixture(scope="module", autouse=True)
def _eager():
    """Compiling every family takes minutes on a CPU; test_exactness.py compiles one."""
    mx.disable_compile()
    yield
    mx.enable_compile()


@pytest.fixture(scope="module", params=PAGED)
def family(request):
    """A model with its plan, some prompts, and mlx-lm's greedy tokens for them."""
    return make_family(request.param)


def make_family(name):
    model = tiny_model(name)
    rng = random.Random(3)
    prompts = [[rng.randrange(1, VOCAB) for _ in range(length)] for length in (1, 5, 13, 30, 22)]
    return model, prompts, [mlx_lm_tokens(model, prompt) for prompt in prompts]


def mlx_lm_tokens(model, prompt):
    return [int(token) for token, _ in generate_step(mx.array(prompt), model, max_tokens=COUNT)]


def loaded_of(model):
    return LoadedModel(model, mx.Device(mx.cpu), 0)


def host_runner(model):
    plan = plan_paging(model)
    return HostRunner(
        loaded_of(model),
        plan,
        num_blocks=NUM_BLOCKS,
        block_size=BLOCK_SIZE,
        eos_token_ids=frozenset(),
    )


def device_runner(model):
    plan = plan_paging(model)
    pool = KVPool(plan.layers, NUM_BLOCKS, BLOCK_SIZE, plan.dtype)
    access = PlainAccess(pool)
    return DeviceRunner(loaded_of(model), plan, pool, access, frozenset(), tile=4, max_short=3)


def generate(runner, prompts, *, chunk=1_000, blocks=None):
    """Greedy tokens of each prompt, served together; each step is read before the next."""
    blocks = blocks or PrefixCache(NUM_BLOCKS, BLOCK_SIZE, prefix_caching=False)
    scheduler = Scheduler(blocks, max_num_seqs=8, prefill_chunk_size=chunk)
    sequences = [new_sequence(index, prompt) for index, prompt in enumerate(prompts)]
    for sequence in sequences:
        scheduler.add(sequence)
    while scheduler.has_unfinished:
        step = scheduler.schedule()
        runner.copy_blocks(step.copies)
        if isinstance(runner, PackingRunner):
            launched = [runner.run(step.prefill, step.decode)]
        else:
            launched = prefilled(runner, step.prefill)
            launched += [runner.decode(step.decode)] if step.decode else []
        for one in filter(None, launched):
            for sequence, result in zip(one.sequences, one.results(), strict=True):
                sequence.append(result.token_id)
                if len(sequence.output_token_ids) == COUNT:
                    scheduler.remove(sequence)
                    runner.free(sequence)
    return [sequence.output_token_ids for sequence in sequences]


def prefilled(runner, chunks):
    if isinstance(runner, PrefillPackingRunner):
        return [runner.prefill_together(chunks)] if chunks else []
    return [runner.prefill(chunk) for chunk in chunks]


def new_sequence(index, prompt):
    params = SamplingParams(max_tokens=COUNT)
    request = Request(request_id=str(index), prompt_token_ids=tuple(prompt), sampling_params=params)
    return Sequence(
        request=request, channel=None, detokenizer=None, stop_matcher=None, seed=0, max_tokens=COUNT
    )


@pytest.mark.parametrize("make_runner", [host_runner, device_runner])
def test_batched_single_chunked_and_cached_are_mlx_lm(family, make_runner):
    model, prompts, expected = family
    runner = make_runner(model)
    assert generate(runner, prompts) == expected
    assert [generate(runner, [prompt])[0] for prompt in prompts] == expected
    assert generate(runner, prompts, chunk=7) == expected
    blocks = PrefixCache(NUM_BLOCKS, BLOCK_SIZE)
    generate(runner, prompts, blocks=blocks)
    assert blocks.num_cached > 0
    assert generate(runner, prompts, blocks=blocks) == expected


def test_logits_of_the_last_position_are_the_same(family):
    model, prompts, expected = family
    tokens = mx.array([prompts[3]])
    whole = model(tokens)
    assert keep_last_position(model)
    assert keep_last_position(model)  # twice is once
    last = model(tokens)
    assert last.shape == (1, 1, VOCAB)
    assert mx.allclose(last[:, -1], whole[:, -1], rtol=1e-5, atol=1e-5)
    assert generate(host_runner(model), prompts) == expected
    assert mlx_lm_tokens(model, prompts[1]) == expected[1]  # mlx-lm still runs on it


def test_the_tokens_depend_on_the_context(family):
    """Otherwise equal tokens would mean little."""
    _, _, expected = family
    assert len({tuple(tokens) for tokens in expected}) == len(expected)


@pytest.mark.parametrize("name", ["llama", "gemma3_text"])
def test_a_family_without_a_test_is_compared_when_it_loads(name):
    model = tiny_model(name)
    plan = plan_paging(model)
    check_against_own_caches(model, plan)
    model.layers[0].self_attn.rope = _OffByOne(model.layers[0].self_attn.rope)
    with pytest.raises(NotPageableError, match="logits differ"):
        check_against_own_caches(model, plan)


@pytest.mark.parametrize("seed", range(3))
def test_rounded_inputs_neither_fail_the_comparison_nor_hide_a_fault(seed):
    """Rounding alone makes the logits of this model differ by a percent."""
    mx.random.seed(seed)
    model = gpt2.Model(gpt2.ModelArgs("gpt2", 64, 256, 8, 6, 64, 1e-5, 500))
    rounded_inputs.install(model, None)
    rounding = [type(layer) for layer in model.modules()]
    plan = plan_paging(model)
    check_against_own_caches(model, plan)
    assert [type(layer) for layer in model.modules()] == rounding
    model.model.wpe = _NextPosition(model.model.wpe)
    with pytest.raises(NotPageableError, match="logits differ"):
        check_against_own_caches(model, plan)


class _NextPosition(nn.Module):
    """Looks up a position wrongly when there are several rows."""

    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def __call__(self, positions):
        return self.inner(positions + (len(positions) > 1))


class _OffByOne(nn.Module):
    """Reads a position wrongly when it comes as an array."""

    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def __call__(self, x, offset=0):
        return self.inner(x, offset=offset + isinstance(offset, mx.array))


def test_every_tested_family_is_in_the_matrix():
    assert set(PAGED) == TESTED_FAMILIES


@pytest.mark.parametrize("name", [*UNPAGED, *UNMERGED])
def test_other_families_are_refused_and_fall_back(name):
    model, prompts, expected = make_family(name)
    with pytest.raises(NotPageableError):
        plan_paging(model)
    runner = FallbackRunner(loaded_of(model), frozenset())
    assert generate(runner, prompts) == expected
    assert generate(runner, prompts, chunk=7) == expected
    assert [generate(runner, [prompt])[0] for prompt in prompts] == expected
    assert runner.stats.pool_bytes == 0


@pytest.mark.parametrize("name", UNPAGED)
def test_sequences_without_pages_decode_as_one_batch(name):
    model, prompts, expected = make_family(name)
    runner = FallbackRunner(loaded_of(model), frozenset())
    sequences = [new_sequence(index, prompt) for index, prompt in enumerate(prompts)]

    def take_in(launched):
        for sequence, result in zip(launched.sequences, launched.results(), strict=True):
            sequence.append(result.token_id)

    def start(sequence):
        length = len(sequence.prompt_token_ids)
        take_in(runner.prefill(PrefillChunk(sequence, 0, length, is_last=True)))

    # They come, pause, come back in another order, and go.
    for sequence in sequences[:3]:
        start(sequence)
    for group in ([0, 1, 2], [2, 0], [1], [1, 2, 0], [0]):
        take_in(runner.decode([sequences[index] for index in group]))
    for sequence in sequences[3:]:
        start(sequence)
    runner.free(sequences[1])
    for group in ([3, 0, 4, 2], [4, 3]):
        take_in(runner.decode([sequences[index] for index in group]))
    assert len(runner._batch.sequences) == 2
    for sequence, tokens in zip(sequences, expected, strict=True):
        count = len(sequence.output_token_ids)
        assert sequence.output_token_ids == tokens[:count]
