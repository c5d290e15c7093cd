"""``python -m mlx_backends.bench``: the benchmarks without the command line's libraries."""

import argparse
import json
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any, get_args

from mlx_backends.bench import (
    agreement,
    embed,
    engine,
    first_use,
    pruning,
    quantization,
    recall,
    sparsity,
    step,
    techniques,
)
from mlx_backends.bench.plots import draw, draw_costs
from mlx_backends.bench.random_model import SHAPES
from mlx_backends.bench.record import Record, environment
from mlx_backends.config import DType


def main(arguments: list[str] | None = None) -> int:
    """Run one of the benchmarks; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m mlx_backends.bench")
    commands = parser.add_subparsers(dest="command", required=True)
    _add_engine(commands.add_parser("engine", help="this engine against mlx-lm"))
    kernels = commands.add_parser("kernels", help="attention kernels against copy bandwidth")
    kernels.add_argument("--json", type=Path, help="write the figures here")
    _add_adapters(commands.add_parser("adapters", help="what the frameworks' adapters add"))
    embed.add_arguments(commands.add_parser("embed", help="the embedder against its peers"))
    recall.add_arguments(
        commands.add_parser("recall", help="what quantized weights cost an encoder")
    )
    step.add_arguments(commands.add_parser("step", help="a decode step, taken apart"))
    techniques.add_arguments(
        commands.add_parser("techniques", help="what each technique gains and costs on a model")
    )
    facts = commands.add_parser("facts", help="what MLX does, where the design rests on it")
    facts.add_argument("--json", type=Path, help="write the figures here")
    sparsity.add_arguments(
        commands.add_parser("sparsity", help="sparse products against the dense one")
    )
    quantization.add_arguments(
        commands.add_parser("quantization", help="what each way of quantizing costs in quality")
    )
    parser_of_agreement = commands.add_parser("agreement", help="this engine's tokens and mlx-lm's")
    _add_model(parser_of_agreement)
    parser_of_agreement.add_argument("--dtype", choices=get_args(DType), default="auto")
    _add_model(commands.add_parser("first-use", help="where the time of first answers goes"))
    pruning.add_arguments(
        commands.add_parser("pruning", help="right answers that pruning costs the bundled model")
    )
    options = parser.parse_args(arguments)
    match options.command:
        case "kernels":
            return _run_kernels(options.json)
        case "recall":
            return recall.run(options, _report)
        case "embed":
            return embed.run(options, _report)
        case "techniques":
            return techniques.run(options, _report)
        case "step":
            return step.run(options, _report)
        case "facts":
            return _run_facts(options.json)
        case "quantization":
            return quantization.run(options, _report)
        case "pruning":
            return pruning.run(options, _report)
        case "sparsity":
            return sparsity.run(options, _report)
        case "first-use" | "agreement":
            return _run_on_model(options)
        case "adapters":
            return _run_adapters(options)
        case _:
            return _run_engine(options)


def _add_engine(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--device", choices=("auto", "cpu", "gpu"), default="auto")
    parser.add_argument("--suite", choices=tuple(engine.SUITES), help="default: by the device")
    parser.add_argument("--model", help="folder, Hub id or 'bundled', instead of random weights")
    parser.add_argument("--shape", action="append", choices=tuple(SHAPES), default=[])
    parser.add_argument("--only", default="", help="workloads, such as 'stream' or 'stream|seen'")
    parser.add_argument("--rounds", type=int, default=3, help="measured rounds (default 3)")
    parser.add_argument("--seconds", type=float, help="begin no new round after so long")
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--plots", type=Path, help="write PNGs into this folder")


def _add_adapters(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--rounds", type=int, default=9, help="measured rounds (default 9)")
    parser.add_argument("--tokens", type=int, default=2_000, help="of a stream (default 2,000)")
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--plots", type=Path, help="write a PNG into this folder")


def _add_model(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--device", choices=("auto", "cpu", "gpu"), default="auto")
    parser.add_argument("--model", help="folder, Hub id or 'bundled'")
    parser.add_argument("--shape", choices=tuple(SHAPES), help="random weights instead")
    parser.add_argument("--json", type=Path, help="write the figures here")


def _run_engine(arguments: argparse.Namespace) -> int:
    options = engine.Options(
        device=arguments.device,
        suite=arguments.suite,
        model=arguments.model,
        shapes=tuple(arguments.shape),
        only=arguments.only,
        rounds=arguments.rounds,
    )
    record = Record(environment(engine.uses_gpu(options)), [])
    progress = engine.Progress(_report, arguments.seconds)
    for comparison in engine.measure(options, progress):
        _report(comparison.table())
        record.comparisons.append(comparison)
        if arguments.json:
            record.write(arguments.json)  # each time: a run that is broken off leaves what it has
    if arguments.plots:
        draw(record, arguments.plots)
    return 0


def _run_kernels(json_path: Path | None) -> int:
    from mlx_backends.kernels import benchmark

    figures = benchmark.run(_report)
    if json_path:
        json_path.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    return 0


def _run_adapters(arguments: argparse.Namespace) -> int:
    from mlx_backends.bench import adapters  # needs both frameworks

    costs = adapters.measure(rounds=arguments.rounds, num_tokens=arguments.tokens)
    for cost in costs:
        _report(cost.line())
    if arguments.json:
        content = {
            "environment": environment(is_gpu=False),
            "microseconds": [asdict(cost) for cost in costs],
        }
        arguments.json.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    if arguments.plots:
        draw_costs({cost.name: cost.us for cost in costs}, arguments.plots)
    return 0


def _run_facts(json_path: Path | None) -> int:
    from mlx_backends.bench import facts

    return _report_all(facts.measure(), json_path)


def _run_on_model(arguments: argparse.Namespace) -> int:
    """``first-use`` or ``agreement``, on a model's files."""
    shapes = (arguments.shape,) if arguments.shape else ()
    options = engine.Options(arguments.device, model=arguments.model, shapes=shapes)
    with tempfile.TemporaryDirectory(prefix="mlx-backends-bench-") as scratch:
        target = engine.first_target(options, Path(scratch))
        where = (target.folder, target.vocab_size, options.device)
        if arguments.command == "first-use":
            return _report_all(first_use.measure(*where), arguments.json)
        figures = {"model": target.name, "dtype": arguments.dtype}
        figures |= agreement.measure(*where, arguments.dtype)
        return _report_all([figures], arguments.json)


def _report_all(figures: Iterable[dict[str, Any]], json_path: Path | None) -> int:
    """A line for each figure, and all of them so far as JSON."""
    so_far: list[dict[str, Any]] = []
    for figure in figures:
        so_far.append(figure)
        _report(json.dumps(figure))
        if json_path:
            json_path.write_text(json.dumps(so_far, indent=1) + "\n", encoding="utf-8")
    return 0


def _report(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
