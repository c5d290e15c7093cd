"""``mlx-backends quantize --report``: quantized folders beside their original."""

from pathlib import Path

from rich.console import Console
from rich.table import Table

from mlx_backends.errors import ConfigError


def write_report(
    model: str, folders: list[Path], items: Path | None, json_path: Path | None, plot: Path | None
) -> None:
    """Measure, print a table, and write what was asked for.

    Raises:
        ConfigError: No items were given.
        ModelError: A folder cannot be read, or does not belong to the model.
    """
    if items is None:
        raise ConfigError("--items FILE.jsonl says what to measure on: chats with right answers.")
    # Here, not at the top: MLX takes half a second to import.
    from mlx_backends.models.source import model_folder
    from mlx_backends.quantization.report import make_report
    from mlx_backends.quantization.texts import read_items

    original = model_folder(model, "lm")
    variants = [model_folder(str(folder), "lm") for folder in folders]
    made = make_report(original, variants, read_items(items, model))
    heading, *rows = made.table()
    table = Table(*heading)
    for row in rows:
        table.add_row(*row)
    Console().print(table)
    if json_path:
        made.write_json(json_path)
    if plot:
        from mlx_backends.quantization.report_plot import draw

        draw(made, plot)
