"""The products that MLX asks of the BLAS, in every layout, against numpy."""

import itertools

import mlx.core as mx
import numpy as np
import pytest

from mlx_backends import fast_blas

SIZES = [
    *[(1, 1, 1), (1, 7, 33), (7, 1, 33), (1, 1, 33), (1, 64, 1)],
    *[(2, 5, 16), (3, 3, 40), (5, 3, 4), (8, 33, 64), (15, 9, 7), (16, 20, 129), (17, 20, 33)],
]


@pytest.fixture(params=[True, False], ids=["few rows", "gemm"])
def _routing(request):
    fast_blas.use_few_rows(request.param)
    yield
    fast_blas.use_few_rows(True)


def random(*shape):
    return np.random.default_rng(len(shape)).standard_normal(shape).astype(np.float32)


def stored(matrix, *, is_transposed):
    """The matrix as an array of MLX whose memory is laid out one way or the other."""
    return mx.array(np.ascontiguousarray(matrix.T)).T if is_transposed else mx.array(matrix)


@pytest.mark.usefixtures("_routing")
class TestProducts:
    @pytest.mark.parametrize(("m", "n", "k"), SIZES)
    def test_any_layout(self, m, n, k):
        a, b, c = random(m, k), random(k, n), random(m, n)
        for ta, tb in itertools.product((False, True), repeat=2):
            left, right = stored(a, is_transposed=ta), stored(b, is_transposed=tb)
            np.testing.assert_allclose(np.array(left @ right), a @ b, atol=1e-4)
            found = mx.addmm(mx.array(c), left, right, alpha=0.5, beta=2.0)
            np.testing.assert_allclose(np.array(found), 2 * c + 0.5 * (a @ b), atol=1e-4)

    @pytest.mark.parametrize(("m", "n", "k"), SIZES)
    def test_views_of_larger_arrays(self, m, n, k):
        a, pool = random(3, m, k), random(3, k + 5, n)
        found = mx.array(a) @ mx.array(pool)[:, 2 : 2 + k]
        np.testing.assert_allclose(np.array(found), a @ pool[:, 2 : 2 + k], atol=1e-4)
        columns = random(k, n + 4)
        found = mx.array(a) @ mx.array(columns)[:, 1 : 1 + n]
        np.testing.assert_allclose(np.array(found), a @ columns[:, 1 : 1 + n], atol=1e-4)


@pytest.mark.skipif(not fast_blas.use_few_rows(True), reason="no kernel for few rows here")
def test_a_row_gives_the_same_in_a_batch_of_two_as_in_one_of_sixteen():
    rows, weight = mx.array(random(16, 75)), mx.array(random(34, 75))
    together = rows @ weight.T
    for count in range(2, 16):
        assert mx.array_equal(rows[:count] @ weight.T, together[:count])
