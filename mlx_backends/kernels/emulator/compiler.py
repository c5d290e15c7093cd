"""From a kernel's text to a loaded program, kept in the cache folder by its content."""

import ctypes
import hashlib
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
_HEADERS = ("fiber.h", "lockstep.h", "memory.h", "prelude.h")
_COMPILE_TIMEOUT_S = 120


def is_available() -> bool:
    """Whether this machine has a C++ compiler."""
    return _compiler() is not None


@cache
def load(source: str) -> ctypes.CDLL:
    """Compile a program and load it.

    Raises:
        EmulationError: There is no compiler, or it refuses the text.
    """
    compiler = _compiler()
    if compiler is None:
        raise EmulationError("The emulator needs a C++ compiler: install g++ or clang++.")
    headers = _header_folder()
    flags = _FLAGS + (_GNU_FLAGS if Path(compiler).name == "g++" else [])
    stamp = "\0".join([source, compiler, *flags, headers.name])
    program = headers.parent / f"{hashlib.sha256(stamp.encode()).hexdigest()[:24]}.so"
    if not program.is_file():
        _compile([compiler, *flags, "-I", str(headers)], source, program)
    return ctypes.CDLL(str(program))


@cache
def _compiler() -> str | None:
    return shutil.which("g++") or shutil.which("clang++") or shutil.which("c++")


def _compile(command: list[str], source: str, program: Path) -> None:
    with tempfile.TemporaryDirectory(dir=program.parent) as scratch:
        text, output = Path(scratch) / "kernel.cpp", Path(scratch) / "kernel.so"
        text.write_text(source, encoding="utf-8")
        done = subprocess.run(
            [*command, str(text), "-o", str(output)],
            capture_output=True,
            text=True,
            timeout=_COMPILE_TIMEOUT_S,
            check=False,
        )
        if done.returncode:
            raise EmulationError(f"The kernel does not compile:\n{done.stderr[:4_000]}")
        output.replace(program)  # atomic: two processes may compile at once


@cache
def _header_folder() -> Path:
    """The emulator's headers as files of one folder, whose name tells their content."""
    package = files("mlx_backends.kernels.emulator")
    texts = {name: package.joinpath(name).read_text(encoding="utf-8") for name in _HEADERS}
    digest = hashlib.sha256("".join(texts.values()).encode()).hexdigest()[:16]
    folder = cache_dir() / "emulator" / f"headers-{digest}"
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        with tempfile.NamedTemporaryFile("w", dir=folder, delete=False, encoding="utf-8") as file:
            file.write(text)
        Path(file.name).replace(folder / name)
    return folder
