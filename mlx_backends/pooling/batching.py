"""Which texts share a forward pass, and their padded form. Knows no model and no MLX."""

from collections.abc import Sequence, Sized

import numpy as np
from numpy.typing import NDArray

from mlx_backends.errors import ModelLoadError


def plan_batches(lengths: Sequence[int], max_batch_tokens: int) -> list[list[int]]:
    """Group texts of similar length so that little is padded.

    Longest first, so that a batch too large for memory fails at once and not at the end. A text
    longer than the budget goes alone.

    Args:
        lengths: Tokens of every text.
        max_batch_tokens: Budget of a batch: its longest text's tokens times its texts.

    Returns:
        Positions in ``lengths``, each in exactly one batch.
    """
    by_length = sorted(range(len(lengths)), key=lambda index: -lengths[index])
    batches: list[list[int]] = []
    for index in by_length:
        longest = max(1, lengths[batches[-1][0]]) if batches else 0
        if not batches or longest * (len(batches[-1]) + 1) > max_batch_tokens:
            batches.append([])
        batches[-1].append(index)
    return batches


def pad(sequences: Sequence[Sequence[int]]) -> NDArray[np.int32]:
    """Stack token ids, padded with zeros on the right.

    Returns:
        Shape (len(sequences), longest); at least one position wide, because no model takes an
        array without entries.
    """
    longest = max([1, *map(len, sequences)])
    token_ids = np.zeros((len(sequences), longest), np.int32)
    for row, sequence in enumerate(sequences):
        token_ids[row, : len(sequence)] = sequence
    return token_ids


def token_mask(sequences: Sequence[Sized]) -> np.ndarray:
    """True at tokens and False at the padding of ``pad``. Shape as there."""
    longest = max([1, *map(len, sequences)])
    return np.arange(longest) < np.array([len(sequence) for sequence in sequences])[:, None]


def check_ids(token_ids: NDArray[np.int32], vocab_size: int) -> None:
    """Refuse ids outside the vocabulary: MLX reads whatever lies behind the table for them.

    Raises:
        ModelLoadError: The tokenizer and the model do not belong together.
    """
    largest = int(token_ids.max())
    if largest >= vocab_size:
        raise ModelLoadError(
            f"tokenizer.json gives the id {largest:,}, but the model has {vocab_size:,} tokens; "
            "the two files do not belong together."
        )
