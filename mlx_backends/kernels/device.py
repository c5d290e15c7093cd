"""What launch plans need to know of the GPU."""

import ctypes
from functools import cache

import mlx.core as mx

_CUDA_MULTIPROCESSOR_COUNT = 16  # CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT in cuda.h
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
