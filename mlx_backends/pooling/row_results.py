"""The results of one call, filled batch by batch."""

from collections.abc import Callable

import numpy as np

from mlx_backends.errors import NumericalError
from mlx_backends.pooling.batching import Delivery

OnProgress = Callable[[int, int], None]


class RowResults:
    """Entries in the order of the rows, filled batch by batch."""

    def __init__(
        self, num_rows: int, shape: tuple[int, ...], output: str, on_progress: OnProgress | None
    ) -> None:
        self.array = np.empty((num_rows, *shape), np.float32)
        self._output = output
        self._num_done = 0
        self._on_progress = on_progress

    @property
    def is_complete(self) -> bool:
        return self._num_done == len(self.array)

    def put(self, delivery: Delivery) -> None:
        """Take in a batch's entries, or raise what ended it."""
        if isinstance(delivery, Exception):
            raise delivery
        indexes, values = delivery
        finite = np.isfinite(values).reshape(len(indexes), -1).all(axis=1)
        if not finite.all():
            index = indexes[int(np.argmin(finite))]
            raise NumericalError(
                f"The {self._output}[{index}] has NaN or infinite entries. The weights may be "
                "damaged, or their type too narrow: try dtype='float32'."
            )
        self.array[indexes] = values
        self._num_done += len(indexes)
        if self._on_progress is not None:
            self._on_progress(self._num_done, len(self.array))
