"""Who holds how much of the process's memory, so that several models fit one limit.

Every model of a worker's thread is made through its budget. One that does not fit beside the others
takes the place of those that nobody uses, the least recently used first; these load again when they
are next needed. If what is in use leaves too little, a typed error says how much would fit.
"""

from collections.abc import Callable
from typing import Protocol, TypeVar
from weakref import WeakKeyDictionary

from mlx_backends.errors import MemoryLimitError

T = TypeVar("T")


class Holder(Protocol):
    """Something that holds a model."""

    @property
    def model_name(self) -> str: ...

    @property
    def is_idle(self) -> bool:
        """Whether nothing waits for its model."""
        ...

    def unload(self) -> None:
        """Free the model; it loads again when it is next needed."""
        ...


class MemoryBudget:
    """The bytes of one worker's models. Used on that worker's thread only."""

    def __init__(self) -> None:
        # In the order of use, the least recently used first. Weak: whoever drops a model without
        # closing it frees it all the same.
        self._bytes: WeakKeyDictionary[Holder, int] = WeakKeyDictionary()

    @property
    def used_bytes(self) -> int:
        return sum(self._bytes.values())

    def fit(
        self,
        holder: Holder,
        limit: int | None,
        make: Callable[[int | None], T],
        size: Callable[[T], int],
    ) -> T:
        """Make a model within the limit.

        Args:
            holder: Whose model it is.
            limit: Bytes that all models may hold; None is no limit.
            make: Makes the model within the bytes that it is given, or raises
                ``MemoryLimitError`` before it allocates.
            size: Bytes that the model holds at most.

        Raises:
            MemoryLimitError: It does not fit beside what is in use.
        """
        while True:
            left = None if limit is None else max(0, limit - self.used_bytes)
            try:
                made = make(left)
            except MemoryLimitError as error:
                idle = next((other for other in self._bytes if other.is_idle), None)
                if idle is None:
                    raise self._refusal(error, limit, left) from error
                self._unload(idle)
            else:
                self._bytes[holder] = size(made)
                return made

    def touch(self, holder: Holder) -> None:
        """Note that a holder's model is used."""
        if holder in self._bytes:
            self._bytes[holder] = self._bytes.pop(holder)

    def release(self, holder: Holder) -> None:
        """Note that a holder's model is gone."""
        self._bytes.pop(holder, None)

    def _unload(self, holder: Holder) -> None:
        holder.unload()
        self.release(holder)

    def _refusal(
        self, error: MemoryLimitError, limit: int | None, left: int | None
    ) -> MemoryLimitError:
        """The error, with what holds the rest of the limit and so what would fit."""
        if not self._bytes or limit is None or left is None:
            return error
        others = ", ".join(f"{h.model_name} ({n:,} bytes)" for h, n in self._bytes.items())
        return MemoryLimitError(
            f"{error} Of the limit of {limit:,} bytes, models in use hold {self.used_bytes:,}: "
            f"{others}. A model of {left:,} bytes would fit beside them."
        )
