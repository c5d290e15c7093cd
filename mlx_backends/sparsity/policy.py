"""When a product unpacks the matrix first: one dense product then beats many sparse ones.

``mlx-backends bench sparsity --vectors N`` measures; docs/sparsity.md says what is known.
"""

import math
from typing import TYPE_CHECKING

import mlx.core as mx

from mlx_backends.kernels import host

if TYPE_CHECKING:
    from mlx_backends.sparsity.format import Format

# Vectors times density from which the dense product is faster: unpacking costs as much as some
# products, and the BLAS reuses each weight for all vectors. Measured, on a GPU on an H100.
_CPU_LIMIT = {"csr": 1.5, "bsr": math.inf, "2:4": 0.0}
_GPU_LIMIT = {"csr": 10.0, "bsr": 32.0, "2:4": 100.0}


def unpacks(stored: "Format", x: mx.array) -> bool:
    """Whether a product with these vectors is to run on the unpacked matrix."""
    where = host()
    if where == "emulator":
        return False
    limit = (_CPU_LIMIT if where is None else _GPU_LIMIT)[stored.name]
    rows, columns = stored.shape
    density = stored.nnz / max(rows * columns, 1)
    return x.size // x.shape[-1] * density > limit
