"""Options of a training run, and its log."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Run:
    """Options of a training run.

    Attributes:
        folder: Holds `tokenizer.json` and `prose.json.gz`.
        out: Where the weights and the log go.
        seconds: Wall-clock budget; of the chat model's run from its start on, of others of the loop.
        workers: Processes that generate text, for all GPUs together.
        tokens: Tokens of a batch on one GPU, padding included.
        device: ``cuda`` or ``cpu``.
        gpus: Processes that train together, one a GPU (chat model only).
        eval_every_s: Seconds between evaluations.
        quantize_from: Share of the run after which the chat model's weights are rounded as in the
            file that ships.
        resume: Folder to go on from: a run's `out`, or a chat model that ships.
    """

    folder: Path
    out: Path
    seconds: float
    workers: int = 14
    tokens: int = 46_080
    device: str = "cuda"
    gpus: int = 1
    eval_every_s: float = 60.0
    eval_items: int = 160
    muon_rate: float = 4e-3
    adam_rate: float = 2e-3
    quantize_from: float = 0.5
    resume: Path | None = None
    seed: int = 0

    def log(self, what: str, row: dict[str, Any]) -> None:
        """Print a row and append it to the log of `what`."""
        self.out.mkdir(parents=True, exist_ok=True)
        line = json.dumps(row)
        print(what, line, flush=True)
        with (self.out / f"{what}.log.jsonl").open("a", encoding="utf-8") as log:
            log.write(line + "\n")
