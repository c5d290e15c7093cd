"""``bench embed``: this package's embedder against sentence-transformers and ONNX Runtime.

All systems embed the same texts with the same weights, each in a process of its own, one round
after the other. Without a model, weights of MiniLM's shape are drawn at random: speed does not
depend on values.
"""

import argparse
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np

from mlx_backends import bundled
from mlx_backends.bench.embed_plot import draw
from mlx_backends.bench.embed_system import SYSTEMS
from mlx_backends.bench.record import environment
from mlx_backends.errors import EngineError
from mlx_backends.models.source import model_folder

# The commonest words of English, so that any tokenizer has them.
_WORDS = """
the of and to in is that it was for on are as with his they at be this have from or one had by word
but not what all were we when your can said there use an each which she do how their if will up
other about out many then them these so some her would make like him into time has look two more
write go see number no way could people my than first water been call who oil its now find long
down day did get come made may part
"""
_SHORTEST, _LONGEST = 4, 250
_WARM_UP = 64
_MINILM = {
    "architectures": ["BertModel"],
    "model_type": "bert",
    "vocab_size": 30_522,
    "hidden_size": 384,
    "num_hidden_layers": 6,
    "num_attention_heads": 12,
    "intermediate_size": 1_536,
    "max_position_embeddings": 512,
    "type_vocab_size": 2,
    "layer_norm_eps": 1e-12,
    "hidden_act": "gelu",
}


@dataclass(slots=True)
class Outcome:
    """What one system did with one number of texts.

    Attributes:
        system: Its name.
        num_texts: Texts in a round.
        seconds: Of each measured round.
        processor_s: Processor time of each round, over all threads.
        peak_bytes: Largest resident memory of its process.
        cosine: Least cosine with this package's vectors; None for itself.
    """

    system: str
    num_texts: int
    seconds: list[float] = field(default_factory=list)
    processor_s: list[float] = field(default_factory=list)
    peak_bytes: int = 0
    cosine: float | None = None

    @property
    def texts_per_s(self) -> float:
        return self.num_texts / statistics.median(self.seconds)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``bench embed``."""
    parser.add_argument("--device", choices=("cpu", "gpu"), help="default: gpu where MLX has one")
    parser.add_argument("--model", help="folder or Hub id, instead of random weights of MiniLM")
    parser.add_argument("--texts", type=int, nargs="+", default=[2_000], help="texts of a round")
    parser.add_argument("--rounds", type=int, default=3, help="measured rounds (default 3)")
    parser.add_argument("--dtype", default="auto", help="type in which this package computes")
    parser.add_argument("--weight-bits", type=int, help="quantize this package's weights")
    parser.add_argument("--max-batch-tokens", type=int, help="of this package's batches")
    parser.add_argument("--max-length", type=int, help="tokens at which texts are cut")
    parser.add_argument(
        "--peers",
        nargs="*",
        choices=[name for name in SYSTEMS if name != "mlx-backends"],
        default=["sentence-transformers"],
    )
    parser.add_argument("--peer-python", default=sys.executable, help="interpreter of the peers")
    parser.add_argument("--onnx", help="model.onnx for the peer onnxruntime")
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--plots", type=Path, help="write a PNG into this folder")


def run(arguments: argparse.Namespace, report: Callable[[str], None]) -> int:
    """Measure, print and write; returns the exit status."""
    is_gpu = (arguments.device or ("gpu" if mx.is_available(mx.gpu) else "cpu")) == "gpu"
    facts: dict[str, Any] = dict(environment(is_gpu))
    outcomes: list[Outcome] = []
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        folder = _model(arguments.model, scratch)
        with _started(arguments, folder, is_gpu, report) as systems:
            facts |= {system.name: system.facts for system in systems}
            for count in arguments.texts:
                measured = _measure(
                    systems, _texts(count), arguments.rounds, scratch, is_gpu=is_gpu
                )
                outcomes += measured
                _report(measured, report)
                if arguments.json:
                    _write(arguments.json, facts, outcomes)
    if arguments.plots:
        draw(
            [(o.system, o.num_texts, o.texts_per_s) for o in outcomes],
            arguments.plots / f"embed-{'gpu' if is_gpu else 'cpu'}.png",
        )
    return 0


class SystemProcess:
    """A started system.

    Raises:
        EngineError: It could not be loaded.
    """

    def __init__(self, name: str, python: str, folder: Path, options: dict[str, Any]) -> None:
        self.name = name
        script = Path(__file__).with_name("embed_system.py")
        environment = dict(os.environ)
        if name == "mlx-backends":
            environment["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
        try:
            self._process = subprocess.Popen(
                [python, str(script), name, str(folder), json.dumps(options)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
                env=environment,
            )
        except OSError as error:
            raise EngineError(f"{name}: {python} cannot be run: {error}") from error
        self.facts = self._receive()

    def embed(self, texts: Path, vectors: Path) -> dict[str, float]:
        """Embed a file of texts; what it took.

        Raises:
            EngineError: The system failed.
        """
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"texts": str(texts), "vectors": str(vectors)}) + "\n")
        self._process.stdin.flush()
        return self._receive()

    def close(self) -> None:
        self._process.communicate()  # closes its input, which ends its loop

    def _receive(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        while line := self._process.stdout.readline():
            if line.startswith("{"):  # libraries may write lines of their own
                answer = json.loads(line)
                if "error" in answer:
                    raise EngineError(f"{self.name}: {answer['error']}")
                return answer
        raise EngineError(f"{self.name}: its process ended.")


@contextmanager
def _started(
    arguments: argparse.Namespace, folder: Path, is_gpu: bool, report: Callable[[str], None]
) -> Iterator[list[SystemProcess]]:
    """This package and the peers that start; the others are named and left out."""
    options = {
        "device": "gpu" if is_gpu else "cpu",
        "dtype": arguments.dtype,
        "weight_bits": arguments.weight_bits,
        "max_batch_tokens": arguments.max_batch_tokens,
        "max_length": arguments.max_length,
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1,
        "onnx": arguments.onnx,
    }
    systems = [SystemProcess("mlx-backends", sys.executable, folder, options)]
    try:
        for peer in arguments.peers:
            try:
                systems.append(SystemProcess(peer, arguments.peer_python, folder, options))
            except EngineError as error:
                report(f"left out: {error}")
        yield systems
    finally:
        for system in systems:
            system.close()


def _measure(
    systems: Sequence[SystemProcess], texts: list[str], rounds: int, scratch: Path, *, is_gpu: bool
) -> list[Outcome]:
    """Rounds of all systems in turn, after one that compiles and fills caches.

    That one has all texts on a GPU, where every new shape is compiled, and some on a CPU.
    """
    file, some = scratch / "texts.json", scratch / "some.json"
    file.write_text(json.dumps(texts), encoding="utf-8")
    some.write_text(json.dumps(texts if is_gpu else texts[:_WARM_UP]), encoding="utf-8")
    outcomes = [Outcome(system.name, len(texts)) for system in systems]
    for number in range(rounds + 1):
        for system, outcome in zip(systems, outcomes, strict=True):
            answer = system.embed(file if number else some, scratch / f"{system.name}.npy")
            if number:
                outcome.seconds.append(answer["seconds"])
                outcome.processor_s.append(answer["processor_s"])
            outcome.peak_bytes = int(answer["peak_bytes"])
    ours = np.load(scratch / "mlx-backends.npy")
    for outcome in outcomes[1:]:
        theirs = np.load(scratch / f"{outcome.system}.npy")
        outcome.cosine = float((ours * theirs).sum(axis=1).min())
    return outcomes


def _texts(count: int) -> list[str]:
    """Texts of 4 to 250 words, as many from 4 to 8 as from 125 to 250; the same each time."""
    draw, words = random.Random(count), _WORDS.split()
    lengths = [round(_SHORTEST * (_LONGEST / _SHORTEST) ** draw.random()) for _ in range(count)]
    return [" ".join(draw.choices(words, k=length)) for length in lengths]


def _model(name: str | None, scratch: Path) -> Path:
    """The folder of a model; without a name, of random weights with MiniLM's shape."""
    if name is not None:
        return model_folder(name, "encoder")
    folder = scratch / "minilm"
    shutil.copytree(bundled.path("encoder"), folder)
    (folder / "config.json").write_text(json.dumps(_MINILM), encoding="utf-8")
    from mlx.utils import tree_flatten

    from mlx_backends.models.encoders.bert import Bert, BertConfig

    with mx.stream(mx.cpu):
        mx.random.seed(0)
        model = Bert(BertConfig.from_dict(_MINILM))
        mx.save_safetensors(
            str(folder / "model.safetensors"),
            dict(tree_flatten(model.parameters())),
            metadata={"format": "pt"},
        )
    return folder


def _report(outcomes: Sequence[Outcome], report: Callable[[str], None]) -> None:
    ours = outcomes[0]
    report(f"{ours.num_texts:,} texts")
    for outcome in outcomes:
        line = (
            f"  {outcome.system:<22} {outcome.texts_per_s:>10,.1f} texts/s"
            f"  {statistics.median(outcome.processor_s):>8,.2f} s of processor"
            f"  {outcome.peak_bytes / 2**20:>8,.0f} MiB"
        )
        if outcome is not ours:
            ratio = ours.texts_per_s / outcome.texts_per_s
            line += f"  (x{ratio:.2f}, cosine {outcome.cosine:.7f})"
        report(line)


def _write(path: Path, facts: dict[str, Any], outcomes: Sequence[Outcome]) -> None:
    rows = []
    for outcome in outcomes:
        ours = next(
            o for o in outcomes if o.num_texts == outcome.num_texts and o.system == "mlx-backends"
        )
        rows.append(
            {
                "system": outcome.system,
                "texts": outcome.num_texts,
                "seconds": outcome.seconds,
                "processor_s": outcome.processor_s,
                "texts_per_s": outcome.texts_per_s,
                "peak_bytes": outcome.peak_bytes,
                "cosine": outcome.cosine,
                "ratio": ours.texts_per_s / outcome.texts_per_s,
            }
        )
    content = json.dumps({"environment": facts, "results": rows}, indent=1)
    path.write_text(content + "\n", encoding="utf-8")
