"""Qwen3-Reranker: a language model that is asked whether a document answers a query.

Its score is the logit of "yes" less that of "no", whose sigmoid is the probability of "yes" among
the two.

Source: Zhang et al. 2025, "Qwen3 Embedding", arXiv:2506.05176.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import mlx.core as mx
import mlx.nn as nn

from mlx_backends.models.encoders.qwen3 import Qwen3, Qwen3Config


@dataclass(frozen=True, slots=True, kw_only=True)
class Qwen3RerankerConfig(Qwen3Config):
    """As ``Qwen3Config``.

    Attributes:
        no_id, yes_id: Tokens of the two answers, which the tokenizer knows.
    """

    no_id: int = 0
    yes_id: int = 1

    @classmethod
    def from_dict(cls, config: Mapping[str, Any]) -> Self:
        """As in ``EncoderConfig``; the answers' tokens are still to be filled in."""
        return super(Qwen3RerankerConfig, cls).from_dict(config)


class Qwen3Reranker(Qwen3):
    """Token ids of a prompt to the logit that its answer is yes."""

    _UNUSED = ()

    def __init__(self, config: Qwen3RerankerConfig) -> None:
        super().__init__(config)
        self._answers = (config.no_id, config.yes_id)
        if not config.args.tie_word_embeddings:
            self.lm_head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)

    def __call__(
        self, token_ids: mx.array, mask: mx.array, segments: mx.array | None = None
    ) -> mx.array:
        """Score a padded batch.

        Shapes: as in ``Encoder``. Returns (B,).
        """
        hidden = super().__call__(token_ids, mask)
        last = mask.astype(mx.int32).sum(axis=1) - 1
        hidden = mx.take_along_axis(hidden, last[:, None, None], axis=1)[:, 0]
        is_tied = "lm_head" not in self
        logits = self.model.embed_tokens.as_linear(hidden) if is_tied else self.lm_head(hidden)
        no, yes = self._answers
        return logits[:, yes] - logits[:, no]
