"""What encoders that are mlx-lm's decoders without their heads need to know of ``config.json``."""

from dataclasses import dataclass
from typing import Generic, TypeVar

Args = TypeVar("Args")

# Entries that are positive integers within their bounds.
SIZES = (
    "vocab_size",
    "hidden_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
    "head_dim",
    "intermediate_size",
    "max_position_embeddings",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class DecoderConfig(Generic[Args]):
    """What is checked of ``config.json``, and mlx-lm's reading of it.

    Attributes:
        vocab_size: Rows of the token table; every token id is below it.
        hidden_size: Length of a token's vector.
        max_length: Longest text, in tokens.
        args: Shape of the model, for mlx-lm.
    """

    vocab_size: int
    hidden_size: int
    max_length: int
    args: Args

    @property
    def num_segments(self) -> int:
        return 1
