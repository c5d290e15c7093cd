"""``bench embed``: this package's embedder against sentence-transformers and ONNX Runtime.

All systems embed the same texts with the same weights, each in a process of its own, one round
after the other. Without a model, weights of MiniLM's shape are drawn at random: speed does not
depend on values.
"""

import argparse
import os
import statistics
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import mlx.core as mx

from mlx_backends.bench.embed_measurement import Measurement, Outcome, Record
from mlx_backends.bench.embed_plot import draw
from mlx_backends.bench.embed_process import Clock, started
from mlx_backends.bench.embed_system import SYSTEMS
from mlx_backends.bench.embed_workload import mixed_texts, model_or_random
from mlx_backends.bench.record import environment
from mlx_backends.errors import EngineError


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
    record = Record(arguments.json, dict(environment(is_gpu)))
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        folder = model_or_random(arguments.model, scratch)
        report(f"{clock.seconds:.0f} s: starting")
        with started(
            _pythons(arguments), folder, _options(arguments, is_gpu), clock, report
        ) as systems:
            record.facts |= {system.name: system.facts for system in systems}
            work = [(count, systems) for count in arguments.texts]
            if arguments.alone:
                work.append((arguments.alone, systems[:1]))
            for count, taking_part in work:
                texts = mixed_texts(count)
                measure = Measurement(taking_part, texts, scratch, report, is_gpu=is_gpu)
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


def _pythons(arguments: argparse.Namespace) -> dict[str, str]:
    """The interpreter of every system, this package's first."""
    peers = {name: str(arguments.peer_python) for name in arguments.peers}
    return {"mlx-backends": sys.executable, **peers}


def _options(arguments: argparse.Namespace, is_gpu: bool) -> dict[str, Any]:
    return {
        "device": "gpu" if is_gpu else "cpu",
        "dtype": arguments.dtype,
        "weight_bits": arguments.weight_bits,
        "max_batch_tokens": arguments.max_batch_tokens,
        "max_length": arguments.max_length,
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1,
        "onnx": arguments.onnx,
    }


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


def main() -> int:
    """Run without the other benchmarks, whose imports take seconds."""
    parser = argparse.ArgumentParser(prog="python -m mlx_backends.bench.embed")
    add_arguments(parser)
    return run(parser.parse_args(), lambda line: print(line, flush=True))  # noqa: T201


if __name__ == "__main__":
    sys.exit(main())
