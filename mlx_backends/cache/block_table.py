"""The blocks of one sequence, in the order of its tokens."""

from dataclasses import dataclass, field

from mlx_backends.cache.prefix_index import Node


@dataclass(slots=True, eq=False)
class BlockTable:
    """What a sequence holds of the pool, and where it stands in the prefix index.

    Attributes:
        salt: Blocks are shared between tables of the same salt only.
        block_ids: Block ``i`` holds the tokens from ``i * block_size`` on.
        written_ids: Those of them that were given to this table, and not found in the cache.
        copied_ids: Blocks of others that written ones began as copies of.
        num_registered: How many blocks, from the first on, are known to the index.
        node: The index's entry for the last of those; None if there is none yet.
        digests: Keys of the sequence's full blocks, as far as they were needed.
    """

    salt: str | None = None
    block_ids: list[int] = field(default_factory=list)
    written_ids: set[int] = field(default_factory=set)
    copied_ids: set[int] = field(default_factory=set)
    num_registered: int = 0
    node: Node | None = None
    digests: list[bytes] = field(default_factory=list)

    @property
    def last_block_id(self) -> int | None:
        return self.block_ids[-1] if self.block_ids else None

    def append(self, block_ids: list[int]) -> None:
        """Add blocks that only this table may write to."""
        self.block_ids += block_ids
        self.written_ids.update(block_ids)

    def clear(self) -> None:
        """Forget all blocks; what the tokens hash to stays."""
        self.block_ids.clear()
        self.written_ids.clear()
        self.copied_ids.clear()
        self.num_registered = 0
        self.node = None

    def depends_on(self, other: "BlockTable") -> bool:
        """Whether a block here is, or began as a copy of, one that the other table wrote.

        True at times for a copy whose source has changed hands since.
        """
        return not other.written_ids.isdisjoint(self.copied_ids.union(self.block_ids))
