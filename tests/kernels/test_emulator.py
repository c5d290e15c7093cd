"""Mistakes planted into the real kernels: the emulator has to name each of them."""

import mlx.core as mx
import pytest

from mlx_backends import kernels
from mlx_backends.kernels import EmulationError, Tuning, kernel
from mlx_backends.kernels.emulator import compiler


@pytest.fixture
def plant(monkeypatch):
    """Function that replaces a piece of a kernel's text for this test."""
    original = kernel.read_source

    def replace(file: str, old: str, new: str) -> None:
        text = original(file)
        assert text.count(old) == 1, f"{old!r} is not once in {file}"
        changed = text.replace(old, new)
        monkeypatch.setattr(
            kernel, "read_source", lambda name: changed if name == file else original(name)
        )

    return replace


BODY = "paged_attention.h"
BARRIER = "THREADGROUP_BARRIER();"
PLACE = "(token * q_shape[1] + head) * HEAD_DIM"
WRITE = f"out[{PLACE} + dim] ="
PLANTED = {
    "missing barrier": (BARRIER, "", r"race on shared_\w+\[\d+\]: written by thread \d+ and read"),
    "barrier in a branch": (
        BARRIER,
        f"if (simdgroup == 0) {BARRIER}\n{BARRIER}",
        r"divergent barrier: some threads wait at paged_attention.h:\d+, others at paged_attention",
    ),
    "return before a barrier": (
        BARRIER,
        f"if (simdgroup > 0) return;\n{BARRIER}",
        r"divergent barrier: threads 0-31 wait at paged_attention.h:\d+, threads 32-127 returned",
    ),
    "write past the output": (
        WRITE,
        f"out[{PLACE} + dim + 1] =",
        r"out-of-bounds write of out\[1024\], which has 1024 elements",
    ),
    "unwritten output": (
        WRITE,
        f"if (dim != 5) out[{PLACE} + dim] =",
        r"unwritten output out\[5\], and 15 more of 1024",
    ),
    "two writers": (
        WRITE,
        f"out[{PLACE} + dim / 2] =",
        r"race on out\[\d+\]: written by thread",
    ),
    "read past the block table": (
        "const int first = min(positions[t], last);",
        "const int first = positions[t] + 10000;",
        r"out-of-bounds read of block_tables\[\d+\], which has 20 elements",
    ),
    "read before the pool": (
        "const Index head_start = Index(kv_head) * num_slots;",
        "const Index head_start = -9999;",
        r"out-of-bounds read of k_pool\[-\d+\]",
    ),
    "misaligned load": (
        "auto table = block_tables",
        "load_words(k_pool + 1, Words<4>());\nauto table = block_tables",
        r"misaligned wide read of k_pool\[1\]",
    ),
    "unwritten threadgroup memory": (
        "if (thread_index_in_simdgroup == 0) {",
        "if (thread_index_in_simdgroup == 0 && simdgroup > 0) {",
        r"read of shared_maxima\[\d\], which no thread has written",
    ),
    "threadgroup memory overrun": (
        "shared_maxima[simdgroup * ROWS + r] = highest;",
        "shared_maxima[simdgroup * ROWS + r + 1] = highest;",
        r"out-of-bounds write of shared_maxima\[16\], which has 16 elements",
    ),
    "shuffle in a branch": (
        "float total = totals[r] * weight;",
        "float total = totals[r];\nif (lane_token == 0) total = simd_shuffle_xor(total, 1);",
        r"divergent simdgroup operation: lane \d+ is at paged_attention.h:\d+, lane \d+ at paged",
    ),
    "too much threadgroup memory": (
        "THREADGROUP_ARRAY(float, shared_sums, SIMDGROUPS * ROWS * HEAD_DIM);",
        "THREADGROUP_ARRAY(float, shared_sums, SIMDGROUPS * ROWS * HEAD_DIM * 16);",
        "more than 32 KiB of threadgroup memory",
    ),
    "write to an input": (
        "float query_scale = settings[0];",
        "float query_scale = settings[0]; writable(settings)[0] = 1.0f;",
        r"write to the input settings\[0\]",
    ),
    "mistake of syntax": ("float query_scale =", "flot query_scale =", r"paged_attention\.h:\d+"),
}


@pytest.mark.parametrize("name", PLANTED)
def test_names_a_planted_mistake(emulated, problem, plant, name):
    old, new, message = PLANTED[name]
    case = problem(lengths=(40, 150))
    plant(BODY, old, new)
    with pytest.raises(EmulationError, match=message):
        case.attend()


def test_names_a_row_that_is_read_while_another_thread_writes_it(emulated, problem, plant):
    case = problem(lengths=(40, 150))
    plant(BODY, "min(start + share, context - APPENDS)", "min(start + share, context)")
    with pytest.raises(EmulationError, match=r"race on k_pool\[\d+\]: written .* and read by"):
        case.decode()


def test_names_two_rows_for_one_slot(emulated):
    pools = [kernels.make_pool(1, 8, 16, mx.float32) for _ in range(2)]
    rows, slots = mx.ones((2, 1, 16)), mx.array([3, 3], dtype=mx.int32)
    with pytest.raises(EmulationError, match=r"race on k_pool\[48\]: written .* and written by"):
        kernels.kv_append(*pools, rows, rows, slots, mx.zeros(1, dtype=mx.int32))


def test_a_wrong_head_map_is_wrong_in_value(emulated, problem, plant):
    case = problem(lengths=(40, 150))
    right = case.attend()
    plant(BODY, "kv_head * group_heads + row / queries;", "row / queries * num_kv_heads + kv_head;")
    assert mx.abs(case.attend() - right).max().item() > 0.1


def test_switching_threads_through_ucontext_gives_the_same(emulated, problem, monkeypatch):
    case = problem(lengths=(9, 40))
    expected = case.attend(tuning=Tuning(4, 1, 1))
    monkeypatch.setattr(compiler, "_FLAGS", [*compiler._FLAGS, "-DEMULATOR_UCONTEXT"])
    compiler.load.cache_clear()
    try:
        assert mx.array_equal(case.attend(tuning=Tuning(4, 1, 1)), expected).item()
    finally:
        compiler.load.cache_clear()


def test_programs_are_compiled_once(emulated, problem, monkeypatch):
    case = problem(lengths=(9, 40))
    case.attend()
    compiler.load.cache_clear()  # as a new process would
    monkeypatch.setattr(compiler, "_compile", lambda *_: pytest.fail("compiled again"))
    case.attend()
    longer = problem(lengths=(200, 3, 17))  # another batch, width and context: the same program
    longer.attend()


def test_says_that_a_compiler_is_missing(emulated, problem, monkeypatch):
    compiler.load.cache_clear()
    monkeypatch.setattr(compiler, "_compiler", lambda: None)
    with pytest.raises(EmulationError, match="needs a C\\+\\+ compiler"):
        problem(lengths=(9, 40)).attend()
