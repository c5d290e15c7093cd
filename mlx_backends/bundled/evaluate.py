"""Measure a bundled model: ``python -m mlx_backends.bundled.evaluate lm|encoder``. Runs on MLX.

Needs the collection of real prose that ``python -m mlx_backends.bundled.train prepare`` writes; its
evaluation side and all evaluation names and families are asserted never to occur in training.
"""

import argparse
import json
from pathlib import Path


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m mlx_backends.bundled.evaluate", description=__doc__
    )
    parser.add_argument("what", choices=("lm", "encoder"))
    parser.add_argument("--items", type=int, default=1000, help="items of each row")
    parser.add_argument("--inputs", type=Path, default=Path("build/bundled"))
    parser.add_argument("--model", type=Path, help="another folder than the shipped one")
    parser.add_argument(
        "--unquantized", type=Path, help="folder of lm-*.safetensors, measured instead"
    )
    parser.add_argument("--show", action="store_true", help="print the wrong answers")
    parser.add_argument("--json", type=Path, help="write the figures here")
    return parser


def main() -> None:
    """Measure and print."""
    from mlx_backends import bundled
    from mlx_backends.bundled.training import measure

    options = _parser().parse_args()
    measure.assert_held_out(options.inputs)
    folder = options.model or bundled.path(options.what)
    if options.what == "encoder":
        report = measure.timed(lambda: measure.measure_encoder(folder, options.inputs))
    elif options.unquantized:
        report = measure.timed(
            lambda: measure.measure_unquantized(options.inputs, options.unquantized, options.items)
        )
    else:
        report = measure.timed(
            lambda: measure.measure_lm(folder, options.inputs, options.items, show=options.show)
        )
    if options.json:
        options.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
