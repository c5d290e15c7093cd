"""Contexts as retrieval over documentation delivers them: pages, cut by the real splitter.

Pages are those of invented projects, or real prose with its headings. Every answer is a span of one
passage. Some subjects and some frames of questions are kept for evaluation.
"""

from mlx_backends.bundled.training.generator.documentation.contexts import Documentation

__all__ = ["Documentation"]
