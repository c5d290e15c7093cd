"""The chat model (torch): model, batches, evaluation and training loop."""

from mlx_backends.bundled.training.lm.loop import train

__all__ = ["train"]
