"""XLM-RoBERTa and RoBERTa: BERT whose positions begin after the padding's id.

Source: Conneau et al. 2019, arXiv:1911.02116; Liu et al. 2019, arXiv:1907.11692.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from mlx_backends.errors import ModelLoadError
from mlx_backends.models.encoders.bert import Bert, BertConfig
from mlx_backends.models.encoders.config_values import require_index


@dataclass(frozen=True, slots=True, kw_only=True)
class XLMRobertaConfig(BertConfig):
    """As ``BertConfig``.

    Attributes:
        pad_token_id: The first token's position is the one after it.
    """

    pad_token_id: int

    @property
    def max_length(self) -> int:
        return self.max_position_embeddings - self.pad_token_id - 1

    @classmethod
    def from_dict(cls, config: Mapping[str, Any]) -> Self:
        """As in ``EncoderConfig``."""
        padding = config.get("pad_token_id", 1)
        require_index("pad_token_id", padding)
        config = {"layer_norm_eps": 1e-5, **config}
        values = cls(**cls._checked(config), pad_token_id=padding)
        if values.max_length < 1:
            raise ModelLoadError(
                f"config.json has {values.max_position_embeddings} positions, none of them behind "
                f"pad_token_id {padding}."
            )
        return values


class XLMRoberta(Bert):
    """Token ids to contextual token vectors."""

    _PREFIX = "roberta."
    _UNUSED = ("pooler.", "lm_head.", "classifier.")
