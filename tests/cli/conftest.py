"""The command with an engine that recites and an embedder that hashes words."""

import zlib
from types import SimpleNamespace

import numpy as np
import pytest
from typer.testing import CliRunner

from mlx_backends import MockEngine, registry
from mlx_backends.cli.app import app
from mlx_backends.config import EmbedderConfig
from mlx_backends.pooling.vectors import as_precision


class HashEmbedder:
    """Counts words into buckets: texts that share words are near each other."""

    dimensions = 64
    max_length = 100
    model_name = "hash"
    config = EmbedderConfig()

    def count(self, text: str) -> int:
        return len(text.split())

    def embed(self, texts, *, kind="document", on_progress=None):
        vectors = np.zeros((len(texts), self.dimensions), np.float32)
        for row, text in enumerate(texts):
            for word in text.lower().split():
                vectors[row, zlib.crc32(word.encode()) % self.dimensions] += 1
        if on_progress is not None:
            on_progress(len(texts), len(texts))
        return vectors

    def embed_detailed(self, texts, *, kind="document", precision="float32"):
        return SimpleNamespace(
            vectors=as_precision(self.embed(texts, kind=kind), precision),
            is_truncated=np.array([self.count(text) > self.max_length for text in texts], bool),
        )

    async def aembed(self, texts, *, kind="document", on_progress=None):
        return self.embed(texts, kind=kind, on_progress=on_progress)


@pytest.fixture
def engine() -> MockEngine:
    return MockEngine(["[1] 71 bytes"])


@pytest.fixture
def embedder() -> HashEmbedder:
    return HashEmbedder()


@pytest.fixture
def run(engine, embedder, monkeypatch):
    """Function that runs the command in this process, on the engine above."""
    monkeypatch.setattr(registry, "get_engine", lambda config: engine)
    monkeypatch.setattr(registry, "get_embedder", lambda config: embedder)

    def run(*arguments: str, stdin: str | None = None):
        result = CliRunner().invoke(app, list(map(str, arguments)), input=stdin)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return run


@pytest.fixture
def docs(tmp_path):
    folder = tmp_path / "docs"
    folder.mkdir()
    (folder / "blocks.md").write_text(
        "# Blocks\n\nIntroduction.\n\n## Size\n\nA block holds\n71 bytes of data.\n",
        encoding="utf-8",
    )
    (folder / "dogs.md").write_text("# Dogs\n\nDogs bark at night.\n", encoding="utf-8")
    return folder
