import pytest

from mlx_backends import Engine, EngineConfig


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
        from mlx_backends import SamplingParams

        ids = engine.tokenizer.encode(prompt) if isinstance(prompt, str) else prompt
        return collect(engine, engine.submit(ids, SamplingParams(**options)))

    return run
