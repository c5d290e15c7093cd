"""The systems of ``bench embed``, each in a process of its own."""

import json
import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mlx_backends.errors import EngineError

# Of the time that is left, what loading may take.
_SHARE_OF_LOADING = 0.8


class Clock:
    """Seconds since it was made, and how many are left."""

    def __init__(self, limit: float) -> None:
        self._start, self._limit = time.perf_counter(), limit

    @property
    def seconds(self) -> float:
        return time.perf_counter() - self._start

    @property
    def left(self) -> float:
        return self._limit - self.seconds


class SystemProcess:
    """A system that was started; ``facts`` are there once it has loaded.

    Raises:
        EngineError: It cannot be run.
    """

    def __init__(self, name: str, python: str, folder: Path, options: dict[str, Any]) -> None:
        self.name = name
        self.facts: dict[str, Any] = {}
        script = Path(__file__).with_name("embed_system.py")
        variables = dict(os.environ)
        if name == "mlx-backends":
            variables["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
        try:
            self._process = subprocess.Popen(
                [python, str(script), name, str(folder), json.dumps(options)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
                env=variables,
            )
        except OSError as error:
            raise EngineError(f"{name}: {python} cannot be run: {error}") from error
        self._lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def wait(self, timeout: float) -> None:
        """Wait until it has loaded.

        Raises:
            EngineError: It failed, or takes longer.
        """
        self.facts = self._receive(timeout)

    def embed(self, texts: Path, vectors: Path, timeout: float) -> dict[str, float]:
        """Embed a file of texts; what it took.

        Raises:
            EngineError: The system failed, or takes longer.
        """
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"texts": str(texts), "vectors": str(vectors)}) + "\n")
        self._process.stdin.flush()
        return self._receive(timeout)

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.kill()
        self._process.wait()
        self._reader.join()
        self._process.stdin.close()
        self._process.stdout.close()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.put(line)
        self._lines.put("")

    def _receive(self, timeout: float) -> dict[str, Any]:
        try:
            while line := self._lines.get(timeout=max(timeout, 0.0)):
                if line.startswith("{"):  # libraries may write lines of their own
                    answer = json.loads(line)
                    if "error" in answer:
                        raise EngineError(f"{self.name}: {answer['error']}")
                    return answer
        except queue.Empty:
            raise EngineError(f"{self.name}: no answer within {timeout:.0f} s.") from None
        raise EngineError(f"{self.name}: its process ended.")


@contextmanager
def started(
    pythons: Mapping[str, str],
    folder: Path,
    options: dict[str, Any],
    clock: Clock,
    report: Callable[[str], None],
) -> Iterator[list[SystemProcess]]:
    """Start all systems at once; those that load in time are given, others are named.

    Args:
        pythons: The interpreter of each; the first system has to load.
        folder: Of the model.
        options: As in ``embed_system``.
        clock: Tells how long loading may take.
        report: Told of every step.

    Raises:
        EngineError: The first system does not load.
    """
    launched: list[SystemProcess] = []
    loaded: list[SystemProcess] = []
    try:
        for name, python in pythons.items():
            try:
                launched.append(SystemProcess(name, python, folder, options))
            except EngineError as error:
                report(f"left out: {error}")
        for system in launched:
            try:
                system.wait(_SHARE_OF_LOADING * clock.left)
            except EngineError as error:
                if not loaded:
                    raise
                report(f"left out: {error}")
            else:
                report(f"{clock.seconds:.0f} s: {system.name} has loaded")
                loaded.append(system)
        yield loaded
    finally:
        for system in launched:
            system.close()
