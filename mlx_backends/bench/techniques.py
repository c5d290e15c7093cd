"""``bench techniques``: what each way of making inference cheaper gains and costs on one model.

Every figure is measured when the command runs, through the engine, on this machine and this model;
the last row repeats the first, and their difference is what a difference may be worth here.
"""

import argparse
import json
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import get_args

import mlx.core as mx

from mlx_backends.bench.random_model import SHAPES
from mlx_backends.bench.record import environment
from mlx_backends.bench.techniques_bench import Bench, Options
from mlx_backends.bench.techniques_rows import TECHNIQUES
from mlx_backends.bench.techniques_table import BASELINE, WHEN, Row, line_of, table
from mlx_backends.config import Device


def measure_all(options: Options) -> Iterator[Row]:
    """Measure row after row; blocks for seconds to minutes between them."""
    with tempfile.TemporaryDirectory(prefix="mlx-backends-techniques-") as scratch:
        bench = Bench(options, Path(scratch))
        yield bench.row("none", BASELINE)
        for name, section in TECHNIQUES.items():
            if not options.only or any(part in name for part in options.only):
                yield from section(bench)
        yield bench.row("none", f"{BASELINE}, again")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``bench techniques``."""
    parser.add_argument("model", nargs="?", default="bundled", help="folder or Hub id")
    parser.add_argument("--shape", choices=tuple(SHAPES), help="random weights instead")
    parser.add_argument("--device", choices=get_args(Device), default="auto")
    parser.add_argument("--only", action="append", default=[], help="part of a technique's name")
    parser.add_argument("--skip", action="append", default=[], help="part of a variant's name")
    parser.add_argument("--text", type=Path, help="texts for calibration and quality")
    parser.add_argument("--rounds", type=int, default=3, help="timed answers of a row")
    parser.add_argument("--qat-steps", type=int, default=0, help="train for so many steps")
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--plot", type=Path, help="write a PNG here")


def run(options: argparse.Namespace, report: Callable[[str], None]) -> int:
    """Run ``bench techniques``; returns the exit status."""
    asked = Options(
        model=options.model,
        shape=options.shape,
        device=options.device,
        only=tuple(options.only),
        skip=tuple(options.skip),
        text=options.text,
        rounds=max(options.rounds, 1),
        qat_steps=max(options.qat_steps, 0),
    )
    is_gpu = asked.device != "cpu" and mx.is_available(mx.gpu)
    rows: list[Row] = []
    for row in measure_all(asked):
        rows.append(row)
        report(line_of(row, 44))
        if options.json:
            content = {"environment": environment(is_gpu), "rows": [asdict(r) for r in rows]}
            text = json.dumps(
                {"model": asked.shape or asked.model, **content, "when": WHEN}, indent=1
            )
            options.json.write_text(text + "\n", encoding="utf-8")
    report(f"\n{asked.shape or asked.model}\n{table(rows)}")
    if options.plot:
        from mlx_backends.bench.techniques_plot import draw

        draw(rows, options.plot)
    return 0
