"""What a training run leaves behind and another one goes on from.

`lm-0.safetensors` to `lm-3.safetensors` hold the weights in bfloat16, each small enough to travel,
`optimizer.pt` the optimizer's momentum. The shipped folder, quantized by MLX, can be resumed as well,
and a model with fewer layers: it grows without a change of what it computes.
Files are replaced whole, so that a copy taken at any time can be read.
"""

from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from mlx_backends.bundled.training.common import Optimizer
from mlx_backends.bundled.training.lm.model import LanguageModel
from mlx_backends.bundled.training.shapes import GROUP_SIZE

_OPTIMIZER = "optimizer.pt"
_PARTS = 4
_OUTPUTS = ("self_attn.o_proj.weight", "mlp.down_proj.weight")


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
    weights = {
        name.removeprefix("model."): weight.float() for name, weight in unpacked(state).items()
    }
    model.load_state_dict(grown(weights, model.config.num_layers))


def grown(state: dict[str, Tensor], layers: int) -> dict[str, Tensor]:
    """Spread the layers of a model over more of them.

    A layer that is added has the weights of the one before it, but adds nothing to the residual stream:
    its output projections are zero (as in Chen et al. 2016, "Net2Net", the function stays the same).

    Args:
        state: Weights under the names of `LanguageModel`.
        layers: How many there are to be.

    Raises:
        ValueError: There are more already.
    """
    count = 1 + max(int(name.split(".")[1]) for name in state if name.startswith("layers."))
    if count > layers:
        raise ValueError(f"The weights have {count} layers, which do not fit into {layers}.")
    result = {name: tensor for name, tensor in state.items() if not name.startswith("layers.")}
    before = -1
    for layer in range(layers):
        source = ((layer + 1) * count - 1) // layers
        for name, tensor in state.items():
            rest = name.removeprefix(f"layers.{source}.")
            if rest != name:
                is_silent = source == before and rest in _OUTPUTS
                copy = torch.zeros_like(tensor) if is_silent else tensor.clone()
                result[f"layers.{layer}.{rest}"] = copy
        before = source
    return result


def load_optimizer(optimizer: Optimizer, folder: Path) -> None:
    """Read the optimizer of a checkpoint; without one of this shape it starts afresh."""
    path = folder / _OPTIMIZER
    if not path.is_file():
        return
    state = torch.load(path, weights_only=True)
    if [b.shape for b in state["muon"]] == [b.shape for b in optimizer.muon.buffers]:
        optimizer.load_state(state)


def unpacked(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Turn weights that MLX quantized, mode "affine", back into matrices.

    Source: `mlx.core.dequantize`: ``scale * q + bias`` a group; the numbers of a row follow each
    other, the lowest bits first. How many bits a number has tells the length of the row.
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


def _dequantized(words: Tensor, scales: Tensor, biases: Tensor) -> Tensor:
    """Shapes (rows, words), (rows, groups), (rows, groups) to (rows, columns)."""
    rows, groups = scales.shape
    bits = words.shape[1] * 32 // (groups * GROUP_SIZE)
    places = (words.view(torch.int32).long().unsqueeze(-1) >> torch.arange(32)) & 1
    digits = places.view(rows, groups, GROUP_SIZE, bits)
    grouped = (digits << torch.arange(bits)).sum(-1).float()
    return (grouped * scales.unsqueeze(-1) + biases.unsqueeze(-1)).flatten(1)
