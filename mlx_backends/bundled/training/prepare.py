"""Makes the inputs of training: the collection of real prose and the tokenizer."""

from pathlib import Path

from mlx_backends.bundled.training import prose, tokenizer
from mlx_backends.bundled.training.generator import Corpus, Generator

_CONVERSATIONS = 9_000


def prepare(folder: Path, manuals: Path | None = None) -> None:
    """Write `prose.json.gz`, and `tokenizer.json` unless it is there: weights are tied to it.

    Args:
        folder: Gets both files.
        manuals: Holds unpacked Debian packages, see `prose.MANUALS`.
    """
    collection = folder / "prose.json.gz"
    prose.save(prose.collect(manuals), collection)
    if not (folder / "tokenizer.json").is_file():
        _train_tokenizer(Corpus.load(collection, held_out=False)).save(
            str(folder / "tokenizer.json")
        )


def _train_tokenizer(corpus: Corpus) -> tokenizer.Tokenizer:
    generator = Generator(99, corpus)
    texts = [generator.conversation().text() for _ in range(_CONVERSATIONS)]
    texts += [" ".join(paragraph) for document in corpus.documents for paragraph in document]
    return tokenizer.train(texts)
