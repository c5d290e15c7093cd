"""Random attention problems, and what they must give, computed by numpy in float64."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import mlx.core as mx
import numpy as np
import pytest

from mlx_backends import kernels
from mlx_backends.kernels import QuantizedPool, emulator, reference

# Largest error of an output of magnitude one, from rounding inputs' products and the output itself.
TOLERANCE = {mx.float32: 2e-5, mx.float16: 2e-3, mx.bfloat16: 2e-2}


@dataclass
class Problem:
    """Arguments of one attention; ``options`` are its keyword arguments."""

    q: mx.array
    k: mx.array
    v: mx.array
    k_pool: kernels.Pool
    v_pool: kernels.Pool
    block_tables: mx.array
    context_lens: mx.array
    options: dict = field(default_factory=dict)

    @property
    def pools(self) -> tuple:
        return self.k_pool, self.v_pool, self.block_tables, self.context_lens

    @property
    def tolerance(self) -> float:
        return TOLERANCE[self.q.dtype]

    def attend(self, **more):
        order = mx.zeros(1, dtype=mx.int32)
        return kernels.paged_attention(self.q, *self.pools, order=order, **self.options, **more)

    def decode(self, **more):
        order = mx.zeros(1, dtype=mx.int32)
        return kernels.paged_decode(
            self.q, self.k, self.v, *self.pools, order=order, **self.options, **more
        )

    def copied(self) -> "Problem":
        """The same problem with pools of its own, for kernels that write in place."""
        return replace(self, k_pool=_copy(self.k_pool), v_pool=_copy(self.v_pool))

    def expected(self) -> tuple[np.ndarray, np.ndarray]:
        """Output and log-sum-exp in float64, from what the pools hold."""
        q = _float64(self.q) * self.options["scale"]
        keys, values = (_rows(pool) for pool in (self.k_pool, self.v_pool))
        shared = q.shape[1] // keys.shape[0]
        outputs, log_sums = np.zeros(q.shape), np.zeros(q.shape[:3])
        for row, head, token in np.ndindex(q.shape[:3]):
            slots = self._visible_slots(row, token, q.shape[2])
            scores = keys[head // shared, slots] @ q[row, head, token]
            output, log_sums[row, head, token] = self._softmax(
                scores, values[head // shared, slots], head
            )
            outputs[row, head, token] = output
        return outputs, log_sums

    def _visible_slots(self, row: int, token: int, length: int) -> np.ndarray:
        stop = int(self.context_lens[row]) - length + token + 1
        start = max(0, stop - (self.options.get("window") or stop))
        positions, size = np.arange(start, stop), self.options["block_size"]
        return np.array(self.block_tables)[row, positions // size] * size + positions % size

    def _softmax(self, scores: np.ndarray, values: np.ndarray, head: int):
        if self.options.get("soft_cap"):
            scores = self.options["soft_cap"] * np.tanh(scores / self.options["soft_cap"])
        sinks = self.options.get("sinks")
        extra = [] if sinks is None else [_float64(sinks)[head]]
        highest = max([*extra, scores.max()])
        weights = np.exp(scores - highest)
        total = weights.sum() + sum(np.exp(x - highest) for x in extra)
        return weights @ values / total, highest + np.log(total)


def make_problem(
    *,
    dtype: mx.Dtype = mx.float32,
    head_dim: int = 64,
    group_heads: int = 4,
    num_kv_heads: int = 2,
    block_size: int = 16,
    lengths: tuple[int, ...] = (1, 150),
    queries: int = 1,
    k_bits: int | None = None,
    v_bits: int | None = None,
    window: int | None = None,
    soft_cap: float | None = None,
    has_sinks: bool = False,
    seed: int = 0,
) -> Problem:
    """Sequences of these lengths in shuffled blocks of pools that are random everywhere."""
    rng = np.random.default_rng(seed)

    def normal(*shape: int) -> mx.array:
        return mx.array(rng.standard_normal(shape).astype(np.float32)).astype(dtype)

    lengths = tuple(max(length, queries) for length in lengths)
    batch, width = len(lengths), -(-max(lengths) // block_size)
    num_slots = (batch * width + 2) * block_size
    tables = rng.permutation(num_slots // block_size)[: batch * width].reshape(batch, width)
    for row, length in enumerate(lengths):
        tables[row, -(-length // block_size) :] = -1  # must never be read
    pools = (
        kernels.make_pool(num_kv_heads, num_slots, head_dim, dtype, bits=bits)
        for bits in (k_bits, v_bits)
    )
    rows = [normal(num_slots, num_kv_heads, head_dim) for _ in range(2)]
    k_pool, v_pool = reference.kv_append(*pools, *rows, mx.arange(num_slots, dtype=mx.int32))
    sinks = normal(num_kv_heads * group_heads) if has_sinks else None
    return Problem(
        # Rows of a token lie together, as a projection gives them: strided for the kernel.
        q=normal(batch, queries, num_kv_heads * group_heads, head_dim).transpose(0, 2, 1, 3),
        k=normal(batch, 1, num_kv_heads, head_dim).transpose(0, 2, 1, 3),
        v=normal(batch, 1, num_kv_heads, head_dim).transpose(0, 2, 1, 3),
        k_pool=k_pool,
        v_pool=v_pool,
        block_tables=mx.array(tables.astype(np.int32)),
        context_lens=mx.array(np.array(lengths, np.int32)),
        options={
            "block_size": block_size,
            "scale": 2 / head_dim**0.5,
            "window": window,
            "soft_cap": soft_cap,
            "sinks": sinks,
        },
    )


@pytest.fixture
def problem() -> Callable[..., Problem]:
    """Function that makes a random problem; see ``make_problem`` for its arguments."""
    return make_problem


@pytest.fixture
def emulated():
    """Kernels run on the emulator in this test."""
    if not emulator.is_available():
        pytest.skip("the emulator needs a C++ compiler")
    with kernels.emulated():
        yield


@pytest.fixture(params=["emulator", pytest.param("gpu", marks=pytest.mark.gpu)])
def any_host(request):
    """The test runs on the emulator and, where MLX has one, on the GPU."""
    if request.param == "emulator":
        request.getfixturevalue("emulated")
    elif kernels.host() is None:
        pytest.skip("MLX's default device is no GPU")


def _float64(array: mx.array) -> np.ndarray:
    return np.array(array.astype(mx.float32), np.float64)


def _rows(pool: kernels.Pool) -> np.ndarray:
    return _float64(reference.dequantize(pool) if isinstance(pool, QuantizedPool) else pool)


def _copy(pool: kernels.Pool) -> kernels.Pool:
    arrays = pool.arrays if isinstance(pool, QuantizedPool) else [pool]
    copies = [mx.array(np.array(x.view(mx.uint8))).view(x.dtype) for x in arrays]
    return replace(pool, codes=copies[0], scales=copies[1]) if len(copies) == 2 else copies[0]
