"""How quantization-aware training runs: validated once. Imports no MLX."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from mlx_backends.errors import ConfigError

Loss = Literal["distillation", "data"]
Scope = Literal["full", "lora"]
Start = Literal["gptq", "weights"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingConfig:
    """What is trained, on what loss, and for how long.

    Attributes:
        steps: Steps in all, those before a resumption included.
        batch_size: Rows of a step.
        sequence_length: Tokens a row, where texts are cut into rows.
        learning_rate: Peak; a warm-up leads to it, and it falls to zero at the end.
        loss: ``distillation`` follows the model's own unrounded outputs; ``data`` the next token.
        scope: ``full`` trains every weight; ``lora`` only low-rank additions to linear layers,
            which are merged at the end.
        lora_rank: Of these additions.
        start: ``gptq`` begins with the weights as GPTQ rounds them, ``weights`` with the model's.
        gradient_checkpointing: Compute each layer twice instead of keeping what is inside.
        checkpoint: File that the state is saved to, and taken up from if it is there.
        checkpoint_every: Steps between two saves; one more follows the last step.
        seed: Of the order of the data.

    Raises:
        ConfigError: A value is out of its range.
    """

    steps: int = 200
    batch_size: int = 8
    sequence_length: int = 512
    learning_rate: float = 2e-4
    loss: Loss = "distillation"
    scope: Scope = "full"
    lora_rank: int = 16
    start: Start = "gptq"
    gradient_checkpointing: bool = False
    checkpoint: str | os.PathLike[str] | None = None
    checkpoint_every: int = 100
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("steps", "batch_size", "sequence_length", "lora_rank", "checkpoint_every"):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise ConfigError(f"{name} must be an integer of at least 1; got {value!r:.80}.")
        if self.loss not in ("distillation", "data"):
            raise ConfigError(f"loss must be distillation or data; got {self.loss!r:.80}.")
        if self.scope not in ("full", "lora"):
            raise ConfigError(f"scope must be full or lora; got {self.scope!r:.80}.")
        if self.start not in ("gptq", "weights"):
            raise ConfigError(f"start must be gptq or weights; got {self.start!r:.80}.")
        if not 0 < self.learning_rate < 1:
            raise ConfigError(f"learning_rate must lie in (0, 1); got {self.learning_rate!r:.80}.")

    @property
    def checkpoint_path(self) -> Path | None:
        return None if self.checkpoint is None else Path(self.checkpoint)

    def rate_at(self, step: int) -> float:
        """Learning rate of a step: linear warm-up over 5%, then linear decay."""
        warm_up = max(1, self.steps // 20)
        return self.learning_rate * schedule((step + 1) / warm_up, step / self.steps)


def schedule(warmth: float, progress: float) -> float:
    """Factor of the rate: up to 1 as ``warmth`` reaches 1, down to 0 as ``progress`` does."""
    return min(1.0, warmth) * min(1.0, max(0.0, 1.0 - progress) / 0.8)
