"""``mlx-backends prune``: a model folder in, one with sparse layers out."""

from pathlib import Path
from typing import Annotated, Any, cast

import typer

from mlx_backends.cli._console import reports_errors


@reports_errors
def prune(
    model: Annotated[str, typer.Argument(help="Folder, Hub id or 'bundled'.")],
    out: Annotated[Path, typer.Option(help="New folder; it appears when all of it is written.")],
    method: Annotated[str, typer.Option(help="magnitude or wanda.")] = "magnitude",
    pattern: Annotated[str, typer.Option(help="unstructured, 2:4 or block.")] = "2:4",
    sparsity: Annotated[float, typer.Option(help="Share of zeros; 0.5 with 2:4.")] = 0.5,
    calibration: Annotated[
        Path | None,
        typer.Option(help="For wanda: text, or JSON lines with 'text' or 'messages'."),
    ] = None,
    bits: Annotated[int | None, typer.Option(help="Of kept entries and of dense layers.")] = None,
    group_size: Annotated[int, typer.Option(help="Numbers that share a scale.")] = 64,
    block_size: Annotated[int, typer.Option(help="Of the pattern block: 16, 32, 64.")] = 32,
    dequantize: Annotated[
        bool, typer.Option("--dequantize", help="Unpack a quantized model first.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace a folder that exists.")] = False,
) -> None:
    """Prune a model and store it without the zeros; the result loads here, not in mlx-lm."""
    # Here, not at the top: MLX takes half a second to import.
    from mlx_backends import sparsity as sparse
    from mlx_backends.models.source import model_folder

    folder = model_folder(model, "lm")
    loaded, stored = _load(folder, dequantize)
    data = _token_rows(calibration, model, folder) if method == "wanda" else None
    done = sparse.prune(
        loaded,
        cast(Any, method),
        sparsity,
        cast(Any, pattern),
        calibration_data=data,
        block_size=block_size,
    )
    layers = sparse.to_sparse(
        loaded, cast(Any, pattern), bits=bits, group_size=group_size, block_size=block_size
    )
    loaded.set_dtype(stored)
    if bits:
        _quantize_the_rest(loaded, bits, group_size)
    sparse.save_model(loaded, folder, out, force=force)
    size = sum(path.stat().st_size for path in out.glob("model*.safetensors"))
    typer.echo(
        f"{out}: {size / 1e6:,.1f} MB, {done.sparsity:.0%} zeros in {len(done.zeros)} layers, of "
        f"which {len(layers)} are stored sparsely"
    )


def _quantize_the_rest(model: Any, bits: int, group_size: int) -> None:
    import mlx.nn as nn

    def is_fitting(_: str, layer: Any) -> bool:
        return hasattr(layer, "to_quantized") and layer.weight.shape[-1] % group_size == 0

    nn.quantize(model, group_size, bits, class_predicate=is_fitting)


def _load(folder: Path, dequantize: bool) -> tuple[Any, Any]:
    """The model in the type that it is computed in here, and the type that it is stored in."""
    import mlx.core as mx

    from mlx_backends.models.loader import read_model
    from mlx_backends.quantization import ptq

    model, _ = read_model(folder)
    if dequantize:
        ptq.unpack(model)
    types = {array.dtype for array in _arrays(model)}
    stored = mx.float16 if mx.float16 in types else mx.bfloat16
    model.set_dtype(mx.float32 if mx.default_device() == mx.Device(mx.cpu) else stored)
    return model, stored


def _arrays(model: Any) -> list[Any]:
    from mlx.utils import tree_flatten

    return [array for _, array in tree_flatten(model.parameters())]


def _token_rows(path: Path | None, model: str, folder: Path) -> Any:
    from mlx_backends.errors import ConfigError
    from mlx_backends.quantization.calibration import token_rows
    from mlx_backends.quantization.texts import read_texts
    from mlx_backends.text.tokenizer import Tokenizer

    if path is None:
        raise ConfigError("--method wanda needs --calibration: text like what the model will meet.")
    return list(token_rows(read_texts(path, model), Tokenizer.from_folder(folder).encode))
