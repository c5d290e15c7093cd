"""Held-out items, calibration and training batches for the bundled chat model. Imports no MLX."""

import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Tokenizer

from mlx_backends import bundled
from mlx_backends.bundled.training import chatml
from mlx_backends.errors import EngineError

ROWS = (
    "1 fact",
    "4 facts",
    "8 facts",
    "near miss refused",
    "third question of a conversation",
    "JSON answer",
    "tool call, schema never seen",
    "answer from a tool's result",
)
# Rows of a batch are padded to one of these lengths: few shapes to compile.
LENGTHS = (384, 768, 1_536)
# Weight of a prediction by the kind of its token: padding, context, answer, prose.
_KIND_WEIGHTS = np.array([0.0, 0.1, 1.0, 0.3], np.float32)
_MODULE = "mlx_backends.bench.quantization_data"
_CALIBRATION_SEED, _TRAINING_SEED = 77, 10_000


@dataclass(frozen=True, slots=True)
class HeldOutItem:
    """Token ids of a prompt and its answer, and where the answer starts."""

    ids: list[int]
    start: int
    row: str


@dataclass(frozen=True, slots=True)
class PackedRows:
    """Conversations of one length class: ids (rows, length) uint16, kinds (rows, length) uint8."""

    ids: np.ndarray
    kinds: np.ndarray

    def weights(self, index: slice) -> np.ndarray:
        """How much each prediction counts. Shapes: (rows, length) float32."""
        return _KIND_WEIGHTS[self.kinds[index]]


def tokenizer() -> Tokenizer:
    """The bundled chat model's."""
    return Tokenizer.from_file(str(bundled.path("lm") / "tokenizer.json"))


def held_out_items(collection: Path, count: int) -> list[HeldOutItem]:
    """Items with names and sentences that training never had, as many of each row.

    Args:
        collection: Real prose that ``python -m mlx_backends.bundled.train prepare`` wrote.
        count: Of all rows together, at least.
    """
    from mlx_backends.bundled.evaluation.held_out_prose import HeldOutProse
    from mlx_backends.bundled.evaluation.rows import LM_ROWS

    prose = HeldOutProse.load(collection)
    rows = [row for row in LM_ROWS if row.name in ROWS]
    library = tokenizer()
    return [
        _item(library, conversation, row.name)
        for row in rows
        for conversation in row.draw(prose, -(-count // len(rows)))
    ]


def _item(library: Tokenizer, conversation: Any, row: str) -> HeldOutItem:
    *turns, answer = conversation.messages
    prompt = chatml.render(turns, conversation.tools, add_generation_prompt=True)
    start = library.encode(prompt, add_special_tokens=False).ids
    end = library.encode(answer["content"] + chatml.IM_END, add_special_tokens=False).ids
    return HeldOutItem(start + end, len(start), row)


def calibration_rows(collection: Path, rows: int, length: int) -> np.ndarray:
    """Conversations of the training side, joined and cut: (rows, length) int32."""
    from mlx_backends.bundled.training.generator import Corpus, Generator

    generator = Generator(_CALIBRATION_SEED, Corpus.load(collection, held_out=False))
    library = tokenizer()
    ids: list[int] = []
    while len(ids) < rows * length:
        text = generator.conversation().text()
        ids += library.encode(text, add_special_tokens=False).ids
    return np.array(ids[: rows * length], np.int32).reshape(rows, length)


class TrainingData:
    """Training conversations, made by other processes from now on.

    Args:
        collection: As in ``held_out_items``.
        tokens: To make in all, padding aside.
        processes: That make them.
    """

    def __init__(self, collection: Path, tokens: int, processes: int) -> None:
        self._folder = tempfile.TemporaryDirectory()
        share = -(-tokens // processes)
        self._files = [Path(self._folder.name) / f"{index}.npz" for index in range(processes)]
        # Processes of this module alone, which starts in no time: it needs no MLX.
        self._makers = [
            subprocess.Popen(
                [sys.executable, "-m", _MODULE, str(collection), str(share), str(seed), str(path)]
            )
            for seed, path in enumerate(self._files, _TRAINING_SEED)
        ]

    def batches(self, tokens: int) -> list[tuple[np.ndarray, np.ndarray]]:
        """All batches of so many padded tokens, in random order; waits for the processes.

        Shapes: ids (rows, length) int32, weights (rows, length) float32.

        Raises:
            EngineError: A process failed.
        """
        failed = [maker.args for maker in self._makers if maker.wait()]
        if failed:
            raise EngineError(f"{len(failed)} processes could not make training data: {failed[0]}")
        parts = [_read(path) for path in self._files]
        self._folder.cleanup()
        found = []
        for length in LENGTHS:
            rows = _joined([part[length] for part in parts if length in part])
            size = max(1, tokens // length)
            for first in range(0, len(rows.ids) - size + 1, size):
                chosen = slice(first, first + size)
                found.append((rows.ids[chosen].astype(np.int32), rows.weights(chosen)))
        order = np.random.default_rng(0).permutation(len(found))
        return [found[index] for index in order]


def main(arguments: list[str]) -> None:
    """What a process of ``TrainingData`` runs: collection, tokens, seed, file to write."""
    collection, tokens, seed, target = arguments
    made = _make(Path(collection), int(tokens), int(seed))
    content = {f"ids-{length}": rows.ids for length, rows in made.items()}
    content |= {f"kinds-{length}": rows.kinds for length, rows in made.items()}
    np.savez(target, **content)  # type: ignore[arg-type]


def _read(path: Path) -> dict[int, PackedRows]:
    with np.load(path) as content:
        return {
            length: PackedRows(content[f"ids-{length}"], content[f"kinds-{length}"])
            for length in LENGTHS
            if f"ids-{length}" in content
        }


def _joined(parts: Sequence[PackedRows]) -> PackedRows:
    ids, kinds = ([getattr(part, name) for part in parts] for name in ("ids", "kinds"))
    return PackedRows(np.concatenate(ids), np.concatenate(kinds))


def _make(collection: Path, tokens: int, seed: int) -> dict[int, PackedRows]:
    """Conversations of one process, by length class."""
    from mlx_backends.bundled.training.generator import Corpus, Generator

    generator = Generator(seed, Corpus.load(collection, held_out=False))
    encode = _Encoder(tokenizer())
    found: dict[int, list[tuple[np.ndarray, np.ndarray]]] = {}
    made = 0
    while made < tokens:
        texts = [generator.conversation().text() for _ in range(64)]
        for ids, kinds in encode(texts):
            length = next((size for size in LENGTHS if size >= len(ids)), None)
            if length is not None:
                found.setdefault(length, []).append((ids, kinds))
                made += len(ids)
    return {length: _packed(rows, length) for length, rows in found.items()}


def _packed(rows: list[tuple[np.ndarray, np.ndarray]], length: int) -> PackedRows:
    ids = np.zeros((len(rows), length), np.uint16)
    kinds = np.zeros((len(rows), length), np.uint8)
    for row, (row_ids, row_kinds) in enumerate(rows):
        ids[row, : len(row_ids)] = row_ids
        kinds[row, : len(row_ids)] = row_kinds
    return PackedRows(ids, kinds)


class _Encoder:
    """Texts to ids and kinds of tokens; the training of the model has the same in torch's terms."""

    _CONTEXT, _ANSWER = 1, 2

    def __init__(self, library: Tokenizer) -> None:
        self._library = library
        self._start = library.token_to_id(chatml.IM_START)
        self._end = library.token_to_id(chatml.IM_END)
        (self._role,) = library.encode("assistant", add_special_tokens=False).ids

    def __call__(self, texts: list[str]) -> list[tuple[np.ndarray, np.ndarray]]:
        encodings = self._library.encode_batch_fast(texts, add_special_tokens=False)
        return [(ids, self._kinds(ids)) for ids in (np.array(e.ids, np.int64) for e in encodings)]

    def _kinds(self, ids: np.ndarray) -> np.ndarray:
        kinds = np.full(len(ids), self._CONTEXT, np.uint8)
        starts = np.flatnonzero((ids[:-2] == self._start) & (ids[1:-1] == self._role))
        ends = np.flatnonzero(ids == self._end)
        for begin in starts:
            kinds[begin + 3 : ends[np.searchsorted(ends, begin)] + 1] = self._ANSWER
        return kinds


if __name__ == "__main__":
    main(sys.argv[1:])
