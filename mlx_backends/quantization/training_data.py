"""Batches to train on."""

from collections.abc import Callable
from dataclasses import dataclass

import mlx.core as mx
import numpy as np

from mlx_backends.errors import ConfigError


@dataclass(frozen=True, slots=True)
class TrainingBatch:
    """Rows of token ids.

    Attributes:
        ids: (rows, length) int32.
        weights: (rows, length) float32: how much the prediction of each token counts. The first
            token of a row is never predicted.
    """

    ids: mx.array
    weights: mx.array


BatchOf = Callable[[int], TrainingBatch]
"""The batch of a step: the same one whenever it is asked, so that training can be taken up."""


class RowBatches:
    """Batches of equally long rows, all of which count alike, in a new order every epoch.

    Args:
        rows: Token ids, (rows, length).
        batch_size: Rows of a batch; fewer if there are fewer.
        seed: Of the orders.

    Raises:
        ConfigError: Rows are shorter than two tokens.
    """

    def __init__(self, rows: mx.array, batch_size: int, seed: int) -> None:
        if rows.shape[1] < 2:
            raise ConfigError("Training rows need two tokens at least; give longer texts.")
        self._rows = np.array(rows)
        self._batch_size = min(batch_size, len(self._rows))
        self._seed = seed

    def __call__(self, step: int) -> TrainingBatch:
        per_epoch = len(self._rows) // self._batch_size
        epoch, index = divmod(step, per_epoch)
        order = np.random.default_rng((self._seed, epoch)).permutation(len(self._rows))
        chosen = order[index * self._batch_size : (index + 1) * self._batch_size]
        ids = mx.array(self._rows[chosen].astype(np.int32))
        return TrainingBatch(ids, mx.ones(ids.shape, mx.float32))
