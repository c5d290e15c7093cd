"""``bench facts``: what MLX does on this GPU, where the engine's design rests on it.

Quantized products with rows as a batch, as one matrix and of unpacked weights, layers with one
input apart and as one product, attention at lengths that were never seen, and what one small
operation costs the host.
"""

import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any

import mlx.core as mx

_ROWS = (1, 4, 8, 16, 32, 64, 256, 2_048)
_LARGEST_BATCH = 64
_REPEATS = 5
_CALLS = 50
# Inner and outer sizes of layers of a 0.6B and a 1B model; then queries, keys and values of that.
_PRODUCTS = ((1_024, 3_072), (2_048, 8_192), (2_048, 1_024), (3_072, 1_024), (8_192, 2_048))
_STACKED = (2_048, (2_048, 512, 512))
_LENGTHS = ((600, 600), (768, 768), (1_100, 1_100), (256, 1_280), (256, 1_536), (16, 1_296))


def measure() -> Iterator[dict[str, Any]]:
    """Measure one fact after another on MLX's default device."""
    for inner, outer in _PRODUCTS:
        weight = _quantized(inner, outer)
        for rows in _ROWS:
            fact: dict[str, Any] = {"fact": "product", "inner": inner, "outer": outer, "rows": rows}
            x = mx.ones((1, rows, inner))
            fact["one matrix, us"] = _microseconds(_product(weight), x)
            fact["unpacked first, us"] = _microseconds(_unpacking_product(weight), x)
            if rows <= _LARGEST_BATCH:
                fact["a batch, us"] = _microseconds(_product(weight), mx.ones((rows, 1, inner)))
            yield fact
    yield _stacked()
    for queries, keys in _LENGTHS:
        yield _attention(queries, keys)
    yield _small_operation()


def _quantized(inner: int, outer: int) -> list[mx.array]:
    scale = mx.full((outer, inner // 64), 0.01, dtype=mx.bfloat16)
    codes = mx.random.randint(0, 2**31 - 1, (outer, inner // 8), dtype=mx.uint32)
    mx.eval(codes, scale)
    return [codes, scale, -8 * scale]


def _product(weight: list[mx.array]) -> Callable[[mx.array], mx.array]:
    codes, scales, biases = weight
    return lambda x: mx.quantized_matmul(x, codes, scales=scales, biases=biases)


def _unpacking_product(weight: list[mx.array]) -> Callable[[mx.array], mx.array]:
    codes, scales, biases = weight
    return lambda x: x @ mx.dequantize(codes, scales, biases).T


def _microseconds(function: Callable[[mx.array], mx.array], x: mx.array) -> float:
    """Time of a call among many, each after the one before: a GPU would run others side by side."""
    x = x.astype(mx.bfloat16)

    def chain() -> mx.array:
        out = function(x)
        for _ in range(_CALLS - 1):
            out = function(mx.depends(x, out))
        return out

    mx.eval(x, chain())
    times = []
    for _ in range(_REPEATS):
        started = time.perf_counter()
        mx.eval(chain())
        times.append(time.perf_counter() - started)
    return 1e6 * statistics.median(times) / _CALLS


def _stacked() -> dict[str, Any]:
    inner, outers = _STACKED
    parts = [_product(_quantized(inner, outer)) for outer in outers]
    whole = _product(_quantized(inner, sum(outers)))
    x = mx.ones((1, 1, inner))

    def apart(x: mx.array) -> mx.array:
        # Their sum would add operations; what is not asked for is not computed.
        return mx.concatenate([part(x) for part in parts], axis=-1)

    return {
        "fact": "layers with one input, one row",
        "apart, us": _microseconds(apart, x),
        "one product, us": _microseconds(whole, x),
    }


def _attention(queries: int, keys: int) -> dict[str, Any]:
    """First and later calls of causal attention for two lengths."""
    q = mx.random.normal((1, 16, queries, 128)).astype(mx.bfloat16)
    k, v = (mx.random.normal((1, 8, keys, 128)).astype(mx.bfloat16) for _ in range(2))
    mx.eval(q, k, v)

    def attend() -> float:
        started = time.perf_counter()
        mx.eval(mx.fast.scaled_dot_product_attention(q, k, v, scale=0.1, mask="causal"))
        return 1e3 * (time.perf_counter() - started)

    first, *later = [attend() for _ in range(1 + _REPEATS)]
    return {
        "fact": "attention",
        "queries": queries,
        "keys": keys,
        "first call, ms": first,
        "later, ms": statistics.median(later),
    }


def _small_operation() -> dict[str, Any]:
    """A chain of additions: what the host needs to build and hand over one, and all of it."""
    x = mx.ones(1_024)
    calls = 1_000

    def chain() -> tuple[float, float, float]:
        started = time.perf_counter()
        y = x
        for _ in range(calls):
            y = y + x
        built = time.perf_counter()
        mx.async_eval(y)
        launched = time.perf_counter()
        mx.eval(y)
        return built - started, launched - built, time.perf_counter() - started

    chain()
    runs = [chain() for _ in range(_REPEATS)]
    built, launched, done = (statistics.median(times) for times in zip(*runs, strict=True))
    return {
        "fact": "one small operation",
        "host builds, us": 1e6 * built / calls,
        "host hands over, us": 1e6 * launched / calls,
        "until done, us": 1e6 * done / calls,
    }
