"""Puts OpenBLAS under MLX's Linux CPU build, whose wheel carries the slow reference BLAS.

MLX looks up ``cblas_sgemm`` and two siblings when it is first imported, and the dynamic linker asks
libraries loaded with ``RTLD_GLOBAL`` first. So a small shared library that exports those names and
calls OpenBLAS has to be loaded before ``import mlx.core``. OpenBLAS comes from the package
``scipy-openblas32`` (the ``cpu`` extra), which prefixes its names with ``scipy_``; the shim that
takes the prefix off is compiled once and kept in the cache folder. Measured on 2 cores: a float32
product of 128 x 1024 by 1024 x 1024 goes from 3 to over 100 GFLOP/s.

MLX calls ``sgemm`` even for a single row, which is what every layer of a decode step is. OpenBLAS
then copies the whole weight into its packed form to use it once. The shim (``fast_blas.c``) hands
such products to ``sgemv``, and those of two to sixteen rows to a kernel of its own. Both read the
weight in place: two to three times as many bytes a second. A weight that was unpacked from codes of
at most 8 bits can be entered as bytes too (``models/byte_weights.py``), a quarter of what is read.

Nothing here can fail an import: every way that does not work ends in a ``Status`` with the reason,
which ``mlx-backends doctor`` prints. ``MLX_BACKENDS_BLAS=off`` turns it off.
"""

import ctypes
import ctypes.util
import importlib.util
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlx_backends.native_library import compiled, find_compiler

if TYPE_CHECKING:
    from numpy.typing import NDArray

_SHIM_SOURCE = Path(__file__).with_suffix(".c")


@dataclass(frozen=True, slots=True)
class Status:
    """Which BLAS MLX's CPU backend uses, and why."""

    name: str
    reason: str

    @property
    def is_fast(self) -> bool:
        return self.name != "reference"


_status: Status | None = None
_shim: ctypes.CDLL | None = None
_system: ctypes.CDLL | None = None


def preload() -> Status:
    """Load a fast BLAS if this platform needs one and MLX is not imported yet; idempotent."""
    global _status
    if _status is None:
        _status = _choose()
    return _status


def is_off() -> bool:
    """Whether the user wants MLX as it comes."""
    return os.environ.get("MLX_BACKENDS_BLAS", "").lower() == "off"


def use_few_rows(is_on: bool) -> bool:
    """Whether products of few rows go past ``sgemm``: true from the start.

    Benchmarks turn it off to show what it is worth.

    Returns:
        Whether there is a kernel for them here: it needs the shim, and a CPU with AVX2.
    """
    if _shim is None:
        return False
    ctypes.c_int.in_dll(_shim, "uses_few_rows").value = is_on
    return bool(_shim.has_few_rows())


def has_bytes() -> bool:
    """Whether products of few rows can read a weight as bytes."""
    return _shim is not None and bool(_shim.has_few_rows())


def enter_bytes(
    floats: "NDArray[Any]", codes: "NDArray[Any]", scales: "NDArray[Any]", offsets: "NDArray[Any]"
) -> bool:
    """Let products of few rows read a weight as bytes, wherever it is given as these floats.

    All arrays must stay alive and unchanged until ``remove_bytes``.

    Shapes: floats (n, k) float32, codes (n, k) uint8, scales and offsets (n, groups) float32, of
        groups of ``k / groups`` columns. A weight is ``scale * code + offset``.

    Returns:
        Whether it was entered: the shim and a kernel must be there, and the groups fit.
    """
    arrays = (floats, codes, scales, offsets)
    rows, columns = floats.shape
    group_size = columns // scales.shape[1]
    if _shim is None or codes.shape != floats.shape or group_size * scales.shape[1] != columns:
        return False
    if not all(array.flags.c_contiguous for array in arrays):
        return False
    addresses = [ctypes.c_void_p(array.ctypes.data) for array in arrays]
    return bool(_shim.enter_byte_weight(addresses[0], rows, columns, *addresses[1:], group_size))


def remove_bytes(floats: "NDArray[Any]") -> None:
    """Undo ``enter_bytes``."""
    if _shim is not None:
        _shim.remove_byte_weight(ctypes.c_void_p(floats.ctypes.data))


def num_threads() -> int:
    """Threads that OpenBLAS takes for one product; 1 where another BLAS serves."""
    for library, name in (
        (_shim, "scipy_openblas_get_num_threads"),
        (_system, "openblas_get_num_threads"),
    ):
        if library is not None and hasattr(library, name):
            return max(1, int(getattr(library, name)()))
    return 1


def _choose() -> Status:
    if sys.platform != "linux":
        return Status("platform", "MLX uses the platform's own BLAS here")
    if importlib.util.find_spec("mlx_cpu") is None and not _has_bundled_reference_blas():
        return Status("platform", "this MLX build does not carry the reference BLAS")
    if is_off():
        return Status("reference", "MLX_BACKENDS_BLAS=off")
    if "mlx.core" in sys.modules:
        return Status("reference", "mlx.core was imported before mlx_backends; import it after")
    try:
        return _load_openblas()
    except (OSError, subprocess.SubprocessError) as error:
        return Status("reference", f"OpenBLAS could not be loaded: {error}")


def _has_bundled_reference_blas() -> bool:
    spec = importlib.util.find_spec("mlx")
    locations = (spec.submodule_search_locations if spec else None) or []
    return any(list(Path(p).parent.glob("mlx_cpu.libs/libblas*")) for p in locations)


def _load_openblas() -> Status:
    global _shim, _system
    packaged = _packaged_openblas()
    compiler = find_compiler()
    if packaged is not None and compiler is not None:
        _shim = ctypes.CDLL(str(_compiled_shim(packaged, compiler)), ctypes.RTLD_GLOBAL)
        return Status("OpenBLAS", "from the package scipy-openblas32")
    system = ctypes.util.find_library("openblas")
    if system is not None:
        _system = ctypes.CDLL(system, ctypes.RTLD_GLOBAL)
        return Status("OpenBLAS", f"from the system's {system}")
    if packaged is None:
        return Status("reference", "scipy-openblas32 is missing; install mlx-backends[cpu]")
    return Status("reference", "no C compiler was found to link OpenBLAS; install gcc")


def _packaged_openblas() -> Path | None:
    spec = importlib.util.find_spec("scipy_openblas32")
    for location in (spec.submodule_search_locations if spec else None) or []:
        library = Path(location) / "lib" / "libscipy_openblas.so"
        if library.is_file():
            return library
    return None


def _compiled_shim(openblas: Path, compiler: str) -> Path:
    """Path of the compiled shim for this OpenBLAS."""
    stamp = f"{openblas.stat().st_mtime_ns}{openblas.stat().st_size}"
    options = ["-O2", str(openblas), f"-Wl,-rpath,{openblas.parent}"]
    return compiled(compiler, _SHIM_SOURCE, options, stamp)
