"""What a training run leaves behind and another one goes on from.

`lm-0.safetensors` and `lm-1.safetensors` hold the weights in bfloat16, each small enough to travel,
`optimizer.pt` the optimizer's momentum. The shipped folder, quantized by MLX, can be resumed as well.
Files are replaced whole, so that a copy taken at any time can be read.
"""

from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from mlx_backends.bundled.training.common import Optimizer
from mlx_backends.bundled.training.lm.model import LanguageModel

_OPTIMIZER = "optimizer.pt"
_PARTS = 2


def save(model: LanguageModel, optimizer: Optimizer, out: Path) -> None:
    """Write weights and optimizer."""
    state = model.state_hf()
    names = sorted(state)
    for part in range(_PARTS):
        path = out / f"lm-{part}.safetensors"
        save_file({name: state[name] for name in names[part::_PARTS]}, path.with_suffix(".new"))
        path.with_suffix(".new").replace(path)
    path = out / _OPTIMIZER
    torch.save(optimizer.state(), path.with_suffix(".new"))
    path.with_suffix(".new").replace(path)


def load_weights(model: LanguageModel, folder: Path) -> None:
    """Read the weights of a checkpoint or of a folder that ships.

    Raises:
        FileNotFoundError: There are none.
    """
    paths = sorted(folder.glob("lm-*.safetensors")) or sorted(folder.glob("model.safetensors"))
    if not paths:
        raise FileNotFoundError(f"no lm-*.safetensors and no model.safetensors in {folder}")
    state: dict[str, Tensor] = {}
    for path in paths:
        state |= load_file(path)
    model.load_state_dict(
        {name.removeprefix("model."): weight.float() for name, weight in unpacked(state).items()}
    )


def load_optimizer(optimizer: Optimizer, folder: Path) -> None:
    """Read the optimizer of a checkpoint; without one it starts afresh."""
    path = folder / _OPTIMIZER
    if path.is_file():
        optimizer.load_state(torch.load(path, weights_only=True))


def unpacked(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Turn weights that MLX quantized, mode "affine", back into matrices.

    Source: `mlx.core.dequantize`: ``scale * q + bias`` a group, the lowest bits of a word first.
    """
    result = {}
    for name, tensor in state.items():
        stem = name.removesuffix(".weight")
        if f"{stem}.scales" in state:
            scales, biases = state[f"{stem}.scales"].float(), state[f"{stem}.biases"].float()
            result[name] = _dequantized(tensor, scales, biases)
        elif not name.endswith((".scales", ".biases")):
            result[name] = tensor
    return result


def _dequantized(words: Tensor, scales: Tensor, biases: Tensor, bits: int = 4) -> Tensor:
    """Shapes (rows, words), (rows, groups), (rows, groups) to (rows, columns)."""
    shifts = torch.arange(0, 32, bits)
    values = (words.view(torch.int32).long().unsqueeze(-1) >> shifts) & (2**bits - 1)
    grouped = values.view(*scales.shape, -1).float()
    return (grouped * scales.unsqueeze(-1) + biases.unsqueeze(-1)).flatten(1)
