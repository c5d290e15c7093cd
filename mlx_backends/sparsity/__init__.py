"""Sparse arrays, pruning, and sparse layers of a model.

``SparseArray`` holds a matrix in one of three formats; ``prune`` makes a model's matrices sparse;
``SparseLinear`` serves them. Products run on kernels of one body on Metal and CUDA, and as plain
MLX on a CPU. Knows nothing of tokens, engines and frameworks.
"""

from mlx_backends.sparsity.array import FORMATS, SparseArray, matmul
from mlx_backends.sparsity.inputs import InputNorms, input_norms
from mlx_backends.sparsity.layers import SparseLinear, to_dense, to_sparse
from mlx_backends.sparsity.model_files import save_model
from mlx_backends.sparsity.prune import Pruned, prune
from mlx_backends.sparsity.random import sparse_normal
from mlx_backends.sparsity.recover import next_token_loss, recover

__all__ = [
    "FORMATS",
    "InputNorms",
    "Pruned",
    "SparseArray",
    "SparseLinear",
    "input_norms",
    "matmul",
    "next_token_loss",
    "prune",
    "recover",
    "save_model",
    "sparse_normal",
    "to_dense",
    "to_sparse",
]
