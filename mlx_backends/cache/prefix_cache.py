"""Gives sequences their blocks, and gives them blocks that others have computed where it can.

The scheduler asks before each step; nothing here touches an array. Prefixes are shared in whole
blocks without a copy. Where the next block agrees only in part, it is copied (copy-on-write) and
the rest computed.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from mlx_backends.cache.block_pool import BlockPool
from mlx_backends.cache.block_table import BlockTable
from mlx_backends.cache.prefix_index import Node, PrefixIndex, chain_digests


@dataclass(frozen=True, slots=True)
class BlockCopy:
    """Copy the KV entries of a whole block, in every layer, before anything else in the step."""

    source: int
    target: int


@dataclass(frozen=True, slots=True)
class PrefixMatch:
    """What a table gained from the cache.

    Attributes:
        num_tokens: Tokens whose KV entries need not be computed.
        copy: The copy to make for it, if a block agreed only in part.
    """

    num_tokens: int
    copy: BlockCopy | None = None


class PrefixCache:
    """Blocks of one KV pool, with reuse of prefixes.

    Args:
        num_blocks: Blocks in the pool that sequences may use.
        block_size: Tokens a block holds.
        prefix_caching: Whether computed blocks are kept and found again.
        namespace: What KV entries depend on besides tokens and salt.
    """

    def __init__(
        self,
        num_blocks: int,
        block_size: int,
        *,
        prefix_caching: bool = True,
        namespace: Sequence[str] = (),
    ) -> None:
        self.num_blocks = num_blocks
        self.block_size = block_size
        self.prefix_caching = prefix_caching
        self._index = PrefixIndex(namespace)
        self._pool = BlockPool(num_blocks, on_evict=self._index.drop)
        # A copy is a launch a layer; for fewer tokens than this, computing them is cheaper.
        self._min_copied_tokens = max(1, block_size // 2)

    @property
    def num_available(self) -> int:
        """Blocks that can be had now, cached ones that nobody uses included."""
        return self._pool.num_available

    @property
    def num_in_use(self) -> int:
        return self._pool.num_in_use

    @property
    def num_cached(self) -> int:
        """Blocks that can be found by a prefix, in use or not."""
        return len(self._index)

    def num_blocks_for(self, num_tokens: int) -> int:
        return -(-num_tokens // self.block_size)

    def num_missing(self, table: BlockTable, token_ids: Sequence[int], num_tokens: int) -> int:
        """Available blocks that an empty table would use up to hold ``num_tokens`` tokens.

        Blocks that it would share with running sequences cost nothing.
        """
        shared = sum(self._pool.is_in_use(n.block_id) for n in self._matching(table, token_ids))
        return self.num_blocks_for(num_tokens) - shared

    def missing_keys(
        self, table: BlockTable, token_ids: Sequence[int], num_tokens: int
    ) -> list[bytes]:
        """Keys of the full blocks that follow what is cached, those of so many tokens."""
        if not self.prefix_caching:
            return []
        first = table.num_registered
        if first == len(table.block_ids):
            first += len(self._matching(table, token_ids))
        stop = min(first + self.num_blocks_for(num_tokens), len(token_ids) // self.block_size)
        return [self._digest(table, token_ids, position) for position in range(first, stop)]

    def match(self, table: BlockTable, token_ids: Sequence[int]) -> PrefixMatch:
        """Continue a table with cached blocks, the sequence's last token always left to compute.

        Does nothing unless all blocks of the table are full and registered.
        """
        if not self.prefix_caching or table.num_registered < len(table.block_ids):
            return PrefixMatch(0)
        nodes = self._matching(table, token_ids)
        shared = [node.block_id for node in nodes]
        self._pool.share(shared)
        table.block_ids += shared
        table.node = nodes[-1] if nodes else table.node
        table.num_registered = len(table.block_ids)
        num_tokens = len(nodes) * self.block_size
        copy, num_copied = self._copy_partial(table, token_ids)
        return PrefixMatch(num_tokens + num_copied, copy)

    def reserve(self, table: BlockTable, num_tokens: int, *, room: int = 0) -> bool:
        """Give a table the blocks for ``num_tokens`` tokens; False, and nothing, if there are none.

        Args:
            table: The table to extend.
            num_tokens: Tokens that it must be able to hold.
            room: Tokens that it will need to hold, as far as that is known.
        """
        count = self.num_blocks_for(num_tokens) - len(table.block_ids)
        if count <= 0:
            return True
        if count > self._pool.num_available:
            return False
        room = max(count, self.num_blocks_for(room) - len(table.block_ids))
        table.append(self._pool.allocate(count, after=table.last_block_id, room=room))
        return True

    def register(self, table: BlockTable, token_ids: Sequence[int], num_computed: int) -> None:
        """Let others find the table's full blocks among the first ``num_computed`` tokens."""
        if not self.prefix_caching:
            return
        num_full = min(num_computed, len(token_ids)) // self.block_size
        while table.num_registered < num_full:
            node = self._enter(table, token_ids, table.num_registered)
            if node is None:
                return
            table.node = node
            table.num_registered += 1

    def release(self, table: BlockTable, *, is_tainted: bool = False) -> None:
        """Take a table's blocks back. Those it registered stay findable until they are evicted.

        Args:
            table: Empty afterwards.
            is_tainted: Their content cannot be trusted: nobody may find them again.
        """
        if is_tainted:
            for block_id in table.block_ids:
                self._drop(block_id)
        # The end of a prefix serves fewer prompts than its beginning, so it goes first.
        self._pool.release(reversed(table.block_ids))
        table.clear()

    def check_integrity(self, tables: Iterable[BlockTable]) -> None:
        """Assert every invariant of pool and index, given all tables there are; O(blocks)."""
        self._pool.check_integrity()
        self._index.check_integrity()
        assert {node.block_id for node in self._index} == self._pool.kept()
        references = [0] * self.num_blocks
        for table in tables:
            assert len(set(table.block_ids)) == len(table.block_ids), "a block is twice in a table"
            assert table.num_registered <= len(table.block_ids)
            assert table.written_ids.issubset(table.block_ids), "a table wrote to a block it lost"
            for block_id in table.block_ids:
                references[block_id] += 1
            for block_id in table.block_ids[table.num_registered :]:
                assert self._index.at_block(block_id) is None, f"block {block_id} is found too soon"
        for block_id, count in enumerate(references):
            held = self._pool.ref_count(block_id)
            assert held == count, f"block {block_id}: {held} references for {count} tables"
            assert count <= 1 or self.prefix_caching, f"block {block_id} has {count} writers"

    def _matching(self, table: BlockTable, token_ids: Sequence[int]) -> list[Node]:
        """The cached blocks that continue the table, short of the last token."""
        if not self.prefix_caching:
            return []
        first, size = len(table.block_ids), self.block_size
        stop = (len(token_ids) - 1) // size
        if first >= stop:
            return []
        self._digest(table, token_ids, stop - 1)  # fills in those before it
        digests = table.digests[first:stop]
        return self._index.descend(
            self._node(table), digests, token_ids[first * size : stop * size]
        )

    def _copy_partial(
        self, table: BlockTable, token_ids: Sequence[int]
    ) -> tuple[BlockCopy | None, int]:
        """Start the next block with a copy of one that begins alike; returns it and its tokens."""
        start = len(table.block_ids) * self.block_size
        rest = token_ids[start : min(start + self.block_size, len(token_ids) - 1)]
        closest = self._index.closest_child(self._node(table), rest) if rest else None
        if closest is None or closest[1] < self._min_copied_tokens or not self.num_available:
            return None, 0
        node, num_tokens = closest
        source = node.block_id
        self._pool.share([source])  # so that it is not evicted to make room for its own copy
        target = self._allocate_beside(table)
        self._pool.release([source])
        if target is None:
            return None, 0
        table.copied_ids.add(source)
        return BlockCopy(source, target), num_tokens

    def _allocate_beside(self, table: BlockTable) -> int | None:
        if not self.num_available:
            return None
        (block_id,) = self._pool.allocate(1, after=table.last_block_id)
        table.append([block_id])
        return block_id

    def _enter(self, table: BlockTable, token_ids: Sequence[int], position: int) -> Node | None:
        """Enter a block into the index, or find the twin that was there before.

        None if it could not be found there: its parent is gone, or its digest is taken.
        """
        parent = self._node(table)
        if not parent.is_live:
            return None
        digest = self._digest(table, token_ids, position)
        tokens = self._tokens_of(token_ids, position)
        twin = self._index.child(parent, digest, tokens)
        if twin is not None:
            return twin
        taken = self._index.at_digest(digest)
        if taken is not None:
            if taken.parent is None or taken.parent.is_live:
                return None  # two digests collide
            self._drop(taken.block_id)  # a twin that lost its parent
        block_id = table.block_ids[position]
        self._pool.keep(block_id)
        return self._index.insert(parent, digest, tokens, block_id)

    def _drop(self, block_id: int) -> None:
        if self._index.at_block(block_id) is not None:
            self._index.drop(block_id)
            self._pool.forget(block_id)

    def _node(self, table: BlockTable) -> Node:
        if table.node is None:
            table.node = self._index.root(table.salt)
        return table.node

    def _tokens_of(self, token_ids: Sequence[int], position: int) -> tuple[int, ...]:
        start = position * self.block_size
        return tuple(token_ids[start : start + self.block_size])

    def _digest(self, table: BlockTable, token_ids: Sequence[int], position: int) -> bytes:
        """Key of the sequence's block at a position; each is computed once a sequence.

        The first call computes those of all full blocks, which are needed soon: a prompt is looked
        up as a whole.
        """
        digests = table.digests
        if len(digests) <= position:
            first = len(digests)
            parent = digests[-1] if digests else self._index.root(table.salt).digest
            stop = len(token_ids) - len(token_ids) % self.block_size
            rest = token_ids[first * self.block_size : stop]
            digests += chain_digests(parent, rest, self.block_size)
        return digests[position]
