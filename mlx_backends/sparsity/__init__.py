"""Sparse arrays, pruning, and sparse layers of a model.

``SparseArray`` holds a matrix in one of three formats; ``prune`` makes a model's matrices sparse;
``SparseLinear`` serves them. Products run on kernels of one body on Metal and CUDA, and as plain
MLX on a CPU. Knows nothing of tokens, engines and frameworks.
"""

from mlx_backends.sparsity.array import FORMATS, SparseArray, matmul
from mlx_backends.sparsity.random import sparse_normal

__all__ = ["FORMATS", "SparseArray", "matmul", "sparse_normal"]
