"""BERT with a score head: a question and a passage in, one logit out.

Names follow Hugging Face's ``BertForSequenceClassification`` with one label, less the ``bert.``
prefix.

Source: Nogueira and Cho 2019, "Passage re-ranking with BERT", arXiv:1901.04085.
"""

import mlx.core as mx
import mlx.nn as nn

from mlx_backends.models.encoders.bert import Bert, BertConfig


class BertCrossEncoder(Bert):
    """Token ids of a pair to the logit that the second text answers the first."""

    _UNUSED = ("cls.",)

    def __init__(self, config: BertConfig) -> None:
        super().__init__(config)
        self.pooler = _Pooler(config)
        self.classifier = nn.Linear(config.hidden_size, 1)

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
        return self.classifier(self.pooler(first))[:, 0]


class _Pooler(nn.Module):
    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.hidden_size)

    def __call__(self, first: mx.array) -> mx.array:
        return mx.tanh(self.dense(first))
