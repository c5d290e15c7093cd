"""From a kernel's text to a program, kept in the cache folder by its content."""

import ctypes
import hashlib
import os
import shutil
import subprocess
import tempfile
from functools import cache
from importlib.resources import files
from pathlib import Path

from mlx_backends.config import cache_dir
from mlx_backends.kernels.emulator.errors import EmulationError

_FLAGS = ["-std=c++17", "-O1", "-fPIC", "-shared", "-w", "-fvisibility=hidden", "-ffp-contract=off"]
_GNU_FLAGS = ["-fno-gnu-unique"]  # else inline variables of two loaded programs are one
_HEADERS = (
    "bfloat16.h",
    "fiber.h",
    "lockstep.h",
    "memory.h",
    "metal.h",
    "metal_math.h",
    "metal_memory.h",
    "metal_process.h",
    "metal_simd.h",
    "prelude.h",
)
_COMPILE_TIMEOUT_S = 120
# A user's own text: local arrays are checked, constants are floats, and a template without an end
# does not keep the compiler busy for long.
_USER_FLAGS = [
    "-std=c++17",
    "-O1",
    "-w",
    "-ffp-contract=off",
    "-fsanitize=bounds",
    "-fno-sanitize-recover=bounds",
    "-fstack-clash-protection",
    "-ftemplate-depth=200",
]
_USER_GNU_FLAGS = ["-fsingle-precision-constant", "-fmax-errors=3"]
_USER_COMPILE_S = 8  # of processor time


def is_available() -> bool:
    """Whether this machine has a C++ compiler."""
    return _compiler() is not None


@cache
def load(source: str) -> ctypes.CDLL:
    """Compile a program and load it.

    Raises:
        EmulationError: There is no compiler, or it refuses the text.
    """
    compiler = _require_compiler()
    headers = _header_folder()
    flags = _FLAGS + (_GNU_FLAGS if _is_gnu(compiler) else [])
    stamp = "\0".join([source, compiler, *flags, headers.name])
    program = headers.parent / f"{hashlib.sha256(stamp.encode()).hexdigest()[:24]}.so"
    if not program.is_file():
        _compile([compiler, *flags, "-I", str(headers)], source, program)
    return ctypes.CDLL(str(program))


def user_program(source: str) -> Path:
    """Compile a program with a ``main`` of its own, within limits of time and memory.

    Raises:
        EmulationError: There is no compiler, or it refuses the text.
    """
    compiler = _require_compiler()
    is_gnu = _is_gnu(compiler)
    headers = _header_folder()
    flags = _USER_FLAGS + (_USER_GNU_FLAGS if is_gnu else [])
    stamp = "\0".join([source, compiler, *flags, headers.name])
    program = headers.parent / f"{hashlib.sha256(stamp.encode()).hexdigest()[:24]}.program"
    if not program.is_file():
        limit = f"ulimit -t {_USER_COMPILE_S}; ulimit -v 4000000; "
        shell = ["/bin/sh", "-c", f'{limit if is_gnu else ""}exec "$@"', "sh"]
        _compile([*shell, compiler, *flags, "-c", "-I", str(headers)], source, program, compiler)
    return program


def _require_compiler() -> str:
    compiler = _compiler()
    if compiler is None:
        raise EmulationError("The emulator needs a C++ compiler: install g++ or clang++.")
    return compiler


@cache
def _is_gnu(compiler: str) -> bool:
    """Whether a compiler is GCC; on macOS ``g++`` is clang."""
    said = subprocess.run(
        [compiler, "--version"], capture_output=True, text=True, check=False, timeout=30
    )
    return "Free Software Foundation" in said.stdout


@cache
def _compiler() -> str | None:
    return shutil.which("g++") or shutil.which("clang++") or shutil.which("c++")


def _compile(command: list[str], source: str, program: Path, linker: str | None = None) -> None:
    """Compile, and link where compiling is a step of its own."""
    with tempfile.TemporaryDirectory(dir=program.parent) as scratch:
        text, output = Path(scratch) / "kernel.cpp", Path(scratch) / "kernel.out"
        text.write_text(source, encoding="utf-8")
        _run_compiler([*command, str(text), "-o", str(output)])
        if linker is not None:  # without -fsanitize, whose library the program replaces
            linked = output.with_suffix(".linked")
            _run_compiler([linker, str(output), "-o", str(linked)])
            output = linked
        output.replace(program)  # atomic: two processes may compile at once


def _run_compiler(command: list[str]) -> None:
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=_COMPILE_TIMEOUT_S,
        check=False,
        env={**os.environ, "LC_ALL": "C"},
    )
    if done.returncode:
        raise EmulationError(f"The kernel does not compile:\n{done.stderr[:4_000]}")


@cache
def _header_folder() -> Path:
    """The emulator's headers as files of one folder, whose name tells their content."""
    package = files("mlx_backends.kernels")
    paths = [package.joinpath("emulator", name) for name in _HEADERS]
    paths.append(package.joinpath("source", "metal_language.h"))
    texts = {path.name: path.read_text(encoding="utf-8") for path in paths}
    digest = hashlib.sha256("".join(texts.values()).encode()).hexdigest()[:16]
    folder = cache_dir() / "emulator" / f"headers-{digest}"
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        with tempfile.NamedTemporaryFile("w", dir=folder, delete=False, encoding="utf-8") as file:
            file.write(text)
        Path(file.name).replace(folder / name)
    return folder
