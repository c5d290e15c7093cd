"""Documents on disk to a searchable index."""

from collections.abc import Callable
from dataclasses import dataclass

from mlx_backends.errors import ConfigError
from mlx_backends.pooling.embedder import Embedder
from mlx_backends.retrieval.documents import SkippedFile, read_documents
from mlx_backends.retrieval.hybrid_index import HybridIndex
from mlx_backends.retrieval.splitter import Splitter

# Room for a paragraph and the headings above it; four fit the context of a small model.
DEFAULT_CHUNK_TOKENS = 160


@dataclass(frozen=True, slots=True)
class Library:
    """Documents that can be searched.

    Attributes:
        index: Their chunks.
        num_files: Files that were read.
        skipped: Files that were left out, and why.
    """

    index: HybridIndex
    num_files: int
    skipped: list[SkippedFile]


def build_library(
    path: str,
    embedder: Embedder,
    *,
    chunk_tokens: int | None,
    on_progress: Callable[[int, int], None],
) -> Library:
    """Read, split and embed everything below a path.

    Args:
        path: A file or a folder.
        embedder: Counts tokens and makes the vectors.
        chunk_tokens: Most tokens of a chunk; None is 160, or what the embedding model takes.
        on_progress: Called with the number of chunks embedded and the number of all.

    Raises:
        RequestError: There is nothing to read.
        ConfigError: The embedding model does not take chunks of that size.
        ModelError: The embedding model cannot be used.
    """
    corpus = read_documents(path)
    size = _chunk_size(chunk_tokens, embedder.max_length)
    splitter = Splitter(embedder.count, chunk_tokens=size, overlap_tokens=size // 8)
    chunks = splitter.split(corpus.documents)
    vectors = embedder.embed([chunk.passage for chunk in chunks], on_progress=on_progress)
    return Library(HybridIndex(chunks, vectors), len(corpus.documents), corpus.skipped)


def _chunk_size(asked: int | None, longest: int) -> int:
    if asked is not None and asked > longest:
        raise ConfigError(
            f"--chunk-tokens is {asked:,}; the embedding model takes at most {longest:,} tokens."
        )
    return asked or min(DEFAULT_CHUNK_TOKENS, longest)
