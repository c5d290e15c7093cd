"""Tools as people write them for a first try: sums, functions of a number, look-ups, texts to order."""

from mlx_backends.bundled.training.generator.everyday.tool import EverydayTool

__all__ = ["EverydayTool"]
