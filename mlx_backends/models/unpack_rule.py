"""How a quantized product on CUDA is computed: as MLX does, from unpacked weights, or split.

MLX 0.32 has three ways for ``x @ W.T`` of packed weights: a vector kernel for fewer than 8 rows, a
matrix kernel in tiles of 16, 32 or 64 rows, and none for more. The matrix kernel is compiled when
it is first used, which takes 45 seconds for each tile, and is then kept in a folder. It wins over
unpacking up to 64 rows; with more, unpacking and a dense product win. It takes an inner width in
one piece, so where that is the larger one it leaves most of the GPU idle; unpacking wins too, and a
kernel of our own that splits the inner width wins over both for up to 16 rows.

So weights are unpacked for many rows always, and for some rows where the inner width is the larger
or the kernel's file is not there. ``compile_products`` makes the files, in what
``EngineConfig(warm_up=True)`` does.
"""

from pathlib import Path
from typing import Any

import mlx.core as mx
import mlx.nn as nn

from mlx_backends import kernels
from mlx_backends.kernels import MAX_FEW_ROWS

VECTOR_ROWS = 8
"""Fewer rows than this go to the vector kernel."""
_TILES = (16, 32, 64)


class UnpackRule:
    """The rule above, with what the folder held when it was first asked.

    Args:
        folder: Where MLX keeps what it compiles.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._is_compiled: dict[str, bool] = {}

    def applies(self, num_rows: int, layer: Any, dtype: mx.Dtype) -> bool:
        """Whether the weights of a quantized layer are to be unpacked for so many rows."""
        if num_rows < VECTOR_ROWS:
            return False
        return _is_deep(layer) or not self.has_kernel(num_rows, layer, dtype)

    def splits(self, num_rows: int, layer: Any, dtype: mx.Dtype) -> bool:
        """Whether the inner width is to be split, by ``kernels.few_rows_matmul``."""
        return (
            VECTOR_ROWS <= num_rows <= MAX_FEW_ROWS
            and _is_deep(layer)
            and (layer.bits, layer.mode) == (4, "affine")
            and layer.scales.dtype == dtype
            and kernels.host() is not None
        )

    def has_kernel(self, num_rows: int, layer: Any, dtype: mx.Dtype) -> bool:
        """Whether MLX has a matrix kernel for so many rows, and need not compile it first."""
        tile = next((tile for tile in _TILES if num_rows <= tile), None)
        if tile is None:
            return False
        name = f"{str(dtype).rpartition('.')[2]}_m{tile}_b{layer.bits}_g{layer.group_size}"
        if name not in self._is_compiled:
            files = self._folder.glob(f"qmm_*_{name}_{layer.mode}.ptx")
            self._is_compiled[name] = any(files)
        return self._is_compiled[name]

    def compile_products(self, model: nn.Module, dtype: mx.Dtype) -> None:
        """Let MLX compile its kernels for every format that the model's layers have; minutes."""
        formats = {}
        for module in model.modules():
            if isinstance(module, nn.QuantizedLinear):
                formats[module.bits, module.group_size, module.mode] = module
        for layer in formats.values():
            for rows in _TILES:
                x = mx.zeros((rows, layer.scales.shape[1] * layer.group_size), dtype)
                mx.eval(nn.QuantizedLinear.__call__(layer, x))
        self._is_compiled.clear()


def _is_deep(layer: Any) -> bool:
    """Whether a layer's inner width is the larger."""
    outer, num_groups = layer.scales.shape
    return num_groups * layer.group_size >= outer
