"""A sparse matrix times a dense one, and back to dense."""

import mlx.core as mx

from mlx_backends.sparsity import SparseArray, matmul, sparse_normal


def main() -> tuple[SparseArray, mx.array, mx.array]:
    # A tenth of the entries is not zero.
    sparse_matrix = sparse_normal((1000, 1000), density=0.1, key=mx.random.key(0))
    dense_matrix = mx.random.normal((1000, 100), key=mx.random.key(1))
    result = matmul(sparse_matrix, dense_matrix)  # the same as sparse_matrix @ dense_matrix
    dense_from_sparse = sparse_matrix.to_dense()
    print(sparse_matrix)
    print(f"{sparse_matrix.nbytes:,} bytes instead of {dense_from_sparse.nbytes:,}")
    return sparse_matrix, result, dense_from_sparse


if __name__ == "__main__":
    main()
