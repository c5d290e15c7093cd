"""``bench embed``: this package's embedder against sentence-transformers and ONNX Runtime.

All systems embed the same texts with the same weights, each in a process of its own, one round
after the other. Without a model, weights of MiniLM's shape are drawn at random: speed does not
depend on values.
"""

import argparse
import json
import os
import queue
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
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
# Of the time that is left, what loading may take.
_SHARE_OF_LOADING = 0.8
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
    parser.add_argument("--alone", type=int, help="this package embeds so many texts at the end")
    parser.add_argument("--seconds", type=float, default=3_600.0, help="stop by itself after this")
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--plots", type=Path, help="write a PNG into this folder")


def run(arguments: argparse.Namespace, report: Callable[[str], None]) -> int:
    """Measure, print and write; returns the exit status."""
    clock = Clock(arguments.seconds)
    is_gpu = (arguments.device or ("gpu" if mx.is_available(mx.gpu) else "cpu")) == "gpu"
    record = _Record(arguments.json, dict(environment(is_gpu)))
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        folder = _model(arguments.model, scratch)
        report(f"{clock.seconds:.0f} s: starting")
        with _started(arguments, folder, is_gpu, clock, report) as systems:
            record.facts |= {system.name: system.facts for system in systems}
            work = [(count, systems) for count in arguments.texts]
            if arguments.alone:
                work.append((arguments.alone, systems[:1]))
            for count, taking_part in work:
                measure = _Measurement(taking_part, _texts(count), scratch, is_gpu=is_gpu)
                try:
                    for _ in measure.rounds(arguments.rounds, clock):
                        record.write(measure.outcomes)
                except EngineError as error:
                    report(f"{count:,} texts: {error}")
                    break
                record.keep(measure.outcomes)
                _report(measure.outcomes, clock, report)
    if arguments.plots and record.outcomes:
        draw(
            [(o.system, o.num_texts, o.texts_per_s) for o in record.outcomes],
            arguments.plots / f"embed-{'gpu' if is_gpu else 'cpu'}.png",
        )
    return 0 if record.outcomes else 1


class Clock:
    """Seconds since it was made, and how many are left."""

    def __init__(self, limit: float) -> None:
        self._start, self._limit = time.perf_counter(), limit

    @property
    def seconds(self) -> float:
        return time.perf_counter() - self._start

    @property
    def left(self) -> float:
        return self._limit - self.seconds


class SystemProcess:
    """A system that was started; ``facts`` are there once it has loaded.

    Raises:
        EngineError: It cannot be run.
    """

    def __init__(self, name: str, python: str, folder: Path, options: dict[str, Any]) -> None:
        self.name = name
        self.facts: dict[str, Any] = {}
        script = Path(__file__).with_name("embed_system.py")
        variables = dict(os.environ)
        if name == "mlx-backends":
            variables["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
        try:
            self._process = subprocess.Popen(
                [python, str(script), name, str(folder), json.dumps(options)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
                env=variables,
            )
        except OSError as error:
            raise EngineError(f"{name}: {python} cannot be run: {error}") from error
        self._lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def wait(self, timeout: float) -> None:
        """Wait until it has loaded.

        Raises:
            EngineError: It failed, or takes longer.
        """
        self.facts = self._receive(timeout)

    def embed(self, texts: Path, vectors: Path, timeout: float) -> dict[str, float]:
        """Embed a file of texts; what it took.

        Raises:
            EngineError: The system failed, or takes longer.
        """
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"texts": str(texts), "vectors": str(vectors)}) + "\n")
        self._process.stdin.flush()
        return self._receive(timeout)

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.kill()
        self._process.wait()
        self._reader.join()
        self._process.stdin.close()
        self._process.stdout.close()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.put(line)
        self._lines.put("")

    def _receive(self, timeout: float) -> dict[str, Any]:
        try:
            while line := self._lines.get(timeout=max(timeout, 0.0)):
                if line.startswith("{"):  # libraries may write lines of their own
                    answer = json.loads(line)
                    if "error" in answer:
                        raise EngineError(f"{self.name}: {answer['error']}")
                    return answer
        except queue.Empty:
            raise EngineError(f"{self.name}: no answer within {timeout:.0f} s.") from None
        raise EngineError(f"{self.name}: its process ended.")


@contextmanager
def _started(
    arguments: argparse.Namespace,
    folder: Path,
    is_gpu: bool,
    clock: Clock,
    report: Callable[[str], None],
) -> Iterator[list[SystemProcess]]:
    """This package and the peers that load in time, all started at once; others are named."""
    options = {
        "device": "gpu" if is_gpu else "cpu",
        "dtype": arguments.dtype,
        "weight_bits": arguments.weight_bits,
        "max_batch_tokens": arguments.max_batch_tokens,
        "max_length": arguments.max_length,
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1,
        "onnx": arguments.onnx,
    }
    pythons = {"mlx-backends": sys.executable}
    pythons |= dict.fromkeys(arguments.peers, arguments.peer_python)
    started, loaded = [], []
    try:
        for name, python in pythons.items():
            try:
                started.append(SystemProcess(name, python, folder, options))
            except EngineError as error:
                report(f"left out: {error}")
        for system in started:
            try:
                system.wait(_SHARE_OF_LOADING * clock.left)
            except EngineError as error:
                if system is started[0]:
                    raise
                report(f"left out: {error}")
            else:
                report(f"{clock.seconds:.0f} s: {system.name} has loaded")
                loaded.append(system)
        yield loaded
    finally:
        for system in started:
            system.close()


class _Measurement:
    """Rounds of all systems in turn on the same texts."""

    def __init__(
        self, systems: Sequence[SystemProcess], texts: list[str], scratch: Path, *, is_gpu: bool
    ) -> None:
        self._systems, self._scratch = systems, scratch
        self._texts, self._some = scratch / "texts.json", scratch / "some.json"
        self._texts.write_text(json.dumps(texts), encoding="utf-8")
        # On a GPU every new shape is compiled, and so all texts warm up.
        some = texts if is_gpu else texts[:_WARM_UP]
        self._some.write_text(json.dumps(some), encoding="utf-8")
        self.outcomes = [Outcome(system.name, len(texts)) for system in systems]

    def rounds(self, number: int, clock: Clock) -> Iterator[None]:
        """Warm up, then measure round after round, one at least, while there is time."""
        for system in self._systems:
            system.embed(self._some, self._vectors(system), clock.left)
        for index in range(number):
            started = clock.seconds
            for system, outcome in zip(self._systems, self.outcomes, strict=True):
                answer = system.embed(self._texts, self._vectors(system), clock.left)
                outcome.seconds.append(answer["seconds"])
                outcome.processor_s.append(answer["processor_s"])
                outcome.peak_bytes = int(answer["peak_bytes"])
            if index == 0:
                self._compare()
            yield
            if clock.left < clock.seconds - started:
                return

    def _compare(self) -> None:
        ours = np.load(self._vectors(self._systems[0]))
        for system, outcome in zip(self._systems[1:], self.outcomes[1:], strict=True):
            outcome.cosine = float((ours * np.load(self._vectors(system))).sum(axis=1).min())

    def _vectors(self, system: SystemProcess) -> Path:
        return self._scratch / f"{system.name}.npy"


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


def _report(outcomes: Sequence[Outcome], clock: Clock, report: Callable[[str], None]) -> None:
    ours = outcomes[0]
    report(f"{clock.seconds:.0f} s: {ours.num_texts:,} texts, {len(ours.seconds)} rounds")
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


class _Record:
    """What is written: after every round, so that a run that ends early leaves what it has."""

    def __init__(self, path: Path | None, facts: dict[str, Any]) -> None:
        self._path = path
        self.facts = facts
        self.outcomes: list[Outcome] = []

    def keep(self, outcomes: Sequence[Outcome]) -> None:
        self.outcomes += outcomes

    def write(self, more: Sequence[Outcome]) -> None:
        if self._path is None:
            return
        rows = []
        for outcome in (*self.outcomes, *more):
            same = [o for o in (*self.outcomes, *more) if o.num_texts == outcome.num_texts]
            ratio = same[0].texts_per_s / outcome.texts_per_s
            rows.append(asdict(outcome) | {"texts_per_s": outcome.texts_per_s, "ratio": ratio})
        content = json.dumps({"environment": self.facts, "results": rows}, indent=1)
        self._path.write_text(content + "\n", encoding="utf-8")


def main() -> int:
    """Run without the other benchmarks, whose imports take seconds."""
    parser = argparse.ArgumentParser(prog="python -m mlx_backends.bench.embed")
    add_arguments(parser)
    return run(parser.parse_args(), lambda line: print(line, flush=True))  # noqa: T201


if __name__ == "__main__":
    sys.exit(main())
