"""Kernel functions as their authors write them, against plain MLX, in every order of threads."""

import threading

import mlx.core as mx
import pytest

from mlx_backends import kernels
from mlx_backends.errors import (
    ConfigError,
    ShaderArgumentError,
    ShaderMismatchError,
    ShaderSyntaxError,
)
from mlx_backends.kernels import compile_shader, emulator, launch, shader, shaders

from .shader_cases import ADD, HELPERS, cases, random

pytestmark = pytest.mark.skipif(
    kernels.host() is None and not emulator.is_available(), reason="needs a GPU or a C++ compiler"
)


@pytest.mark.parametrize("schedule", ["forward", "reverse", "shuffled"])
@pytest.mark.parametrize("name", cases())
def test_a_kernel_gives_what_plain_mlx_gives(name, schedule):
    cases()[name].check(schedule=schedule)


def test_the_lectures_addition():
    kernel = compile_shader(ADD, "add_arrays")
    x, y = random(2, 1024)
    [result] = launch(kernel, x.shape, [x, y], [x.shape], [x.dtype])
    assert mx.array_equal(result, x + y).item()
    [transposed] = launch(kernel, 6, [random(3, 2).T, mx.zeros((2, 3))], [(2, 3)])
    assert mx.array_equal(transposed, random(3, 2).T).item()


def test_one_kernel_of_several_has_to_be_named():
    with pytest.raises(ShaderSyntaxError, match="say which by name"):
        compile_shader(HELPERS)


def test_outputs_begin_with_init_value():
    kernel = compile_shader(ADD.replace("out[id] =", "if (id == 2) out[id] ="))
    [result] = launch(kernel, 4, [mx.ones(4), mx.ones(4)], [(4,)], init_value=7)
    assert result.tolist() == [7, 7, 2, 7]


def test_launches_from_many_threads():
    kernel, results = compile_shader(ADD), {}

    def run(i: int) -> None:
        x = mx.full((64,), float(i))
        results[i] = launch(kernel, 64, [x, x], [(64,)])[0].tolist()

    threads = [threading.Thread(target=run, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == {i: [2.0 * i] * 64 for i in range(8)}


def test_the_decorator_takes_shapes_from_the_reference_and_compares_once():
    calls = []

    @shader(ADD, debug=True)
    def add_arrays(x, y):
        calls.append(x.shape)
        return x + y

    assert add_arrays(mx.ones(5), mx.ones(5)).tolist() == [2.0] * 5
    assert add_arrays(mx.ones(3), mx.ones(3)).tolist() == [2.0] * 3
    assert calls == [(5,), (3,)]


def test_the_decorator_says_where_a_kernel_differs(monkeypatch):
    wrong = ADD.replace("in1[id] + in2[id]", "id == 3 ? 9 : in1[id] + in2[id]")

    @shader(wrong, grid=lambda x, y: x.size)
    def add_arrays(x, y):
        return x + y

    assert add_arrays(mx.ones(5), mx.ones(5)).tolist() == [2, 2, 2, 9, 2]  # not in debug mode
    monkeypatch.setenv("MLX_BACKENDS_DEBUG", "1")
    with pytest.raises(ShaderMismatchError, match=r"in 1 of 5 .* index 3: 9.0 instead of 2.0"):
        add_arrays(mx.ones(5), mx.ones(5))


def test_the_same_text_is_read_once():
    assert compile_shader(ADD) is compile_shader(ADD)
    assert compile_shader(ADD) is not compile_shader(ADD + "\n")


def test_the_emulator_under_mx_compile_says_so(emulated):
    kernel = compile_shader(ADD)
    run = mx.compile(lambda x: launch(kernel, 4, [x, x], [(4,)])[0])
    with pytest.raises(ShaderArgumentError, match=r"works neither under mx\.compile"):
        run(mx.ones(4))


def test_a_missing_compiler_is_said(emulated, monkeypatch):
    monkeypatch.setattr(shaders.emulated, "is_available", lambda: False)
    with pytest.raises(ConfigError, match="install g\\+\\+"):
        launch(compile_shader(ADD), 4, [mx.ones(4), mx.ones(4)], [(4,)])
