"""A system in a process of its own, so that its BLAS, its memory and its threads are its own.

All processes that are compared hold their model at once, and work only when asked: rounds can go
from one to the next.
"""

import importlib
import multiprocessing
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from mlx_backends import fast_blas
from mlx_backends.bench.run import Run
from mlx_backends.errors import EngineError

_END_TIMEOUT_S = 30
_LOAD, _UNLOAD, _START_ROUND = "load", "unload", "start a round"


@dataclass(frozen=True, slots=True)
class SystemSpec:
    """Which system to start, and how.

    Attributes:
        name: As the tables call it.
        kind: As in ``peers.make_system``.
        options: As there.
        environment: Variables of its process.
        uses_few_rows: Whether its BLAS shim hands products of few rows past ``sgemm``.
    """

    name: str
    kind: str
    options: Mapping[str, Any]
    environment: Mapping[str, str] = field(default_factory=dict)
    uses_few_rows: bool = True


class SystemProcess:
    """A system whose process imports what it needs and then waits to be asked.

    Attributes:
        name: Of the system.
        blas: Under MLX in its process, once it is loaded.
        load_s: Seconds that loading took.
    """

    def __init__(self, spec: SystemSpec, folder: Path) -> None:
        self.name = spec.name
        self.blas = ""
        self.load_s = 0.0
        self._spec = spec
        self._folder = folder
        self._is_loaded = False
        self._start()

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        arguments = (theirs, self._spec, self._folder)
        with _environment(self._spec.environment):
            self._process = context.Process(target=_serve, args=arguments, daemon=True)
            self._process.start()
        theirs.close()
        self._is_loaded = False

    def load(self) -> None:
        """Load the model, unless that is done; after a failure in a new process.

        Raises:
            EngineError: The system failed.
        """
        if not self._process.is_alive():
            self._start()
        if self._is_loaded:
            return
        started = time.perf_counter()
        self._connection.send(_LOAD)
        self.blas = str(self._receive())
        self._is_loaded = True
        self.load_s = time.perf_counter() - started

    def start_round(self) -> None:
        """As ``System.start_round``, the model loaded.

        Raises:
            EngineError: The system failed.
        """
        self.load()
        self._connection.send(_START_ROUND)
        self._receive()

    def generate(self, prompts: Sequence[Sequence[int]], num_tokens: int) -> Run:
        """As ``System.generate``, of a loaded system.

        Raises:
            EngineError: The system failed.
        """
        self.load()
        self._connection.send((prompts, num_tokens))
        run = self._receive()
        assert isinstance(run, Run)
        return run

    def unload(self) -> None:
        """Let the process drop its model; it loads again when it is next asked to generate."""
        if not self._is_loaded or not self._process.is_alive():
            return
        self._connection.send(_UNLOAD)
        self._receive()
        self._is_loaded = False

    def close(self) -> None:
        self._connection.close()  # which ends its loop
        self._process.join(_END_TIMEOUT_S)
        if self._process.is_alive():
            self._process.kill()

    def _receive(self) -> object:
        try:
            answer = self._connection.recv()
        except EOFError as error:
            self._process.join(_END_TIMEOUT_S)
            raise EngineError(f"{self.name}: its process ended.") from error
        if isinstance(answer, Exception):
            self._process.join(_END_TIMEOUT_S)
            raise EngineError(f"{self.name}: {answer}") from answer
        return answer


@contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Variables that a process started inside inherits."""
    before = dict(os.environ)
    os.environ.update(variables)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def _serve(connection: Connection, spec: SystemSpec, folder: Path) -> None:
    """Import, load the system when asked to, and answer until the other end closes."""
    from mlx_backends.bench.peers import make_system

    try:
        importlib.import_module("mlx_lm.utils")  # seconds that need not pass while others wait
        fast_blas.use_few_rows(spec.uses_few_rows)
        system = None
        while True:
            asked = connection.recv()
            if asked == _LOAD:
                system = make_system(spec.kind, folder, spec.options)
                connection.send(fast_blas.preload().name)
                continue
            assert system is not None  # it was loaded before
            if asked == _UNLOAD:
                system.close()
                system = None
                connection.send(None)
                continue
            if asked == _START_ROUND:
                system.start_round()
                connection.send(None)
                continue
            connection.send(system.generate(*asked))
    except EOFError:
        return
    except Exception as error:
        connection.send(RuntimeError(f"{type(error).__name__}: {error}"))
