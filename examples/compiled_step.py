"""Lazy graphs and their compilation: what one token costs before and after ``mx.compile``."""

from mlx_backends.bench.step import StepReport, profile


def main(model: str = "bundled") -> StepReport:
    report = profile(model, num_tokens=12, rounds=1)
    print(report.table())
    return report


if __name__ == "__main__":
    main()
