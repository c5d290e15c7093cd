"""Makes the inputs of training: the collection of real prose and the tokenizer."""

from pathlib import Path

from mlx_backends.bundled.training import prose, tokenizer
from mlx_backends.bundled.training.generator import Corpus, Generator

_CONVERSATIONS = 9_000


def prepare(folder: Path) -> None:
    """Write `prose.json.gz` and `tokenizer.json`."""
    collection = folder / "prose.json.gz"
    prose.save(prose.collect(), collection)
    corpus = Corpus.load(collection, held_out=False)
    generator = Generator(99, corpus)
    texts = [generator.conversation().text() for _ in range(_CONVERSATIONS)]
    texts += [" ".join(paragraph) for document in corpus.documents for paragraph in document]
    tokenizer.train(texts).save(str(folder / "tokenizer.json"))
