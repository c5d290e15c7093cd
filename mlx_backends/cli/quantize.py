"""``mlx-backends quantize``: a model folder in, a smaller one out."""

from pathlib import Path
from typing import Annotated, Any

import typer

from mlx_backends.cli._console import progress_bar, reports_errors
from mlx_backends.cli._quantization_report import write_report
from mlx_backends.errors import ConfigError
from mlx_backends.quantization.config import QuantizationConfig
from mlx_backends.quantization.training_config import TrainingConfig


@reports_errors
def quantize(
    model: Annotated[str, typer.Argument(help="Folder, Hub id or 'bundled'.")],
    out: Annotated[
        Path | None, typer.Option(help="New folder; it appears when all of it is written.")
    ] = None,
    method: Annotated[str, typer.Option(help="ptq, dynamic, static or qat.")] = "ptq",
    bits: Annotated[int | None, typer.Option(help="Bits of a weight: 2, 3, 4, 5, 6, 8.")] = None,
    algorithm: Annotated[
        str, typer.Option(help="Of ptq: rtn, search, awq, gptq or mixed.")
    ] = "rtn",
    mode: Annotated[str, typer.Option(help="affine, mxfp4, mxfp8 or nvfp4.")] = "affine",
    group_size: Annotated[int | None, typer.Option(help="Weights that share a scale.")] = None,
    embedding_bits: Annotated[int | None, typer.Option(help="Of embeddings and head.")] = None,
    activation_bits: Annotated[int | None, typer.Option(help="Of activations.")] = None,
    target_bits: Annotated[
        float | None, typer.Option(help="With mixed: bits a weight that all may take.")
    ] = None,
    calibration: Annotated[
        Path | None,
        typer.Option(help="Text, or JSON lines with 'text' or 'messages', like the model's use."),
    ] = None,
    observer: Annotated[str, typer.Option(help="minmax, percentile or mse.")] = "minmax",
    steps: Annotated[int, typer.Option(help="With qat: steps of training.")] = 200,
    learning_rate: Annotated[float, typer.Option(help="With qat: its peak.")] = 2e-4,
    batch_size: Annotated[int, typer.Option(help="With qat: rows of 512 tokens a step.")] = 8,
    loss: Annotated[str, typer.Option(help="With qat: distillation or data.")] = "distillation",
    scope: Annotated[str, typer.Option(help="With qat: full or lora.")] = "full",
    checkpoint: Annotated[
        Path | None, typer.Option(help="With qat: file to save to and go on from.")
    ] = None,
    gradient_checkpointing: Annotated[
        bool, typer.Option("--gradient-checkpointing", help="With qat: less memory, more time.")
    ] = False,
    dequantize: Annotated[
        bool, typer.Option("--dequantize", help="Unpack a quantized model first.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace a folder that exists.")] = False,
    report: Annotated[
        bool, typer.Option("--report", help="Write nothing; compare --against with MODEL.")
    ] = False,
    against: Annotated[
        list[Path] | None, typer.Option(help="With --report: a quantized folder; can be repeated.")
    ] = None,
    items: Annotated[
        Path | None, typer.Option(help="With --report: JSON lines of chats with right answers.")
    ] = None,
    json_path: Annotated[
        Path | None, typer.Option("--json", help="With --report: write the figures here.")
    ] = None,
    plot: Annotated[
        Path | None, typer.Option(help="With --report: write a picture (PNG) here.")
    ] = None,
) -> None:
    """Quantize a model; the result loads here and, weights only, in mlx-lm."""
    if report:
        write_report(model, against or [], items, json_path, plot)
        return
    if out is None:
        raise ConfigError("--out FOLDER says where the quantized model goes.")
    training = {
        "steps": steps,
        "learning_rate": learning_rate,
        "batch_size": batch_size,
        "loss": loss,
        "scope": scope,
        "checkpoint": checkpoint,
        "gradient_checkpointing": gradient_checkpointing,
    }
    config = QuantizationConfig.from_dict(
        {
            "training": TrainingConfig(**training),
            "method": method,
            "weight_bits": bits,
            "algorithm": algorithm,
            "mode": mode,
            "group_size": group_size,
            "embedding_bits": embedding_bits,
            "activation_bits": activation_bits,
            "target_bits": target_bits,
            "observer": observer,
            "calibration_data": _calibration_data(calibration, model),
        }
    )
    # Here, not at the top: MLX takes half a second to import.
    from mlx_backends.quantization.folder import quantize_model

    with progress_bar("Quantizing") as on_progress:
        done = quantize_model(
            model, out, config, force=force, dequantize=dequantize, on_progress=on_progress
        )
    typer.echo(
        f"{done.folder}: {done.weight_bytes / 1e6:,.1f} MB from {done.source_bytes / 1e6:,.1f} MB, "
        f"{done.bits_per_weight:.2f} bits a weight, {done.seconds:.1f} s, peak memory "
        f"{done.peak_memory_bytes / 1e6:,.0f} MB"
    )


def _calibration_data(path: Path | None, model: str) -> Any:
    if path is None:
        return None
    from mlx_backends.quantization.texts import read_texts

    return read_texts(path, model)
