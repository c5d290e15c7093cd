"""XLM-RoBERTa with a score head: a question and a passage in, one logit out.

Names follow Hugging Face's ``XLMRobertaForSequenceClassification`` with one label, less the
``roberta.`` prefix.
"""

import mlx.core as mx
import mlx.nn as nn

from mlx_backends.models.encoders.xlm_roberta import XLMRoberta, XLMRobertaConfig


class XLMRobertaCrossEncoder(XLMRoberta):
    """Token ids of a pair to the logit that the second text answers the first."""

    _UNUSED = ("pooler.", "lm_head.")

    def __init__(self, config: XLMRobertaConfig) -> None:
        super().__init__(config)
        self.classifier = _Head(config)

    def __call__(
        self, token_ids: mx.array, mask: mx.array, segments: mx.array | None = None
    ) -> mx.array:
        """Score a padded batch.

        Shapes: as in ``Encoder``. Returns (B,).
        """
        return self.score(super().__call__(token_ids, mask, segments)[:, 0])

    def score(self, first: mx.array) -> mx.array:
        """Scores by the vectors of first tokens.

        Shapes: first (B, D). Returns (B,).
        """
        return self.classifier(first)[:, 0]


class _Head(nn.Module):
    def __init__(self, config: XLMRobertaConfig) -> None:
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.hidden_size)
        self.out_proj = nn.Linear(config.hidden_size, 1)

    def __call__(self, first: mx.array) -> mx.array:
        return self.out_proj(mx.tanh(self.dense(first)))
