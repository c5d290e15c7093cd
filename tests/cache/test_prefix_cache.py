"""What is found, what is not, and what it costs. Tokens are small integers, blocks hold four."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlx_backends.cache import prefix_cache, prefix_index
from mlx_backends.cache.block_table import BlockTable
from mlx_backends.cache.prefix_cache import BlockCopy, PrefixCache


def cache_of(num_blocks=16, **options):
    return PrefixCache(num_blocks, block_size=4, **options)


def compute(cache, tokens, salt=None):
    """A sequence that computes all of its tokens; returns its table and what it found."""
    table = BlockTable(salt)
    match = cache.match(table, tokens)
    assert cache.reserve(table, len(tokens))
    cache.register(table, tokens, len(tokens))
    return table, match


def serve(cache, tokens, salt=None, others=()):
    """As ``compute``, and gives the blocks back; returns the tokens found."""
    table, match = compute(cache, tokens, salt)
    cache.release(table)
    cache.check_integrity(others)
    return match.num_tokens


def test_a_prefix_is_shared_without_a_copy():
    cache = cache_of()
    first, _ = compute(cache, list(range(12)))
    second, match = compute(cache, [*range(8), 90, 91, 92])
    assert match.num_tokens == 8
    assert match.copy is None
    assert second.block_ids[:2] == first.block_ids[:2]
    assert second.block_ids[2] != first.block_ids[2]
    cache.check_integrity([first, second])


def test_the_last_token_is_always_left_to_compute():
    cache = cache_of()
    first, _ = compute(cache, list(range(8)))
    second, match = compute(cache, list(range(8)))
    assert match.num_tokens == 7
    assert match.copy == BlockCopy(source=first.block_ids[1], target=second.block_ids[1])
    cache.check_integrity([first, second])


@pytest.mark.parametrize(("num_alike", "num_found"), [(1, 4), (2, 6), (3, 7), (4, 8)])
def test_a_block_that_agrees_in_part_is_copied_if_that_pays(num_alike, num_found):
    cache = cache_of()
    serve(cache, list(range(12)))
    prompt = [*range(4 + num_alike), 90, 91, 92, 93, 94]
    table, match = compute(cache, prompt)
    assert match.num_tokens == num_found
    assert (match.copy is not None) == (num_alike in (2, 3))
    cache.check_integrity([table])


def test_the_copy_is_of_the_block_that_agrees_most():
    cache = cache_of()
    tables = [compute(cache, [1, 2, *end])[0] for end in ([7, 7], [3, 7], [7, 3])]
    _, match = compute(cache, [1, 2, 3, 4, 5])
    assert match.num_tokens == 3
    assert match.copy.source == tables[1].block_ids[0]


def test_a_copy_may_not_evict_its_own_source():
    cache = cache_of(num_blocks=3)
    serve(cache, [1, 2, 3, 4])
    others, _ = compute(cache, [9] * 8)
    table = BlockTable()
    match = cache.match(table, [1, 2, 3, 5, 6])
    assert match.num_tokens == 0
    assert table.block_ids == []
    cache.check_integrity([others, table])
    cache.release(others)
    assert serve(cache, [1, 2, 3, 4, 5]) == 4


def test_salts_and_namespaces_do_not_meet():
    cache = cache_of()
    prompt = list(range(9))
    assert serve(cache, prompt, "a") == 0
    assert serve(cache, prompt, "b") == 0
    assert serve(cache, prompt) == 0
    assert serve(cache, prompt, "a") == 8
    roots = [
        prefix_index.PrefixIndex(namespace).root(salt).digest
        for namespace, salt in [(("m", "k"), None), (("mk",), None), (("m",), "k"), ((), None)]
    ]
    assert len(set(roots)) == len(roots)


def test_switched_off_nothing_is_found_or_kept():
    cache = cache_of(prefix_caching=False)
    assert serve(cache, list(range(9))) == 0
    assert serve(cache, list(range(9))) == 0
    assert cache.num_cached == 0


def test_the_end_of_the_least_recent_prompt_is_evicted_first():
    cache = cache_of(num_blocks=4)
    serve(cache, [1] * 8)
    serve(cache, [2] * 8)
    serve(cache, [3] * 4)
    assert cache.num_cached == 4  # the second block of the first prompt is gone
    probe = BlockTable()
    assert cache.match(probe, [1] * 9).num_tokens == 4


def test_tokens_are_compared_even_if_all_digests_collide(monkeypatch):
    def same(parent: bytes, token_ids, block_size: int) -> list[bytes]:
        return [b"same"] * (len(token_ids) // block_size)

    for module in (prefix_cache, prefix_index):
        monkeypatch.setattr(module, "chain_digests", same)
    cache = cache_of()
    assert serve(cache, [1] * 5) == 0
    assert serve(cache, [2] * 5) == 0
    assert serve(cache, [1] * 5) == 4
    assert serve(cache, [2] * 5) == 0  # the first has the only digest there is
    # The same tokens after another parent: the digest and the tokens agree, the parent does not.
    assert serve(cache, [3, 3, 3, 3, 1, 1, 1, 1, 1]) == 0


def test_a_child_has_the_digest_the_tokens_and_the_parent():
    """Each of the three alone is not enough: digests may collide, tokens repeat."""
    index = prefix_index.PrefixIndex()
    root, other = index.root(None), index.root("salt")
    node = index.insert(root, b"digest", [1, 2, 3, 4], block_id=0)
    assert index.child(root, b"digest", [1, 2, 3, 4]) is node
    assert index.child(other, b"digest", [1, 2, 3, 4]) is None
    assert index.child(root, b"digest", [1, 2, 3, 5]) is None
    assert index.child(root, b"other", [1, 2, 3, 4]) is None


def test_a_copy_is_of_a_child_of_the_same_parent_even_if_digests_collide():
    index = prefix_index.PrefixIndex()
    twin_of_root = prefix_index.Node(index.root(None).digest)
    node = index.insert(index.root(None), b"digest", [1, 2, 3, 4], block_id=0)
    assert index.closest_child(index.root(None), [1, 2, 3, 9]) == (node, 3)
    assert index.closest_child(twin_of_root, [1, 2, 3, 9]) is None
    assert index.closest_child(index.root(None), [2, 2, 3, 4]) is None


def test_a_table_depends_on_who_wrote_its_blocks():
    cache = cache_of()
    writer, _ = compute(cache, list(range(8)))
    sharer, _ = compute(cache, [*range(8), 20, 21])
    copier, match = compute(cache, [0, 1, 2, 30, 31])
    stranger, _ = compute(cache, [40] * 8)
    assert match.copy is not None
    assert sharer.depends_on(writer)
    assert copier.depends_on(writer)
    assert not stranger.depends_on(writer)
    assert not writer.depends_on(sharer)
    assert not copier.depends_on(sharer)
    cache.release(sharer)
    assert not sharer.depends_on(writer)
    cache.check_integrity([writer, copier, stranger])


def test_tainted_blocks_are_found_by_nobody():
    cache = cache_of()
    sound, _ = compute(cache, list(range(8)))
    tainted, _ = compute(cache, [*range(8), 8, 9, 10, 11, 12])
    cache.release(tainted, is_tainted=True)
    cache.check_integrity([sound])
    assert serve(cache, [*range(8), 8, 9], others=[sound]) == 0
    cache.register(sound, list(range(8)), 8)
    cache.release(sound)
    cache.check_integrity([])


def test_a_block_whose_parent_is_gone_gives_way_to_its_twin():
    cache = cache_of(num_blocks=4)
    prefix, ends = [1] * 4, ([2] * 4, [3] * 4)
    twins = [BlockTable(), BlockTable()]
    for table in twins:  # both compute the prefix before either has registered it
        assert cache.reserve(table, 8)
    for table, end in zip(twins, ends, strict=True):
        cache.register(table, prefix + end, 8)
    cache.release(twins[0])  # the prefix that the second one's end stands on
    filler, _ = compute(cache, [9] * 8)
    cache.check_integrity([twins[1], filler])
    cache.release(filler)
    cache.release(twins[1])
    assert serve(cache, prefix + ends[1] + [5]) == 0
    assert serve(cache, prefix + ends[1] + [5]) == 8


def test_a_long_chain_is_dropped_without_recursion():
    cache = PrefixCache(20_000, block_size=1)
    table, _ = compute(cache, list(range(20_000)))
    cache.release(table)
    filler = BlockTable()
    assert cache.reserve(filler, 20_000)
    assert cache.num_cached == 0
    cache.check_integrity([filler])


def test_what_running_sequences_hold_costs_a_newcomer_nothing():
    cache = cache_of(num_blocks=4)
    holder, _ = compute(cache, list(range(8)))
    assert cache.num_missing(BlockTable(), [*range(8), 50], 12) == 1
    cache.release(holder)
    assert cache.num_missing(BlockTable(), [*range(8), 50], 12) == 3


def test_reserve_takes_all_or_nothing():
    cache = cache_of(num_blocks=3)
    table = BlockTable()
    assert not cache.reserve(table, 13)
    assert (table.block_ids, cache.num_available) == ([], 3)
    assert cache.reserve(table, 12)
    assert cache.num_available == 0


prompts = st.lists(st.lists(st.integers(0, 1), min_size=1, max_size=24), max_size=20)


@given(prompts)
def test_a_match_is_the_longest_common_prefix_of_full_blocks(prompts):
    """Against the naive specification: compare with every prompt served, while none is evicted."""
    cache = cache_of(num_blocks=200)
    served = []
    for prompt in prompts:
        table, match = compute(cache, prompt)
        num_shared = max((_num_shared(prompt, other) for other in served), default=0)
        num_blocks_shared = min(num_shared, len(prompt) - 1) // 4
        num_whole = match.num_tokens if match.copy is None else match.num_tokens // 4 * 4
        assert num_whole == num_blocks_shared * 4
        served.append(prompt[: len(prompt) // 4 * 4])
        cache.release(table)
        cache.check_integrity([])


def _num_shared(left, right):
    count = 0
    while count < min(len(left), len(right)) and left[count] == right[count]:
        count += 1
    return count
