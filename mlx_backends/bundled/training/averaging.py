"""Weights between those of two runs, of which the later continued the earlier (MLX, CPU)."""

from pathlib import Path
from typing import Any

from mlx_backends import fast_blas


def average(before: Path, after: Path, target: Path, *, share: float) -> None:
    """Write ``share`` of the later weights plus the rest of the earlier ones, file by file.

    Such a model keeps most of what each run is better at: here, refusing near misses and answering
    what is asked in other words.

    Args:
        before: Holds the `lm-*.safetensors` that the later run began with.
        after: Holds those that it wrote.
        target: Gets files of the same names and types.
        share: Of the later weights, 0 to 1.

    Raises:
        ValueError: The two folders do not hold the same tensors.

    Source: Wortsman et al. 2022, "Robust fine-tuning of zero-shot models", arXiv:2109.01903.
    """
    fast_blas.preload()
    import mlx.core as mx

    if not 0 <= share <= 1:
        raise ValueError(f"the share of the later weights is {share}; it goes from 0 to 1")
    names = _names(after)
    if not names or names != _names(before):
        raise ValueError(
            f"{before} and {after} need the same lm-*.safetensors; {after} has {names}"
        )
    target.mkdir(parents=True, exist_ok=True)
    for name in names:
        old: Any = mx.load(str(before / name))
        new: Any = mx.load(str(after / name))
        if _shapes(old) != _shapes(new):
            raise ValueError(f"{name} holds other tensors in {before} than in {after}")
        mixed = {
            key: (
                old[key].astype(mx.float32) * (1 - share) + new[key].astype(mx.float32) * share
            ).astype(new[key].dtype)
            for key in new
        }
        mx.save_safetensors(str(target / name), mixed)


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("lm-*.safetensors"))


def _shapes(tensors: dict[str, Any]) -> dict[str, Any]:
    return {name: tensor.shape for name, tensor in tensors.items()}
