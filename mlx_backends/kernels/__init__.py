"""Kernels for paged attention: one body each for Metal, CUDA and a host emulator.

Bodies are in ``source/``, in the common subset of the Metal shading language and CUDA C++, behind a
short prelude for each host. ``reference.py`` says in plain MLX what they compute.
"""

from mlx_backends.kernels.emulator import EmulationError
from mlx_backends.kernels.host import Host, emulated, host
from mlx_backends.kernels.kv_append import kv_append
from mlx_backends.kernels.paged_attention import MAX_QUERIES, paged_attention, paged_decode
from mlx_backends.kernels.pool import Pool, QuantizedPool, make_pool
from mlx_backends.kernels.tuning import Tuning

__all__ = [
    "MAX_QUERIES",
    "EmulationError",
    "Host",
    "Pool",
    "QuantizedPool",
    "Tuning",
    "emulated",
    "host",
    "kv_append",
    "make_pool",
    "paged_attention",
    "paged_decode",
]
