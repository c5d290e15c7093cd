"""Kernels: paged attention, sparse and quantized products, and Metal functions of the caller's own.

Each has one body for Metal, CUDA and a host emulator.
Bodies of this package's own kernels are in ``source/``, in the common subset of the Metal shading
language and CUDA C++, behind a short prelude for each host. ``reference.py`` says in plain MLX what
they compute. ``shaders`` takes whole kernel functions as Metal's users write them.
"""

from mlx_backends.kernels.emulator import EmulationError
from mlx_backends.kernels.few_rows_matmul import MAX_FEW_ROWS, few_rows_matmul
from mlx_backends.kernels.host import Host, emulated, host
from mlx_backends.kernels.kv_append import kv_append
from mlx_backends.kernels.kv_copy import kv_copy
from mlx_backends.kernels.kv_gather import kv_gather
from mlx_backends.kernels.paged_attention import MAX_QUERIES, paged_attention, paged_decode
from mlx_backends.kernels.pool import Pool, QuantizedPool, make_pool, window, words_window
from mlx_backends.kernels.shaders import Shader, compile_shader, launch, shader
from mlx_backends.kernels.sparse_matmul import (
    BLOCK_SIZES,
    CHUNK,
    block_matmul,
    csr_matmul,
    two_four_matmul,
)
from mlx_backends.kernels.tuning import Tuning

__all__ = [
    "BLOCK_SIZES",
    "CHUNK",
    "MAX_FEW_ROWS",
    "MAX_QUERIES",
    "EmulationError",
    "Host",
    "Pool",
    "QuantizedPool",
    "Shader",
    "Tuning",
    "block_matmul",
    "compile_shader",
    "csr_matmul",
    "emulated",
    "few_rows_matmul",
    "host",
    "kv_append",
    "kv_copy",
    "kv_gather",
    "launch",
    "make_pool",
    "paged_attention",
    "paged_decode",
    "shader",
    "two_four_matmul",
    "window",
    "words_window",
]
