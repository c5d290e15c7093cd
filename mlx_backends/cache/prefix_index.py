"""Finds the cached block that continues a known prefix.

Full blocks form a tree: a block's parent is the block before it. The key of a block is a digest of
its parent's digest and its tokens, so a lookup costs one hash whatever the prefix's length. A
digest only finds a candidate: tokens and parent are compared as well, which by induction makes a
match exact even if two digests collide.

Source: automatic prefix caching as in vLLM (Kwon et al. 2023, arXiv:2309.06180, section 4.4).
"""

from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from itertools import islice, takewhile
from weakref import WeakValueDictionary

DIGEST_SIZE = 16
# Of the blocks with one parent and first token, the newest few are compared for a partial match.
MAX_CANDIDATES = 8


@dataclass(slots=True, eq=False, weakref_slot=True)
class Node:
    """A full block in the index, or the root of one salt's tree.

    Attributes:
        digest: Key of the tokens from the start to the end of this block.
        parent: The block before it; None for a root and for a dropped node.
        token_ids: The block's tokens.
        block_id: Where their KV entries are.
        is_live: Whether the node is in the index.
    """

    digest: bytes
    parent: "Node | None" = None
    token_ids: tuple[int, ...] = ()
    block_id: int = -1
    is_live: bool = True


class PrefixIndex:
    """The trees of all salts within one namespace.

    Args:
        namespace: Whatever the content of a block depends on besides tokens and salt: model,
            adapter, template, type of the KV entries.
    """

    def __init__(self, namespace: Sequence[str] = ()) -> None:
        self._namespace = tuple(namespace)
        self._roots: WeakValueDictionary[str | None, Node] = WeakValueDictionary()
        self._by_digest: dict[bytes, Node] = {}
        self._by_block: dict[int, Node] = {}
        self._siblings: dict[tuple[bytes, int], dict[Node, None]] = {}

    def __len__(self) -> int:
        return len(self._by_digest)

    def __iter__(self) -> Iterator[Node]:
        return iter(self._by_digest.values())

    def root(self, salt: str | None) -> Node:
        """The root of a salt's tree, which lives as long as something refers to it."""
        root = self._roots.get(salt)
        if root is None:
            root = self._roots[salt] = Node(_root_digest(self._namespace, salt))
        return root

    def at_block(self, block_id: int) -> Node | None:
        return self._by_block.get(block_id)

    def at_digest(self, digest: bytes) -> Node | None:
        return self._by_digest.get(digest)

    def child(self, parent: Node, digest: bytes, token_ids: Sequence[int]) -> Node | None:
        """The block that holds exactly these tokens after this parent."""
        found = self.descend(parent, [digest], token_ids)
        return found[0] if found else None

    def descend(self, node: Node, digests: Sequence[bytes], token_ids: Sequence[int]) -> list[Node]:
        """As many blocks after a node as are there, in order.

        A first token waits for this, so it is one loop.

        Args:
            node: Where to start.
            digests: Keys of the blocks that come next.
            token_ids: Their tokens.
        """
        tokens, size = tuple(token_ids), len(token_ids) // max(len(digests), 1)
        found: list[Node] = []
        start, find = 0, self._by_digest.get
        for digest in digests:
            child = find(digest)
            stop = start + size
            if child is None or child.parent is not node or child.token_ids != tokens[start:stop]:
                break
            found.append(child)
            node, start = child, stop
        return found

    def closest_child(self, parent: Node, token_ids: Sequence[int]) -> tuple[Node, int] | None:
        """A block after this parent that begins like the tokens, and how many they share."""
        siblings = self._siblings.get((parent.digest, token_ids[0]), {})
        newest = islice(reversed(siblings), MAX_CANDIDATES)
        shared = [(_num_shared(n.token_ids, token_ids), n) for n in newest if n.parent is parent]
        if not shared:
            return None
        count, node = max(shared, key=lambda pair: pair[0])
        return node, count

    def insert(self, parent: Node, digest: bytes, token_ids: Sequence[int], block_id: int) -> Node:
        """Add a block. Neither its digest nor its block may be in the index."""
        assert parent.is_live, "a block after a dropped one could not be found"
        assert digest not in self._by_digest, "the digest is in the index"
        assert block_id not in self._by_block, f"block {block_id} is in the index"
        node = Node(digest, parent, tuple(token_ids), block_id)
        self._by_digest[digest] = self._by_block[block_id] = node
        self._siblings.setdefault((parent.digest, node.token_ids[0]), {})[node] = None
        return node

    def drop(self, block_id: int) -> None:
        """Remove a block. Blocks after it can no longer be found, and age."""
        node = self._by_block.pop(block_id)
        del self._by_digest[node.digest]
        assert node.parent is not None, "a node in the index has a parent"
        key = (node.parent.digest, node.token_ids[0])
        del self._siblings[key][node]
        if not self._siblings[key]:
            del self._siblings[key]
        node.is_live = False
        # A node must not keep the chain of its ancestors alive once nobody can reach it.
        node.parent = None

    def check_integrity(self) -> None:
        """Assert that digests, parents and the three tables agree; O(nodes)."""
        assert len(self._by_block) == len(self._by_digest), "a node is in one table only"
        assert sum(map(len, self._siblings.values())) == len(self), "the siblings are stale"
        for digest, node in self._by_digest.items():
            assert node.is_live, f"a dropped node of block {node.block_id} is in the index"
            assert self._by_block[node.block_id] is node, f"block {node.block_id} has two nodes"
            assert node.parent is not None, f"block {node.block_id} has no parent"
            assert digest == node.digest == chain_digest(node.parent.digest, node.token_ids)
            assert node in self._siblings[node.parent.digest, node.token_ids[0]]


def chain_digest(parent_digest: bytes, token_ids: Sequence[int]) -> bytes:
    """Key of a block by its parent's key and its own tokens."""
    (digest,) = chain_digests(parent_digest, token_ids, len(token_ids))
    return digest


def chain_digests(parent_digest: bytes, token_ids: Sequence[int], block_size: int) -> list[bytes]:
    """Keys of the full blocks that follow a parent, each by the key before it and its tokens."""
    words = array("I", token_ids)
    data, size = words.tobytes(), words.itemsize * block_size
    digests, parent = [], parent_digest
    for start in range(0, len(data) - size + 1, size):
        parent = blake2b(parent + data[start : start + size], digest_size=DIGEST_SIZE).digest()
        digests.append(parent)
    return digests


def _root_digest(namespace: Sequence[str], salt: str | None) -> bytes:
    # repr quotes, so that no two tuples of strings read the same.
    return blake2b(repr((*namespace, salt)).encode(), digest_size=DIGEST_SIZE).digest()


def _num_shared(left: Sequence[int], right: Sequence[int]) -> int:
    pairs = zip(left, right, strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
