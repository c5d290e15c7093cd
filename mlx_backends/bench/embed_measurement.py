"""Rounds of ``bench embed``, and what is kept of them."""

import json
import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from mlx_backends.bench.embed_process import Clock, SystemProcess
from mlx_backends.errors import EngineError

_WARM_UP = 64


@dataclass(slots=True)
class Outcome:
    """What one system did with one number of texts.

    Attributes:
        system: Its name.
        num_texts: Texts in a round.
        seconds: Of each measured round.
        processor_s: Processor time of each round, over all threads.
        peak_bytes: Largest resident memory of its process.
        cosine: Least cosine with this package's vectors; None for itself.
    """

    system: str
    num_texts: int
    seconds: list[float] = field(default_factory=list)
    processor_s: list[float] = field(default_factory=list)
    peak_bytes: int = 0
    cosine: float | None = None

    @property
    def texts_per_s(self) -> float:
        return self.num_texts / statistics.median(self.seconds)


class Measurement:
    """Rounds of all systems in turn on the same texts; a peer that fails is left out from there."""

    def __init__(
        self,
        systems: Sequence[SystemProcess],
        texts: list[str],
        scratch: Path,
        report: Callable[[str], None],
        *,
        is_gpu: bool,
    ) -> None:
        self._systems, self._scratch, self._report = list(systems), scratch, report
        self._texts, self._some = scratch / "texts.json", scratch / "some.json"
        self._texts.write_text(json.dumps(texts), encoding="utf-8")
        # On a GPU every new shape is compiled, and so all texts warm up.
        some = texts if is_gpu else texts[:_WARM_UP]
        self._some.write_text(json.dumps(some), encoding="utf-8")
        self.outcomes = [Outcome(system.name, len(texts)) for system in systems]

    def rounds(self, number: int, clock: Clock) -> Iterator[None]:
        """Warm up, then measure round after round, one at least, while there is time.

        Raises:
            EngineError: The first system fails, or takes longer than there is time.
        """
        for system in list(self._systems):
            self._embed(system, self._some, clock)
        for index in range(number):
            started = clock.seconds
            for system in list(self._systems):
                answer = self._embed(system, self._texts, clock)
                if answer is not None:
                    outcome = self.outcomes[self._systems.index(system)]
                    outcome.seconds.append(answer["seconds"])
                    outcome.processor_s.append(answer["processor_s"])
                    outcome.peak_bytes = int(answer["peak_bytes"])
            if index == 0:
                self._compare()
            yield
            if clock.left < clock.seconds - started:
                return

    def _embed(self, system: SystemProcess, texts: Path, clock: Clock) -> dict[str, float] | None:
        """What a system took; None if it failed and is left out from here."""
        try:
            return system.embed(texts, self._vectors(system), clock.left)
        except EngineError as error:
            index = self._systems.index(system)
            if index == 0:
                raise
            self._report(f"left out: {error}")
            del self._systems[index], self.outcomes[index]
            return None

    def _compare(self) -> None:
        ours = np.load(self._vectors(self._systems[0]))
        for system, outcome in zip(self._systems[1:], self.outcomes[1:], strict=True):
            outcome.cosine = float((ours * np.load(self._vectors(system))).sum(axis=1).min())

    def _vectors(self, system: SystemProcess) -> Path:
        return self._scratch / f"{system.name}.npy"


class Record:
    """What is written: after every round, so that a run that ends early leaves what it has."""

    def __init__(self, path: Path | None, facts: dict[str, Any]) -> None:
        self._path = path
        self.facts = facts
        self.outcomes: list[Outcome] = []

    def keep(self, outcomes: Sequence[Outcome]) -> None:
        self.outcomes += outcomes

    def write(self, more: Sequence[Outcome]) -> None:
        if self._path is None:
            return
        rows = []
        for outcome in (*self.outcomes, *more):
            same = [o for o in (*self.outcomes, *more) if o.num_texts == outcome.num_texts]
            ratio = same[0].texts_per_s / outcome.texts_per_s
            rows.append(asdict(outcome) | {"texts_per_s": outcome.texts_per_s, "ratio": ratio})
        content = json.dumps({"environment": self.facts, "results": rows}, indent=1)
        self._path.write_text(content + "\n", encoding="utf-8")
