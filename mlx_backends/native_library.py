"""C sources of this package to shared libraries, compiled once and kept in the cache folder."""

import hashlib
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from mlx_backends.config import cache_dir

_COMPILE_TIMEOUT_S = 60


def find_compiler() -> str | None:
    """The C compiler of this machine, or None if there is none."""
    return shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")


def compiled(compiler: str, source: Path, options: Sequence[str], stamp: str) -> Path:
    """Path of the library of a source; compiled at the first call on a machine.

    Args:
        compiler: To call.
        source: A C file.
        options: For the compiler, libraries to link included.
        stamp: What the library rests on besides its source and options.

    Raises:
        OSError: The cache folder cannot be written, or the compiler not be run.
        subprocess.SubprocessError: The compiler fails or takes longer than a minute.
    """
    content = b"\0".join([source.read_bytes(), *(o.encode() for o in options), stamp.encode()])
    folder = cache_dir() / "native"
    library = folder / f"{source.stem}-{hashlib.sha256(content).hexdigest()[:16]}.so"
    if library.is_file():
        return library
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        output = Path(scratch) / "library.so"
        command = [compiler, "-shared", "-fPIC", str(source), *options, "-o", str(output)]
        subprocess.run(command, check=True, capture_output=True, timeout=_COMPILE_TIMEOUT_S)
        output.replace(library)  # atomic: two processes may compile at once
    return library
