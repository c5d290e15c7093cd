import random

import pytest

from mlx_backends import Engine, EngineConfig, SamplingParams
from mlx_backends.config import CacheConfig

MODES = ("host", "device")


@pytest.fixture(scope="module")
def engine(tiny_lm):
    with Engine(EngineConfig(model=str(tiny_lm), prefill_chunk_size=16)) as engine:
        yield engine


def collect(engine, handle):
    """The outputs of a request, as (token ids, text, last output)."""
    outputs = list(engine.stream(handle))
    ids = [token_id for output in outputs for token_id in output.token_ids]
    return ids, "".join(output.text for output in outputs), outputs[-1]


@pytest.fixture
def run(engine):
    """Function that generates and returns (token ids, text, last output)."""

    def run(prompt, **options):
        ids = engine.tokenizer.encode(prompt) if isinstance(prompt, str) else prompt
        return collect(engine, engine.submit(ids, SamplingParams(**options)))

    return run


@pytest.fixture
def make_engine(tiny_lm, monkeypatch):
    """Function that makes an engine on the tiny model, with the runner of a CPU or of a GPU.

    The GPU's runs here with plain operations for kernels (``engine/pool_access.py``), compiled and
    one step ahead as it does there.
    """
    from mlx_backends.cache.kv_pool import KVPool
    from mlx_backends.engine import build
    from mlx_backends.engine.device_runner import DeviceRunner
    from mlx_backends.engine.pool_access import PlainAccess

    engines = []

    def device_runner(loaded, plan, memory, kv_bits, eos_token_ids):
        pool = KVPool(plan.layers, memory.num_blocks, memory.block_size, plan.dtype)
        access = PlainAccess(pool)
        # A tile that is no multiple of a block, so that passes begin and end off every grid.
        options = {"tile": 12, "max_short": 11, "smallest_batch": 4}
        return DeviceRunner(loaded, plan, pool, access, eos_token_ids, **options)

    def make(mode, *, num_blocks=64, cache=None, **options):
        monkeypatch.undo()
        if mode == "device":
            monkeypatch.setattr(build, "make_runner", device_runner)
        cache = {"block_size": 8, **(cache or {})}
        bytes_per_block = 2 * 2 * 2 * 16 * 4 * cache["block_size"]
        cache.setdefault("pool_bytes", (num_blocks + 1) * bytes_per_block)
        options = {"prefill_chunk_size": 16, **options, "cache": CacheConfig(**cache)}
        engines.append(Engine(EngineConfig(model=str(tiny_lm), **options)))
        engines[-1].load()
        assert engines[-1]._loop.pool_tokens == num_blocks * cache["block_size"]
        return engines[-1]

    yield make
    for engine in engines:
        engine.close()


@pytest.fixture(scope="module")
def reference(tiny_lm):
    """Function that gives mlx-lm's own greedy tokens."""
    import mlx.core as mx
    from mlx_lm.generate import generate_step
    from mlx_lm.utils import load_model

    model, _ = load_model(tiny_lm)
    known = {}

    def tokens(prompt, count):
        key = tuple(prompt)
        if len(known.get(key, ())) < count:
            steps = generate_step(mx.array(prompt), model, max_tokens=count)
            known[key] = [int(token) for token, _ in steps]
        return known[key][:count]

    return tokens


def prompts_of(lengths, seed=0):
    rng = random.Random(seed)
    return [[rng.randrange(3, 500) for _ in range(length)] for length in lengths]


def greedy(count, **options):
    return SamplingParams(max_tokens=count, ignore_eos=True, **options)


def together(engine, prompts, params):
    handles = [engine.submit(p, q) for p, q in zip(prompts, params, strict=True)]
    return [collect(engine, handle)[0] for handle in handles]
