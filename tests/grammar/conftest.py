import random
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tokenizers

from mlx_backends import bundled
from mlx_backends.grammar import Grammar, compile_grammar
from mlx_backends.grammar.constraint import GrammarConstraint
from mlx_backends.text.tokenizer import Tokenizer

Draw = Callable[[np.ndarray], int]


@pytest.fixture(scope="session")
def tokenizer() -> Tokenizer:
    return Tokenizer.from_folder(bundled.path("lm"))


@pytest.fixture(scope="session")
def tiny_tokenizer(tiny_lm: Path) -> Tokenizer:
    return Tokenizer.from_folder(tiny_lm)


def allowed_ids(constraint: GrammarConstraint) -> np.ndarray:
    bits = np.unpackbits(constraint.allowed_bitmask().view(np.uint8), bitorder="little")
    return np.flatnonzero(bits)


def random_draw(seed: int) -> Draw:
    """The hardest model there is: every allowed token is as likely as any other."""
    rng = random.Random(seed)
    return lambda ids: int(rng.choice(ids))


def completion(constraint: GrammarConstraint, tokenizer: Tokenizer, draw: Draw) -> list[int]:
    """Token ids of a completion under the constraint, end-of-sequence token aside."""
    ids: list[int] = []
    while not constraint.is_finished:
        ids.append(constraint.accept(draw(allowed_ids(constraint))))
    return [i for i in ids if i not in tokenizer.eos_token_ids]


@pytest.fixture
def written(tokenizer: Tokenizer):
    """Function that writes a text under a grammar with random tokens."""

    def write(grammar: Grammar, *, max_tokens: int = 64, seed: int = 0, draw: Draw | None = None):
        constraint = compile_grammar(grammar, tokenizer, max_tokens=max_tokens)
        ids = completion(constraint, tokenizer, draw or random_draw(seed))
        assert len(ids) <= max_tokens
        return b"".join(map(tokenizer.token_bytes, ids)).decode()

    return write


@pytest.fixture(scope="session")
def reasoning_tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    """The bundled model's tokenizer with marks of reasoning."""
    folder = tmp_path_factory.mktemp("tokenizers") / "reasoning"
    shutil.copytree(bundled.path("lm"), folder, ignore=shutil.ignore_patterns("*.safetensors"))
    library = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    library.add_tokens(["<think>", "</think>"])
    library.save(str(folder / "tokenizer.json"))
    return Tokenizer.from_folder(folder)
