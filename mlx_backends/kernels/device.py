"""What this package knows of the GPU, and tells MLX about it."""

import ctypes
import os
from functools import cache
from importlib.metadata import version
from pathlib import Path

import mlx.core as mx

from mlx_backends.config import cache_dir

_CUDA_MULTIPROCESSOR_COUNT = 16  # CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT in cuda.h
_COMPILED_VARIABLE = "MLX_PTX_CACHE_DIR"
_APPLE_CORES = 32  # Metal does not tell; between a Pro's and an Ultra's count


@cache
def num_multiprocessors() -> int:
    """Cores of the GPU that each run several threadgroups at once (an estimate on Metal)."""
    if not mx.cuda.is_available():
        return _APPLE_CORES
    driver = ctypes.CDLL("libcuda.so.1")
    device, count = ctypes.c_int(), ctypes.c_int()
    failed = (
        driver.cuInit(0)
        or driver.cuDeviceGet(ctypes.byref(device), 0)
        or driver.cuDeviceGetAttribute(ctypes.byref(count), _CUDA_MULTIPROCESSOR_COUNT, device)
    )
    return _APPLE_CORES if failed else count.value


def keep_compiled_kernels() -> Path:
    """Let MLX keep what it compiles for CUDA in the cache folder, unless the user chose one.

    Its own choice is the system's folder for temporary files, and a kernel can take 45 seconds.

    Returns:
        The folder.
    """
    folder = cache_dir() / "mlx-kernels" / version("mlx")
    return Path(os.environ.setdefault(_COMPILED_VARIABLE, str(folder)))
