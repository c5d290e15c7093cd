"""Bandwidth of paged attention on the GPU at hand, beside the copy bandwidth of the same run.

``python -m mlx_backends.kernels.benchmark --json out.json`` measures copy bandwidth; attention at
one context with several layouts of the launch; attention at contexts of 512 to 65,536 with the best
layout and with the default one; short contexts in one launch and in two; and a fused decode against
the size of the pool. Calls are chained
through their outputs, so no two overlap, and a call's time is the slope between a short and a long
chain, so that fixed costs fall away.
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np

from mlx_backends.errors import ConfigError
from mlx_backends.kernels import reference
from mlx_backends.kernels.device import num_multiprocessors
from mlx_backends.kernels.host import host
from mlx_backends.kernels.paged_attention import paged_attention, paged_decode
from mlx_backends.kernels.pool import CHUNK, Pool, QuantizedPool, make_pool, scales_per_row
from mlx_backends.kernels.tuning import Tuning, default_tuning, num_splits, rows_per_tile

CONTEXTS = (512, 1_024, 2_048, 4_096, 8_192, 16_384, 32_768, 65_536)
TUNED_CONTEXT = 16_384
SHORT_CONTEXTS = (128, 256, 512, 1_024, 2_048)
POOL_BYTES = (64 << 20, 256 << 20, 1 << 30, 4 << 30, 16 << 30)
_CACHE_BYTES = 256 << 20  # rows read between two readings of one row, beyond any GPU's cache
_BLOCK_SIZE = 32
_REPEATS = 5


@dataclass(frozen=True, slots=True)
class Case:
    """One attention to measure: every sequence of the batch has the same context."""

    head_dim: int
    bits: int | None
    context: int
    batch: int = 8
    num_heads: int = 32
    num_kv_heads: int = 8

    @property
    def name(self) -> str:
        return f"D={self.head_dim} {f'int{self.bits}' if self.bits else 'bfloat16'}"

    @property
    def row_bytes(self) -> float:
        """Bytes of one head's K and V for one token, scales included."""
        if self.bits is None:
            return 2 * 2 * self.head_dim
        return 2 * (self.head_dim * self.bits / 8 + 2 * scales_per_row(self.head_dim, self.bits))

    @property
    def bytes(self) -> float:
        """Bytes of K and V that one call has to read."""
        return self.row_bytes * self.num_kv_heads * self.batch * self.context

    @property
    def default_tuning(self) -> Tuning:
        return default_tuning(self.head_dim, self._rows, is_quantized=self.bits is not None)

    @property
    def _rows(self) -> int:
        return rows_per_tile(self.num_heads // self.num_kv_heads, self.head_dim)

    def layouts(self) -> Iterable[Tuning]:
        """Layouts worth trying: those whose queries and sums fit the registers."""
        chunks = self.head_dim // CHUNK
        yield self.default_tuning
        for lanes, tokens, simdgroups in product((4, 8, 16), (1, 2, 4), (4, 8)):
            per_lane = -(-chunks // lanes)
            fits = self._rows * per_lane <= 8 and 2 <= per_lane * tokens * 2 <= 16
            layout = Tuning(lanes, tokens, simdgroups)
            if fits and lanes <= chunks and layout != self.default_tuning:
                yield layout


@dataclass(frozen=True, slots=True)
class Result:
    """What one case took with one layout, and its largest error in the first sequence."""

    case: Case
    tuning: Tuning
    microseconds: float
    gigabytes_per_second: float
    largest_error: float


def seconds_per_call(chain: Callable[[int], mx.array], *, budget_s: float = 0.02) -> float:
    """Median time of one call in a chain of dependent calls.

    Args:
        chain: Builds so many dependent calls and returns the last one's output, not evaluated.
        budget_s: About how long the long chain may take.
    """
    mx.eval(chain(2))
    one = _elapsed(chain, 4) / 4
    calls = int(min(max(budget_s / one, 8), 400))
    return statistics.median(
        max(_elapsed(chain, 2 * calls) - _elapsed(chain, calls), 1e-9) / calls
        for _ in range(_REPEATS)
    )


def copy_bandwidth(num_bytes: int = 1 << 30) -> float:
    """Gigabytes a second, read plus written, of MLX's own elementwise kernel over a large array."""
    x = mx.zeros(num_bytes // 4, dtype=mx.float32)

    def chain(calls: int) -> mx.array:
        y = x
        for _ in range(calls):
            y = -y
        return y

    mx.eval(x)
    return 2 * num_bytes / seconds_per_call(chain) / 1e9


def measure_attention(case: Case, tunings: Iterable[Tuning]) -> list[Result]:
    """Time the same attention with several layouts of the launch."""
    blocks = -(-case.context // _BLOCK_SIZE)
    copies = max(1, int(_CACHE_BYTES // case.bytes))
    k_pool, v_pool = (_random_pool(case, copies * case.batch * blocks) for _ in range(2))
    order = np.random.default_rng(0).permutation(copies * case.batch * blocks)
    tables = [mx.array(t) for t in order.reshape(copies, case.batch, blocks).astype(np.int32)]
    context_lens = mx.full(case.batch, case.context, dtype=mx.int32)
    q = mx.random.normal((case.batch, case.num_heads, 1, case.head_dim)).astype(mx.bfloat16)
    token = mx.zeros(1, dtype=mx.int32)
    mx.eval(tables, context_lens, q, token)

    def chain_with(tuning: Tuning) -> Callable[[int], mx.array]:
        def chain(calls: int) -> mx.array:
            output: Any = q
            for i in range(calls):
                output = paged_attention(
                    output, k_pool, v_pool, tables[i % copies], context_lens,
                    block_size=_BLOCK_SIZE, scale=0.1, order=token, tuning=tuning,
                )  # fmt: skip
            return output

        return chain

    expected, _ = reference.paged_attention(
        q[:1], k_pool, v_pool, tables[0][:1], context_lens[:1], block_size=_BLOCK_SIZE, scale=0.1
    )
    results = []
    for tuning in tunings:
        output = chain_with(tuning)(1)[:1]
        error = np.abs(_float32(output) - _float32(expected)).max()
        seconds = seconds_per_call(chain_with(tuning))
        bandwidth = case.bytes / seconds / 1e9
        results.append(Result(case, tuning, seconds * 1e6, bandwidth, float(error)))
    return results


def tune(case: Case) -> tuple[Tuning, list[Result]]:
    """The fastest layout for a case: threadgroups first, then the number of splits."""
    tried = measure_attention(case, case.layouts())
    best = _fastest(tried)
    groups = case.batch * case.num_kv_heads
    usual = num_splits(case.context, groups)
    counts = sorted({max(1, int(usual * factor)) for factor in (1.5, 2, 3, 4, 8)})
    tried += measure_attention(case, [replace(best.tuning, splits=count) for count in counts])
    return _fastest(tried).tuning, tried


def sdpa_microseconds(case: Case) -> float:
    """MLX's own attention over the same context, held contiguously in bfloat16."""
    shape = (case.batch, case.num_kv_heads, case.context, case.head_dim)
    keys, values = (mx.random.normal(shape).astype(mx.bfloat16) for _ in range(2))
    q = mx.random.normal((case.batch, case.num_heads, 1, case.head_dim)).astype(mx.bfloat16)
    mx.eval(q, keys, values)

    def chain(calls: int) -> mx.array:
        output = q
        for _ in range(calls):
            output = mx.fast.scaled_dot_product_attention(output, keys, values, scale=0.1)
        return output

    return seconds_per_call(chain) * 1e6


def pool_size_microseconds(case: Case, num_bytes: Iterable[int]) -> dict[int, float]:
    """Time of a fused decode of the same context in pools of several sizes."""
    times = {}
    for size in num_bytes:
        num_blocks = int(size // (case.row_bytes * case.num_kv_heads * _BLOCK_SIZE))
        width = -(-case.context // _BLOCK_SIZE)
        k_pool, v_pool = (_random_pool(case, num_blocks) for _ in range(2))
        spread = np.random.default_rng(0).permutation(num_blocks)[: case.batch * width]
        table = mx.array(spread.reshape(case.batch, width).astype(np.int32))
        context_lens = mx.full(case.batch, case.context, dtype=mx.int32)
        q = mx.random.normal((case.batch, case.num_heads, 1, case.head_dim)).astype(mx.bfloat16)
        k = mx.random.normal((case.batch, case.num_kv_heads, 1, case.head_dim)).astype(mx.bfloat16)
        token = mx.zeros(1, dtype=mx.int32)
        mx.eval(table, context_lens, q, k, token)
        args = (k_pool, v_pool, table, context_lens)
        times[size] = seconds_per_call(_decode_chain(q, k, token, args)) * 1e6
        del k_pool, v_pool, args
        mx.clear_cache()
    return times


def run(report: Callable[[str], None]) -> dict[str, Any]:
    """Measure everything; ``report`` gets a line for each figure as it comes.

    Raises:
        ConfigError: MLX's default device has no custom kernels.
    """
    if host() not in ("cuda", "metal"):
        raise ConfigError("This benchmark needs Metal or CUDA as MLX's default device.")
    copy = copy_bandwidth()
    report(f"copy bandwidth {copy:,.0f} GB/s on {mx.device_info()['device_name']}, "
           f"{num_multiprocessors()} multiprocessors")  # fmt: skip
    figures: dict[str, Any] = {"copy_gigabytes_per_second": copy, "layouts": [], "contexts": []}
    for head_dim, bits in ((128, None), (64, None), (128, 8)):
        case = Case(head_dim, bits, TUNED_CONTEXT)
        best, tried = tune(case)
        figures["layouts"] += [asdict(result) for result in tried]
        for result in sorted(tried, key=lambda result: result.microseconds)[:6]:
            report(f"  {case.name} {_line(result, copy)} {result.tuning}")
        for context in CONTEXTS:
            at_context = replace(case, context=context)
            same_shape = replace(best, splits=None)
            usual, tuned = measure_attention(at_context, [case.default_tuning, same_shape])
            sdpa = sdpa_microseconds(at_context)
            figures["contexts"].append(
                {"default": asdict(usual), "tuned": asdict(tuned), "sdpa_microseconds": sdpa}
            )
            report(f"{case.name} context {context:>6,}: default {_line(usual, copy)}; "
                   f"tuned {_line(tuned, copy)}; mx SDPA {sdpa:,.1f} us")  # fmt: skip
    figures["short"] = []
    for head_dim, batch, context in product((64, 128), (1, 8), SHORT_CONTEXTS):
        case = Case(head_dim, None, context, batch)
        results = measure_attention(case, _short_layouts(case))
        figures["short"] += [asdict(result) for result in results]
        times = ", ".join(f"{_shape(r.tuning)} {r.microseconds:,.1f} us" for r in results)
        report(f"{case.name} batch {batch} context {context:>5,}: {times}")
    figures["pool_bytes"] = pool_size_microseconds(Case(128, None, 1_024), POOL_BYTES)
    first = figures["pool_bytes"][POOL_BYTES[0]]
    for size, microseconds in figures["pool_bytes"].items():
        report(f"decode in a pool of {size >> 20:>6,} MiB: {microseconds:,.1f} us, "
               f"{microseconds / first:.2f} of the smallest")  # fmt: skip
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, help="write all figures here")
    options = parser.parse_args()

    def report(line: str) -> None:
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()

    figures = run(report)
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1), encoding="utf-8")


def _decode_chain(
    q: mx.array, k: mx.array, token: mx.array, pools: tuple[Pool, Pool, mx.array, mx.array]
) -> Callable[[int], mx.array]:
    k_pool, v_pool, table, context_lens = pools

    def chain(calls: int) -> mx.array:
        output, order = q, token
        for _ in range(calls):
            output, order = paged_decode(
                output, k, k, k_pool, v_pool, table, context_lens,
                block_size=_BLOCK_SIZE, scale=0.1, order=order,
            )  # fmt: skip
        return output

    return chain


def _random_pool(case: Case, num_blocks: int) -> Pool:
    """A pool with random content, filled without a second copy of it."""
    pool = make_pool(
        case.num_kv_heads, num_blocks * _BLOCK_SIZE, case.head_dim, mx.bfloat16, bits=case.bits
    )
    if isinstance(pool, QuantizedPool):
        pool = replace(
            pool,
            codes=mx.random.randint(0, 2**31 - 1, pool.codes.shape, dtype=mx.uint32),
            scales=mx.random.uniform(0, 0.01, pool.scales.shape).astype(mx.float16),
        )
        mx.eval(pool.arrays)
        return pool
    pool = mx.concatenate([mx.random.normal((1, *pool.shape[1:]), dtype=mx.bfloat16)] * len(pool))
    mx.eval(pool)
    return pool


def _elapsed(chain: Callable[[int], mx.array], calls: int) -> float:
    output = chain(calls)
    mx.synchronize()
    start = time.perf_counter()
    mx.eval(output)
    return time.perf_counter() - start


def _short_layouts(case: Case) -> list[Tuning]:
    """One launch with threadgroups of several sizes, then two launches."""
    usual = case.default_tuning
    one = [replace(usual, simdgroups=count, splits=1) for count in (4, 8, 16)]
    return [*one, *(replace(usual, splits=max(2, case.context // size)) for size in (128, 64, 32))]


def _shape(tuning: Tuning) -> str:
    return f"{tuning.simdgroups} simdgroups x {tuning.splits} splits"


def _float32(array: mx.array) -> np.ndarray[Any, Any]:
    return np.array(array.astype(mx.float32))


def _fastest(results: Iterable[Result]) -> Result:
    return min(results, key=lambda result: result.microseconds)


def _line(result: Result, copy: float) -> str:
    share = result.gigabytes_per_second / copy
    return (
        f"{result.microseconds:,.1f} us {result.gigabytes_per_second:,.0f} GB/s = {share:.0%} "
        f"(error {result.largest_error:.0e})"
    )


if __name__ == "__main__":
    main()
