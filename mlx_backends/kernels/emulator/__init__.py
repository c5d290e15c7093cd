"""Runs kernels on the CPU, thread by thread, from the text that the GPU runs.

The body is compiled by the system's C++ compiler against a prelude of its own. Threads of a
threadgroup run in turns on one core, and every access to memory is checked. Named are: a divergent
barrier or simdgroup operation, an access out of bounds, a misaligned wide load, two threads that
meet in one word without a barrier, threadgroup memory that is read before it was written, an output
left unwritten, and a write to an input that is not declared as in place.

Not modelled: memory ordering beyond barriers, approximate functions, registers and speed.
"""

from mlx_backends.kernels.emulator.compiler import is_available
from mlx_backends.kernels.emulator.errors import EmulationError
from mlx_backends.kernels.emulator.launch import Schedule, run, scheduled

__all__ = ["EmulationError", "Schedule", "is_available", "run", "scheduled"]
