"""What every encoder architecture offers to the code that loads and runs it."""

from collections.abc import Mapping
from typing import Any, ClassVar, Protocol, Self

import mlx.core as mx
import mlx.nn as nn


class EncoderConfig(Protocol):
    """The part of ``config.json`` that callers of an encoder need.

    Attributes:
        vocab_size: Rows of the token table; every token id is below it.
        hidden_size: Length of a token's vector.
        num_segments: Rows of the segment table; every segment is below it.
        max_length: Longest text that the model has positions for, in tokens.
    """

    @property
    def vocab_size(self) -> int: ...

    @property
    def hidden_size(self) -> int: ...

    @property
    def num_segments(self) -> int: ...

    @property
    def max_length(self) -> int: ...

    @classmethod
    def from_dict(cls, config: Mapping[str, Any]) -> Self:
        """Check the values of a ``config.json`` against hard bounds.

        Raises:
            ModelLoadError: A value is missing, has the wrong type or is out of bounds.
            UnsupportedModelError: A value asks for something that is not implemented.
        """
        ...


class Encoder(nn.Module):
    """Token ids to contextual token vectors.

    Module names follow Hugging Face's weight names, so that a checkpoint loads without a table.
    """

    # Prefix of the weights of models that were saved with a head, and weights that are not read.
    _PREFIX: ClassVar[str] = ""
    _UNUSED: ClassVar[tuple[str, ...]] = ()

    def __init__(self, config: Any) -> None:
        super().__init__()

    def __call__(
        self, token_ids: mx.array, mask: mx.array, segments: mx.array | None = None
    ) -> mx.array:
        """Encode a padded batch.

        Shapes: token_ids (B, L) integers, each inside the vocabulary; mask (B, L) booleans, True
            at tokens and False at padding, which is on the right; segments (B, L) integers, the
            text of a pair that a token is of, None for 0. Returns (B, L, D); rows at padding mean
            nothing but are finite.
        """
        raise NotImplementedError

    @classmethod
    def sanitize(cls, weights: Mapping[str, mx.array]) -> dict[str, mx.array]:
        """Keep the weights that this model has, under its names."""
        named = {name.removeprefix(cls._PREFIX): array for name, array in weights.items()}
        return {
            name: array
            for name, array in named.items()
            if not name.startswith(cls._UNUSED) and not name.endswith("position_ids")
        }
