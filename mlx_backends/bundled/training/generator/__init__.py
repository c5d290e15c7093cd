"""Conversations for training and evaluation, from facts and real prose.

Standard library only. Every answer is known by construction: a span of one passage, or the refusal.
"""

from mlx_backends.bundled.training.generator.corpus import Corpus
from mlx_backends.bundled.training.generator.generator import Generator
from mlx_backends.bundled.training.generator.items import (
    Context,
    Conversation,
    Item,
    answer_text,
)
from mlx_backends.bundled.training.generator.tools import NO_TOOL

__all__ = ["NO_TOOL", "Context", "Conversation", "Corpus", "Generator", "Item", "answer_text"]
