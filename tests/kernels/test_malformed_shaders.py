"""No mistake in a shader hangs or kills the process, and each is named."""

import time

import mlx.core as mx
import pytest

from mlx_backends.errors import ShaderError
from mlx_backends.kernels import compile_shader, emulator, launch

from .malformed_shaders import COMPILED, COPY, READ, RUN, Mistake, kernel

# On the emulator only: a GPU cannot be stopped, and nothing protects its memory.
pytestmark = [
    pytest.mark.skipif(not emulator.is_available(), reason="needs a C++ compiler"),
    pytest.mark.usefixtures("emulated"),
]
# Processor time and the machine's load differ: this is for what hangs.
LIMIT_S = 10
IN_EVERY_RUN = {
    "no semicolon, third line",
    "mixed types",
    "template without an end",
    "mistake before the kernel",
    "read past the end",
    "two writers",
    "missing barrier",
    "barrier in a branch",
    "endless loop",
    "half unwritten",
    "local array overrun",
    "division by zero",
    "recursion",
    "abort",
}


def check(mistake: Mistake) -> None:
    started = time.perf_counter()
    with pytest.raises(mistake.error, match=mistake.says) as caught:
        mistake.run()
    assert isinstance(caught.value, ShaderError)
    assert time.perf_counter() - started < LIMIT_S


@pytest.mark.parametrize("mistake", READ, ids=lambda mistake: mistake.name)
def test_a_text_or_launch_is_refused(mistake):
    check(mistake)


@pytest.mark.parametrize(
    "mistake",
    [
        pytest.param(m, marks=[] if m.name in IN_EVERY_RUN else [pytest.mark.slow], id=m.name)
        for m in (*COMPILED, *RUN)
    ],
)
def test_a_compiler_message_or_a_fault_is_named(mistake):
    check(mistake)
    x = mx.arange(8).astype(mx.float32)
    assert mx.array_equal(launch(compile_shader(kernel(COPY)), 8, [x], [(8,)])[0], x).item()


def test_there_are_two_hundred():
    names = [mistake.name for mistake in (*READ, *COMPILED, *RUN)]
    assert len(set(names)) == len(names) >= 200
    assert set(names) >= IN_EVERY_RUN
