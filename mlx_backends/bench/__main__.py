"""``python -m mlx_backends.bench``: the benchmarks without the command line's libraries."""

import argparse
import json
import sys
from pathlib import Path

from mlx_backends.bench import engine
from mlx_backends.bench.plots import draw
from mlx_backends.bench.random_model import SHAPES


def main(arguments: list[str] | None = None) -> int:
    """Run ``engine`` or ``kernels``; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m mlx_backends.bench")
    commands = parser.add_subparsers(dest="command", required=True)
    _add_engine(commands.add_parser("engine", help="this engine against mlx-lm"))
    kernels = commands.add_parser("kernels", help="attention kernels against copy bandwidth")
    kernels.add_argument("--json", type=Path, help="write the figures here")
    options = parser.parse_args(arguments)
    return _run_kernels(options.json) if options.command == "kernels" else _run_engine(options)


def _add_engine(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--device", choices=("auto", "cpu", "gpu"), default="auto")
    parser.add_argument("--suite", choices=tuple(engine.SUITES), help="default: by the device")
    parser.add_argument("--shape", action="append", choices=tuple(SHAPES), default=[])
    parser.add_argument("--rounds", type=int, default=3, help="measured rounds (default 3)")
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--plots", type=Path, help="write PNGs into this folder")


def _run_engine(arguments: argparse.Namespace) -> int:
    options = engine.Options(
        device=arguments.device,
        suite=arguments.suite,
        shapes=tuple(arguments.shape),
        rounds=arguments.rounds,
        report=_report,
    )
    record = engine.run(options)
    if arguments.json:
        record.write(arguments.json)
    if arguments.plots:
        draw(record, arguments.plots)
    return 0


def _run_kernels(json_path: Path | None) -> int:
    from mlx_backends.kernels import benchmark

    figures = benchmark.run(_report)
    if json_path:
        json_path.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    return 0


def _report(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
