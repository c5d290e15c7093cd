"""``bench first-use``: where the time of a process's first answers goes.

MLX compiles a kernel when it first runs, and on CUDA keeps most of them in a folder. A process of
its own starts with an empty one and goes through what a first user does; after each step it tells
the time and the names of what was compiled.
"""

import multiprocessing
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from mlx_backends.bench.workload import decode, ragged
from mlx_backends.config import Device
from mlx_backends.errors import EngineError

_FOLDER_VARIABLE = "MLX_PTX_CACHE_DIR"
_NUM_TOKENS = 8


def measure(folder: Path, vocab_size: int, device: Device) -> Iterator[dict[str, Any]]:
    """Steps of a first use, each with its seconds and what was compiled for it.

    Raises:
        EngineError: The process ended or failed.
    """
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory(prefix="mlx-backends-first-use-") as cache:
        ours, theirs = context.Pipe()
        before = os.environ.get(_FOLDER_VARIABLE)
        os.environ[_FOLDER_VARIABLE] = cache
        process = context.Process(
            target=_use, args=(theirs, folder, vocab_size, device, Path(cache)), daemon=True
        )
        process.start()
        theirs.close()
        if before is None:
            del os.environ[_FOLDER_VARIABLE]
        else:
            os.environ[_FOLDER_VARIABLE] = before
        try:
            while isinstance(step := ours.recv(), dict):
                yield step
        except EOFError as error:
            raise EngineError("first-use: its process ended.") from error
        finally:
            process.kill()
        if step is not None:
            raise EngineError(f"first-use: {step}")


def _use(
    connection: Connection, folder: Path, vocab_size: int, device: Device, cache: Path
) -> None:
    """Go through the steps and send what each took; None at the end, or an error's text."""
    try:
        recorder = _Recorder(cache)
        for name, action in _steps(folder, vocab_size, device):
            connection.send(recorder.run(name, action))
        connection.send(None)
    except Exception as error:
        connection.send(f"{type(error).__name__}: {error}")


def _steps(
    folder: Path, vocab_size: int, device: Device
) -> Iterator[tuple[str, Callable[[], object]]]:
    from mlx_backends import Engine, EngineConfig, SamplingParams

    engine = Engine(EngineConfig(model=str(folder), device=device))

    def generate(lengths: tuple[int, ...], round_index: int, **options: Any) -> Callable[[], None]:
        params = SamplingParams(**{"max_tokens": _NUM_TOKENS, "ignore_eos": True} | options)
        workload = decode(sum(lengths), _NUM_TOKENS)
        tokens = workload.prompts(round_index, vocab_size)[0]

        def run() -> None:
            handles, start = [], 0
            for length in lengths:
                handles.append(engine.submit(tokens[start : start + length], params))
                start += length
            for handle in handles:
                handle.result()

        return run

    yield "load", engine.load
    yield "the first token of a prompt of 100", generate((100,), 0, max_tokens=1)
    yield f"{_NUM_TOKENS} tokens for one of 100", generate((100,), 1)
    yield "the same again", generate((100,), 2)
    yield "a prompt of 150", generate((150,), 3)
    yield "a prompt of 700", generate((700,), 4)
    yield "a prompt of 1,100", generate((1_100,), 5)
    yield "a prompt of 2,900", generate((2_900,), 6)
    yield "another of 2,500", generate((2_500,), 7)
    lengths = ragged(8, 50, 600, _NUM_TOKENS).lengths
    yield "8 prompts of 50 to 600", generate(lengths, 8)
    yield "8 others", generate(tuple(n + 13 for n in lengths), 9)
    yield "one that is sampled", generate((100,), 10, temperature=0.8, seed=1)
    yield "one with top_p", generate((100,), 11, temperature=0.8, top_p=0.9, seed=1)
    yield "close", engine.close


class _Recorder:
    """Times actions and sees what they compile."""

    def __init__(self, cache: Path) -> None:
        self._cache = cache
        self._seen: set[str] = set()
        self._own = 0

    def run(self, name: str, action: Callable[[], object]) -> dict[str, Any]:
        from mlx_backends.kernels.kernel import num_compiled

        started, wall = time.perf_counter(), time.time()
        action()
        seconds = time.perf_counter() - started
        new = [file for file in self._cache.rglob("*.ptx") if str(file) not in self._seen]
        self._seen.update(map(str, new))
        own, self._own = num_compiled() - self._own, num_compiled()
        # A file's time is when its compilation ended.
        ends = sorted((file.stat().st_mtime - wall, file.stem) for file in new)
        return {
            "step": name,
            "seconds": round(seconds, 3),
            "compiled by MLX": len(new),
            "own kernels compiled": own,
            "ends": [(round(end, 2), stem[:90]) for end, stem in ends],
        }
