"""What pruning costs the bundled chat model: right answers lost, by method, pattern and recovery.

An answer is right if each of its tokens is the likeliest one after the right ones before it, which
is what greedy decoding writes. Calibration and recovery use conversations of the training side,
which share no item with those that are asked. Needs the collection of real prose that ``python -m
mlx_backends.bundled.train prepare`` writes.
"""

import argparse
import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mlx.core as mx
import numpy as np

from mlx_backends import bundled
from mlx_backends.bench.record import environment
from mlx_backends.bundled.evaluation.chat import prompt_of
from mlx_backends.bundled.evaluation.held_out_prose import HeldOutProse
from mlx_backends.bundled.evaluation.rows import LM_ROWS, TOOL_CALL
from mlx_backends.bundled.training import chatml
from mlx_backends.bundled.training.generator import Corpus, Generator
from mlx_backends.sparsity import InputNorms, input_norms, prune, recover

if TYPE_CHECKING:
    from mlx_backends.bundled.evaluation.chat_model import ChatModel

ROWS = (
    "4 facts",
    "8 facts",
    "4 facts, unseen synonyms",
    "follow-up that leaves words out",
    "JSON answer",
    TOOL_CALL,
)
_PROSE = "prose.json.gz"
# Rows of this many tokens, as many as Wanda's paper takes.
_CALIBRATION_ROWS, _CALIBRATION_LENGTH, _CALIBRATION_SEED = 128, 2_048, 101
_RECOVERY_SEED = 102
_CONTEXT_WEIGHT = 0.1


@dataclass(frozen=True, slots=True)
class Case:
    """One way to prune.

    Attributes:
        name: In the report.
        options: Of ``prune``; none leaves the model as it is.
        is_recovered: Whether the rest is trained afterwards.
    """

    name: str
    options: dict[str, Any] = field(default_factory=dict)
    is_recovered: bool = False


CASES = (
    Case("dense"),
    Case("magnitude 50%", {"method": "magnitude"}),
    Case("wanda 50%", {"method": "wanda"}),
    Case("wanda 50%, recovered", {"method": "wanda"}, is_recovered=True),
    Case("magnitude 2:4", {"method": "magnitude", "pattern": "2:4"}),
    Case("wanda 2:4", {"method": "wanda", "pattern": "2:4"}),
    Case("wanda 2:4, recovered", {"method": "wanda", "pattern": "2:4"}, is_recovered=True),
    Case("wanda blocks 50%", {"method": "wanda", "pattern": "block"}),
    Case("wanda blocks 50%, recovered", {"method": "wanda", "pattern": "block"}, is_recovered=True),
)


@dataclass(frozen=True, slots=True)
class Recovery:
    """How long the rest is trained.

    Attributes:
        steps: 0 leaves the recovered cases out.
        conversations: Of each step.
    """

    steps: int
    conversations: int


@dataclass(frozen=True, slots=True)
class Score:
    """What one case kept.

    Attributes:
        case: Its name.
        sparsity: Share of zeros in the linear layers.
        right: Share of right answers, by row.
        mean: Over the rows.
        lost: Points that the mean lies under that of the dense model.
        seconds: For pruning and recovery.
    """

    case: str
    sparsity: float
    right: dict[str, float]
    mean: float
    lost: float
    seconds: float


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``bench pruning``."""
    parser.add_argument("--inputs", type=Path, default=Path("build/bundled"))
    parser.add_argument("--items", type=int, default=100, help="of each row (default 100)")
    parser.add_argument(
        "--steps", type=int, default=200, help="of recovery (default 200); 0 leaves it out"
    )
    parser.add_argument("--batch", type=int, default=4, help="conversations a step (default 4)")
    parser.add_argument(
        "--calibration",
        type=int,
        default=_CALIBRATION_ROWS,
        help=f"rows of {_CALIBRATION_LENGTH:,} tokens for Wanda (default {_CALIBRATION_ROWS})",
    )
    parser.add_argument("--only", default="", help="part of the names of cases, such as '2:4'")
    parser.add_argument("--json", type=Path, help="write the figures here")


def run(arguments: argparse.Namespace, report: Callable[[str], None]) -> int:
    """Measure, print and write; returns the exit status."""
    scores: list[Score] = []
    recovery = Recovery(arguments.steps, arguments.batch)
    texts = _Training(arguments.inputs, arguments.calibration)
    questions = _Questions(arguments.inputs, arguments.items)
    for score in measure(questions, texts, recovery, arguments.only):
        report(
            f"{score.case:<28} zeros {score.sparsity:4.0%}  right {score.mean:6.1%}  lost "
            f"{score.lost:5.1f} points  {score.seconds:5.1f} s  "
            + " ".join(f"{value:.2f}" for value in score.right.values())
        )
        scores.append(score)
        if arguments.json:
            content = {
                "environment": environment(mx.default_device() == mx.Device(mx.gpu)),
                "items": arguments.items,
                "calibration_tokens": arguments.calibration * _CALIBRATION_LENGTH,
                "recovery": asdict(recovery),
                "scores": [asdict(score) for score in scores],
            }
            arguments.json.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    return 0


def measure(
    questions: "_Questions", texts: "_Training", recovery: Recovery, only: str = ""
) -> Iterator[Score]:
    """Prune the bundled chat model in each way and ask it."""
    # Here, not at the top: mlx-lm takes seconds to import.
    from mlx_backends.bundled.evaluation.chat_model import ChatModel

    dense: Score | None = None
    for case in CASES:
        if case.options and (only not in case.name or (case.is_recovered and not recovery.steps)):
            continue
        chat = ChatModel(bundled.path("lm"))
        started = time.perf_counter()
        sparsity = _prepare(chat, case, texts, recovery)
        seconds = time.perf_counter() - started
        right = questions.ask(chat)
        mean = sum(right.values()) / len(right)
        lost = 100 * ((dense.mean if dense else mean) - mean)
        score = Score(case.name, sparsity, right, mean, lost, seconds)
        dense = dense or score
        yield score


def _prepare(chat: "ChatModel", case: Case, texts: "_Training", recovery: Recovery) -> float:
    if not case.options:
        return 0.0
    norms = texts.norms(chat) if case.options["method"] == "wanda" else None
    done = prune(chat.model, **case.options, calibration_data=norms)
    if case.is_recovered:
        recover(chat.model, texts.batches(chat, recovery), learning_rate=1e-3)
    mx.eval(chat.model.parameters())
    return done.sparsity


class _Questions:
    """The questions of the evaluation side, the same for every case."""

    def __init__(self, inputs: Path, items: int) -> None:
        prose = HeldOutProse.load(inputs / _PROSE)
        self.rows = {row.name: row.draw(prose, items) for row in LM_ROWS if row.name in ROWS}

    def ask(self, chat: "ChatModel") -> dict[str, float]:
        """Share of right answers of each row."""
        shares = {}
        for name, drawn in self.rows.items():
            prompts = [prompt_of(item, chat.count) for item in drawn]
            wanted = [item.messages[-1]["content"] for item in drawn]
            shares[name] = sum(chat.prefers(prompts, wanted)) / len(drawn)
        return shares


class _Training:
    """Conversations of the training side."""

    def __init__(self, inputs: Path, calibration_rows: int) -> None:
        self.corpus = Corpus.load(inputs / _PROSE, held_out=False)
        self.calibration_rows = calibration_rows
        self._norms: InputNorms | None = None

    def norms(self, chat: "ChatModel") -> InputNorms:
        """What the dense model's layers are given; measured by the first case that asks."""
        if self._norms is None:
            self._norms = input_norms(chat.model, self._calibration(chat))
            mx.clear_cache()
        return self._norms

    def _calibration(self, chat: "ChatModel") -> list[mx.array]:
        """Rows of joined conversations, as many at a time as the model is asked in."""
        count, length = self.calibration_rows, _CALIBRATION_LENGTH
        ids: list[int] = []
        generator = Generator(_CALIBRATION_SEED, self.corpus)
        while len(ids) < count * length:
            ids += _encode(chat, generator.conversation().text())
        rows = mx.array(ids[: count * length]).reshape(count, length)
        together = max(1, chat.batch_tokens // length)
        return [rows[start : start + together] for start in range(0, count, together)]

    def batches(self, chat: "ChatModel", recovery: Recovery) -> "_Batches":
        return _Batches(chat, Generator(_RECOVERY_SEED, self.corpus), recovery)


class _Batches(Sequence[tuple[mx.array, mx.array]]):
    """Padded conversations, and what each token counts: answers fully, the rest a little."""

    length = 384

    def __init__(self, chat: "ChatModel", generator: Generator, recovery: Recovery) -> None:
        self.chat, self.generator = chat, generator
        self.steps, self.num_rows = recovery.steps, recovery.conversations
        self.role = _encode(chat, "assistant")[0]
        self.start = _encode(chat, chatml.IM_START)[0]

    def __len__(self) -> int:
        return self.steps

    def __getitem__(self, index: Any) -> Any:
        if index >= self.steps:
            raise IndexError(index)
        ids = np.zeros((self.num_rows, self.length), np.int32)
        weights = np.zeros((self.num_rows, self.length), np.float32)
        for row in range(self.num_rows):
            tokens = self._conversation()
            ids[row, : len(tokens)] = tokens
            weights[row, : len(tokens)] = self._weights(np.array(tokens))
        return mx.array(ids), mx.array(weights)

    def _conversation(self) -> list[int]:
        while True:
            tokens = _encode(self.chat, self.generator.conversation().text())
            if len(tokens) <= self.length:
                return tokens

    def _weights(self, tokens: np.ndarray) -> np.ndarray:
        weights = np.full(len(tokens), _CONTEXT_WEIGHT, np.float32)
        starts = np.flatnonzero((tokens[:-1] == self.start) & (tokens[1:] == self.role))
        ends = np.flatnonzero(tokens == self.chat.end)
        for begin in starts:
            weights[begin + 3 : ends[np.searchsorted(ends, begin)] + 1] = 1
        return weights


def _encode(chat: "ChatModel", text: str) -> list[int]:
    return chat.tokenizer.encode(text, add_special_tokens=False)
