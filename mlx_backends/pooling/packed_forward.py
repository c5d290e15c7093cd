"""Batches as C code computes them on a CPU: rows laid end to end, each batch on a thread."""

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from typing import Any

import mlx.core as mx
import numpy as np
from numpy.typing import NDArray

from mlx_backends.models.encoders.encoder import EncoderConfig
from mlx_backends.models.encoders.host_bert import HostBert
from mlx_backends.pooling.batch_model import num_cpu_batches
from mlx_backends.pooling.batch_threads import BatchThreads
from mlx_backends.pooling.batching import TokenRow, check_ids
from mlx_backends.pooling.packed_pool import POOLINGS

Finish = Callable[[mx.array], mx.array]
Ids = NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class PooledEntries:
    """Pooled vectors that a thread computes, finished where they are read."""

    pooled: Future[NDArray[np.float32]]
    finish: Finish

    def result(self) -> NDArray[np.float32]:
        """As in ``Entries``; on the MLX thread."""
        vectors = self.pooled.result()
        with mx.stream(mx.cpu):
            return np.array(self.finish(mx.array(vectors)))


class PackedForward:
    """Lays rows end to end and encodes them, as many batches at once as there are cores.

    Args:
        encoder: Token ids to token vectors.
        pooling: Name of a function of ``packed_pool``.
        finish: Pooled vectors to one entry a row, on the MLX thread.
        config: What ids are checked against.
    """

    def __init__(
        self, encoder: HostBert, pooling: str, finish: Finish, config: EncoderConfig
    ) -> None:
        self._encoder = encoder
        self._pool = POOLINGS[pooling]
        self._finish = finish
        self._config = config
        self.num_streams = num_cpu_batches()
        self._threads = BatchThreads[NDArray[np.float32]](self.num_streams)

    def __call__(
        self, rows: Sequence[TokenRow], segments: Sequence[TokenRow] | None = None
    ) -> PooledEntries:
        """Start a forward pass.

        Raises:
            ModelLoadError: An id or a segment is outside its table.
        """
        lengths = np.array([len(row) for row in rows])
        token_ids = _packed(rows)
        check_ids(token_ids, self._config.vocab_size)
        kinds = None
        if segments is not None:
            kinds = _packed(segments)
            check_ids(kinds, self._config.num_segments)
        job = partial(self._encode, token_ids, kinds, lengths)
        return PooledEntries(self._threads.submit(job), self._finish)

    def launch(self, batches: Sequence[Any]) -> None:
        """As in ``BatchModel``: they are started already."""

    def _encode(self, token_ids: Ids, kinds: Ids | None, lengths: NDArray[Any]) -> NDArray[Any]:
        starts = np.concatenate([[0], np.cumsum(np.maximum(lengths, 1))])
        return self._pool(self._encoder(token_ids, kinds, starts), starts, lengths)


def _packed(rows: Sequence[TokenRow]) -> Ids:
    """All rows in one; an empty one becomes the token 0, because no model takes nothing."""
    return np.concatenate([row if len(row) else [0] for row in rows]).astype(np.int32)
