"""Several models under one memory limit: the least used idle one goes, or an error says why not."""

import gc

import pytest

from mlx_backends import Engine, EngineConfig, SamplingParams
from mlx_backends.errors import MemoryLimitError
from mlx_backends.memory_budget import MemoryBudget
from mlx_backends.models import safetensors
from mlx_backends.pooling.footprint import weight_bytes


class Model:
    """A holder of a given size."""

    def __init__(self, name: str, size: int) -> None:
        self.model_name, self.size = name, size
        self.is_idle, self.is_loaded = True, False

    def unload(self) -> None:
        self.is_loaded = False

    def load(self, left: int | None) -> "Model":
        if left is not None and self.size > left:
            raise MemoryLimitError(f"{self.model_name} needs {self.size}.")
        self.is_loaded = True
        return self


def fit(budget: MemoryBudget, model: Model, limit: int | None) -> None:
    budget.fit(model, limit, model.load, lambda made: made.size)


def test_the_least_recently_used_idle_model_goes():
    budget = MemoryBudget()
    first, second, third = Model("first", 40), Model("second", 40), Model("third", 50)
    fit(budget, first, 100)
    fit(budget, second, 100)
    budget.touch(first)
    fit(budget, third, 100)
    assert (first.is_loaded, second.is_loaded, third.is_loaded) == (True, False, True)
    assert budget.used_bytes == 90


def test_models_in_use_stay_and_the_error_says_what_would_fit():
    budget = MemoryBudget()
    busy, idle, wanted = Model("busy", 60), Model("idle", 20), Model("wanted", 50)
    busy.is_idle = False
    fit(budget, busy, 100)
    fit(budget, idle, 100)
    with pytest.raises(MemoryLimitError, match=r"busy \(60 bytes\).* of 40 bytes would fit"):
        fit(budget, wanted, 100)
    assert busy.is_loaded


def test_a_model_that_was_dropped_unclosed_holds_nothing():
    budget = MemoryBudget()
    fit(budget, Model("dropped", 90), 100)
    gc.collect()
    kept = Model("kept", 90)
    fit(budget, kept, 100)
    assert budget.used_bytes == 90


def test_without_a_limit_everything_stays():
    budget = MemoryBudget()
    models = [Model(str(n), 10**12) for n in range(5)]
    for model in models:
        fit(budget, model, None)
    assert all(model.is_loaded for model in models)


def test_a_model_that_never_fits_is_refused_by_its_own_error(encoder, make_embedder, monkeypatch):
    monkeypatch.setenv("MLX_BACKENDS_MEMORY_LIMIT", "50000")
    with pytest.raises(MemoryLimitError, match=r"needs [\d,]+ bytes .* 50,000 are left"):
        make_embedder(encoder.folder).embed(["the cat"])


def test_weights_are_counted_as_they_are_loaded(encoder, make_embedder):
    items = sum(t.num_items for t in safetensors.sizes(encoder.folder / "model.safetensors"))
    for options, width in (({}, 4), ({"dtype": "float16"}, 2), ({"weight_bits": 8}, 1.25)):
        config = make_embedder(encoder.folder, **options).config
        counted = weight_bytes(encoder.folder, config)
        assert counted == pytest.approx(items * width, rel=0.02)


def test_three_models_share_a_process(
    tiny_lm, encoder, files, make_embedder, worker, tmp_path, monkeypatch
):
    """LLM, encoder and reranker under one limit that any two of them fit."""
    from mlx_backends import Reranker, RerankerConfig

    cross = files.write_cross_encoder(tmp_path / "cross")
    engine = Engine(EngineConfig(model=str(tiny_lm), device="cpu"), worker=worker)
    embedder = make_embedder(encoder.folder)
    reranker = Reranker(RerankerConfig(model=str(cross.folder), device="cpu"), worker=worker)

    def ask() -> list[int]:
        params = SamplingParams(temperature=0.0, max_tokens=4, ignore_eos=True)
        return engine.submit([1, 2, 3], params).result().token_ids

    def sizes() -> dict[str, int]:
        memory = worker.memory
        return worker.run(lambda: {h.model_name: n for h, n in memory._bytes.items()}).result()

    vectors, answer = embedder.embed(["the cat"]), ask()
    scores = reranker.rerank("the cat", ["a dog"])
    held = sizes()
    assert len(held) == 3
    smaller = sum(held.values()) - 1
    monkeypatch.setenv("MLX_BACKENDS_MEMORY_LIMIT", str(smaller))
    for closed in (engine, embedder, reranker):
        closed.close()
    engine = Engine(EngineConfig(model=str(tiny_lm), device="cpu"), worker=worker)
    embedder = make_embedder(encoder.folder)
    reranker = Reranker(RerankerConfig(model=str(cross.folder), device="cpu"), worker=worker)
    for _ in range(2):
        assert embedder.embed(["the cat"]).tolist() == vectors.tolist()
        assert reranker.rerank("the cat", ["a dog"]) == scores
        assert ask() == answer
        assert sum(sizes().values()) <= smaller
    engine.close()


def test_a_running_answer_keeps_its_model(tiny_lm, encoder, make_embedder, worker, monkeypatch):
    monkeypatch.setenv("MLX_BACKENDS_MEMORY_LIMIT", "60MB")
    engine = Engine(EngineConfig(model=str(tiny_lm), device="cpu"), worker=worker)
    params = SamplingParams(temperature=0.0, max_tokens=200, ignore_eos=True)
    stream = engine.stream(engine.submit([1, 2, 3], params))
    next(stream)
    with pytest.raises(MemoryLimitError, match=r"models in use hold .*tiny-llama"):
        make_embedder(encoder.folder, max_batch_tokens=10**6).embed(["the cat"])
    assert sum(len(output.token_ids) for output in stream) >= 190
    engine.close()
