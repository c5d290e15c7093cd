"""The table of techniques, measured here and now; two of them, to be quick."""

from mlx_backends.bench.techniques import Options, Row, measure_all, table


def main(model: str = "bundled") -> list[Row]:
    rows = list(measure_all(Options(model=model, rounds=1, only=("compilation", "memory"))))
    print(table(rows))
    return rows


if __name__ == "__main__":
    main()
