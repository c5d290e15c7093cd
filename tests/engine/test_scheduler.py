"""The scheduler with a pool of blocks and a fake device, under random loads.

The device keeps one number a slot, a hash of all tokens up to it. A next token depends on the whole
context as read through the block table, so that one slot written by the wrong sequence, shared by
mistake or reused too early changes what a sequence generates.
"""

from collections import Counter, deque
from zlib import crc32

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from mlx_backends.cache.prefix_cache import PrefixCache
from mlx_backends.core import Request, SamplingParams
from mlx_backends.engine.handle import OutputChannel
from mlx_backends.engine.scheduler import Scheduler
from mlx_backends.engine.sequence import Sequence
from mlx_backends.engine.step import Step

EOS = 0
VOCAB_SIZE = 23
WRONG = VOCAB_SIZE  # a token that no model gives


def make_sequence(name="s", prompt=(1, 2, 3), max_tokens=8, priority=0, salt=None):
    request = Request(
        request_id=name,
        prompt_token_ids=tuple(prompt),
        sampling_params=SamplingParams(max_tokens=max_tokens),
        priority=priority,
        cache_salt=salt,
    )
    return Sequence(request, OutputChannel(), None, None, seed=0, max_tokens=max_tokens)


def make_lasting(name, prompt, max_tokens):
    """A sequence that goes on to its ``max_tokens``: one more token is found for its prompt."""
    candidates = (make_sequence(name, [*prompt, token], max_tokens) for token in range(1, 1_000))
    return next(s for s in candidates if len(generated_alone(s)) == max_tokens)


def make_scheduler(
    num_blocks=64,
    block_size=4,
    max_num_seqs=4,
    budget=8,
    prefix_caching=True,
    headroom=8,
    **options,
):
    blocks = PrefixCache(num_blocks, block_size, prefix_caching=prefix_caching)
    options |= {"prefill_chunk_size": budget, "headroom": headroom}
    return Scheduler(blocks, max_num_seqs=max_num_seqs, **options)


def state_after(tokens, salt):
    """What the slot of the last of these tokens must hold."""
    state = crc32((salt or "").encode())
    for token in tokens:
        state = hash((state, token))
    return state


def next_token(state):
    return state % VOCAB_SIZE


def generated_alone(sequence):
    """The specification: the tokens of a sequence that has the device for itself."""
    tokens = list(sequence.prompt_token_ids)
    while True:
        tokens.append(next_token(state_after(tokens, sequence.request.cache_salt)))
        num_outputs = len(tokens) - len(sequence.prompt_token_ids)
        if tokens[-1] == EOS or num_outputs == sequence.max_tokens:
            return tokens[len(sequence.prompt_token_ids) :]


class FakeDevice:
    """Runs steps in the order of their launch."""

    def __init__(self, scheduler):
        self.block_size = scheduler.blocks.block_size
        self.slots = [None] * (scheduler.blocks.num_blocks * self.block_size)
        self.tokens = {}  # of each sequence, those included that the host has not read yet

    def run(self, step):
        """Returns the new token of each sequence that draws one."""
        for copy in step.copies:
            source, target = (block * self.block_size for block in (copy.source, copy.target))
            self.slots[target : target + self.block_size] = self.slots[
                source : source + self.block_size
            ]
        drawn = []
        for chunk in step.prefill:
            drawn += self._compute(chunk.sequence, chunk.start, chunk.stop)[: chunk.is_last]
        for sequence in step.decode:
            position = sequence.num_computed_tokens - 1
            drawn += self._compute(sequence, position, position + 1)
        return drawn

    def _compute(self, sequence, start, stop):
        tokens = self.tokens.setdefault(sequence, list(sequence.token_ids))
        assert stop <= len(tokens), "a token is computed before it is known"
        state = state_after([], sequence.request.cache_salt)
        for position, token in enumerate(tokens[:stop]):
            slot = self._slot(sequence, position)
            state = hash((state, token))
            if position < start:
                assert self.slots[slot] == state, f"{sequence.request_id} reads another's slot"
            self.slots[slot] = state
        if stop == len(tokens):
            tokens.append(next_token(state))
        return [(sequence, tokens[stop])] if stop < len(tokens) else []

    def spoil(self, sequence):
        """Make what a sequence wrote unreadable."""
        for block_id in sequence.table.written_ids:
            start = block_id * self.block_size
            self.slots[start : start + self.block_size] = [None] * self.block_size

    def _slot(self, sequence, position):
        block_id = sequence.block_ids[position // self.block_size]
        return block_id * self.block_size + position % self.block_size


class Server:
    """What the engine's loop does: schedule, run, read; optionally one step ahead of reading."""

    def __init__(self, scheduler, is_pipelined=False):
        self.scheduler = scheduler
        self.device = FakeDevice(scheduler)
        self.is_pipelined = is_pipelined
        self.budget = scheduler.prefill_chunk_size
        self.unread = deque()
        self.finished = []
        self.num_preemptions = 0

    def step(self) -> Step:
        decodable = [s for s in self.scheduler if s.block_ids and s.can_decode]
        step = self.scheduler.schedule()
        self.num_preemptions += len(step.preempted)
        self.check(step, decodable)
        self.scheduler.check_integrity()
        self.unread.append(self.device.run(step))
        while len(self.unread) > self.is_pipelined:
            self.read(self.unread.popleft())
        return step

    def check(self, step, decodable):
        num_tokens = sum(chunk.stop - chunk.start for chunk in step.prefill)
        assert num_tokens <= self.budget
        assert all(chunk.start < chunk.stop for chunk in step.prefill)
        targets = {copy.target for copy in step.copies}
        assert targets <= {block for c in step.prefill for block in c.sequence.block_ids}
        assert len(targets) == len(step.copies)
        prefilled = [chunk.sequence for chunk in step.prefill]
        assert len({*prefilled, *step.decode}) == len(prefilled) + len(step.decode)
        expected = [s for s in decodable if s not in step.preempted]
        assert list(step.decode) == expected, "decode waits"
        written = [block for s, start in self.writes(step) for block in s.block_ids[start:]]
        assert len(set(written)) == len(written), "two sequences write to one block"

    def writes(self, step):
        """Each sequence of a step with the index of the first block that it writes to."""
        size = self.scheduler.blocks.block_size
        for chunk in step.prefill:
            yield chunk.sequence, chunk.start // size
        for sequence in step.decode:
            yield sequence, (sequence.num_computed_tokens - 1) // size

    def fail(self, sequence):
        """End a sequence by a fault: all that was computed from its KV entries is wrong."""
        self.device.spoil(sequence)
        self.scheduler.remove(sequence, is_tainted=True)
        tainted = [other for other in self.scheduler if other.is_tainted]
        for other in tainted:
            self.device.spoil(other)
        for drawn in self.unread:
            drawn[:] = [(s, WRONG if s in tainted else token) for s, token in drawn]
        return tainted

    def read(self, drawn):
        for sequence, token in drawn:
            if sequence not in set(self.scheduler):
                continue  # it ended while this token was in flight
            if sequence.is_tainted:
                sequence.drop_in_flight()
                self.device.tokens[sequence] = list(sequence.token_ids)
                continue
            sequence.append(token)
            if token == EOS or len(sequence.output_token_ids) == sequence.max_tokens:
                self.scheduler.remove(sequence)
                self.finished.append(sequence)

    def run_to_the_end(self, max_steps=20_000):
        for _ in range(max_steps):
            if not self.scheduler.has_unfinished:
                break
            self.step()
        assert not self.scheduler.has_unfinished, "a sequence never finishes"
        assert self.scheduler.blocks.num_in_use == 0, "a block is lost"
        for sequence in self.finished:
            assert sequence.output_token_ids == generated_alone(sequence)
            assert sequence.num_cached_tokens < len(sequence.prompt_token_ids)


def test_priority_then_arrival_decides_who_starts():
    scheduler = make_scheduler(max_num_seqs=2)
    sequences = {
        n: make_sequence(n, priority=p) for n, p in zip("abcd", (1, 0, 0, -1), strict=True)
    }
    for sequence in sequences.values():
        scheduler.add(sequence)
    scheduler.schedule()
    assert [s.request_id for s in scheduler] == ["d", "b", "c", "a"]
    assert scheduler.num_running == 2
    scheduler.remove(sequences["d"])
    scheduler.schedule()
    assert [bool(sequences[n].block_ids) for n in "abc"] == [False, True, True]


def test_removing_is_possible_anywhere_and_twice():
    scheduler = make_scheduler(max_num_seqs=1)
    running, waiting = make_sequence("a"), make_sequence("b")
    for sequence in (running, waiting):
        scheduler.add(sequence)
    scheduler.schedule()
    for sequence in (waiting, running, waiting, running):
        scheduler.remove(sequence)
        scheduler.check_integrity()
    assert not scheduler.has_unfinished


def test_short_prompts_share_a_step_and_do_not_wait_for_a_long_one():
    server = Server(make_scheduler(budget=16, prefix_caching=False))
    long = make_sequence("long", range(1, 61))
    shorts = [make_sequence(f"short{i}", [i + 1] * 4) for i in range(2)]
    for sequence in (long, *shorts):
        server.scheduler.add(sequence)
    step = server.step()
    assert [(c.sequence, c.start, c.stop, c.is_last) for c in step.prefill] == [
        (long, 0, 8, False),
        (shorts[0], 0, 4, True),
        (shorts[1], 0, 4, True),
    ]
    step = server.step()
    assert [(c.start, c.stop) for c in step.prefill] == [(8, 24)]
    assert set(shorts).issuperset(step.decode)
    server.run_to_the_end()


def test_the_shortest_prompt_comes_second():
    server = Server(make_scheduler(budget=16, prefix_caching=False))
    lengths = {"first": 40, "long": 30, "short": 6}
    for name, length in lengths.items():
        server.scheduler.add(make_sequence(name, [1] * length))
    step = server.step()
    assert [(c.sequence.request_id, c.stop) for c in step.prefill] == [
        ("first", 8),
        ("short", 6),
        ("long", 2),
    ]


def test_the_last_chunk_gives_the_first_token():
    server = Server(make_scheduler())
    sequence = make_sequence(prompt=[5] * 8, max_tokens=1)
    server.scheduler.add(sequence)
    step = server.step()
    assert step.decode == ()
    assert server.finished == [sequence]


def test_a_repeated_prompt_computes_one_token_and_reports_the_rest():
    server = Server(make_scheduler(budget=64))
    sequences = [make_sequence(str(i), range(1, 33), max_tokens=1) for i in range(3)]
    for sequence in sequences:
        server.scheduler.add(sequence)
        server.run_to_the_end()
    assert [s.usage().cached_tokens for s in sequences] == [0, 31, 31]


def test_prompts_that_arrive_together_share_what_the_first_computes():
    server = Server(make_scheduler(budget=32, max_num_seqs=8))
    sequences = [make_sequence(str(i), [*range(1, 33), i, i]) for i in range(8)]
    for sequence in sequences:
        server.scheduler.add(sequence)
    step = server.step()
    assert [(c.sequence, c.stop) for c in step.prefill] == [(sequences[0], 32)]
    server.run_to_the_end()
    assert [s.num_cached_tokens for s in sequences] == [0] + [32] * 7


def test_twins_of_a_prompt_that_is_given_up_compute_it_themselves():
    server = Server(make_scheduler(budget=8, max_num_seqs=8))
    sequences = [make_sequence(str(i), [*range(1, 33), i, i]) for i in range(3)]
    for sequence in sequences:
        server.scheduler.add(sequence)
    server.step()
    server.scheduler.remove(sequences[0])
    server.run_to_the_end()
    assert server.finished == sequences[1:]
    assert [s.num_cached_tokens for s in sequences] == [0, 8, 32]


def test_salts_are_kept_apart():
    server = Server(make_scheduler(budget=64))
    for index in range(4):
        server.scheduler.add(make_sequence(str(index), range(1, 33), salt="ab"[index % 2]))
        server.run_to_the_end()
    assert [s.num_cached_tokens for s in server.finished] == [0, 0, 31, 31]


def test_the_last_sequence_is_preempted_and_ends_with_the_same_tokens():
    scheduler = make_scheduler(num_blocks=8, block_size=2, budget=64, headroom=0)
    server = Server(scheduler)
    sequences = [make_sequence(str(i), [i + 1] * 3, max_tokens=12) for i in range(3)]
    for sequence in sequences:
        scheduler.add(sequence)
    server.run_to_the_end()
    assert server.num_preemptions > 0
    assert sequences[0].num_preemptions == 0
    assert len(server.finished) == 3


def test_a_prompt_of_higher_priority_takes_the_blocks_of_a_planned_decode():
    server = Server(make_scheduler(num_blocks=10, block_size=2, budget=4, headroom=0))
    low = make_sequence("low", [1, 2], max_tokens=14, priority=1)
    high = make_sequence("high", range(3, 19), max_tokens=2)
    server.scheduler.add(low)
    server.step()
    server.scheduler.add(high)
    preempted = [s for _ in range(5) for s in server.step().preempted]
    assert preempted == [low]
    server.run_to_the_end()
    assert server.finished == [high, low]


def test_a_chunk_does_not_preempt_one_that_was_planned_before_it():
    """The last prompt is the shortest, so its chunk is planned before that of the one before."""
    scheduler = make_scheduler(
        19, block_size=1, max_num_seqs=8, budget=6, prefix_caching=False, headroom=0
    )
    server = Server(scheduler)
    for index in range(2):  # these take two blocks a step from what was left for the prompts
        scheduler.add(make_lasting(f"decode{index}", [], max_tokens=9))
    server.step()
    server.step()
    for name, length in {"first": 4, "long": 5, "short": 4}.items():
        scheduler.add(make_sequence(name, [1] * length, max_tokens=2))
    server.step()
    step = server.step()
    assert [c.sequence.request_id for c in step.prefill] == ["first", "short"]
    assert scheduler.blocks.num_available == 3  # the budget's rest would be four for the long one
    assert step.preempted == ()
    server.run_to_the_end()


def test_a_tainted_sequence_leaves_nothing_to_reuse():
    server = Server(make_scheduler(budget=64))
    bad, good = make_sequence("bad", range(1, 33)), make_sequence("good", range(1, 33))
    server.scheduler.add(bad)
    server.step()
    server.step()
    server.scheduler.remove(bad, is_tainted=True)
    server.scheduler.add(good)
    server.run_to_the_end()
    assert good.num_cached_tokens == 0


@pytest.mark.parametrize("is_pipelined", [False, True])
@pytest.mark.parametrize("num_alike", [32, 14])  # whole blocks; three of them and half of one
def test_who_took_blocks_over_from_a_faulty_sequence_computes_them_again(is_pipelined, num_alike):
    server = Server(make_scheduler(budget=64), is_pipelined)
    bad = make_lasting("bad", range(1, 33), max_tokens=12)
    good = make_lasting("good", [*range(1, num_alike + 1), 99], max_tokens=12)
    stranger = make_lasting("stranger", [22] * 8, max_tokens=12)
    for sequence in (bad, good, stranger):
        server.scheduler.add(sequence)
        server.step()
    server.step()
    assert good.num_cached_tokens == num_alike
    assert server.fail(bad) == [good]
    step = server.step()
    assert step.preempted == (good,)
    assert step.decode == (stranger,)
    server.run_to_the_end()
    assert {*server.finished} == {good, stranger}
    assert (good.num_preemptions, stranger.num_preemptions) == (1, 0)


def test_a_fault_reaches_all_who_rest_on_it_and_no_others():
    """The second began as a copy of the first's block, the third shares the second's own."""
    server = Server(make_scheduler(budget=64, max_num_seqs=8))
    prompts = {
        "early": [4] * 8,
        "first": [1, 1, 1, 1],
        "second": [1, 1, 2, 2],
        "third": [1, 1, 2, 2, 3],
        "late": [*[4] * 8, 5],
    }
    sequences = {n: make_lasting(n, prompt, max_tokens=20) for n, prompt in prompts.items()}
    for sequence in sequences.values():
        server.scheduler.add(sequence)
        server.step()
    early, first, second, third, late = sequences.values()
    assert not third.table.depends_on(first.table)
    assert server.fail(late) == []  # what it took over was sound
    assert server.fail(first) == [second, third]
    server.run_to_the_end()
    assert {*server.finished} == {early, second, third}


def test_a_tainted_sequence_that_is_given_up_leaves_nothing_to_reuse():
    server = Server(make_scheduler(budget=64))
    bad, good = (make_lasting(name, range(1, 33), max_tokens=8) for name in ("bad", "good"))
    for sequence in (bad, good):
        server.scheduler.add(sequence)
        server.step()
    assert server.fail(bad) == [good]
    server.scheduler.remove(good)
    assert server.scheduler.blocks.num_cached == 0
    server.scheduler.check_integrity()


def test_a_chunk_ends_at_a_block_end_if_it_can():
    """So that all of it is shared at once; the last chunk ends with the prompt."""
    server = Server(make_scheduler(budget=10, prefix_caching=False))
    server.scheduler.add(make_sequence(prompt=[1] * 30))
    chunks = [server.step().prefill[0] for _ in range(4)]
    assert [(c.start, c.stop) for c in chunks] == [(0, 8), (8, 16), (16, 24), (24, 30)]


def test_a_chunk_smaller_than_a_block_is_not_put_off():
    server = Server(make_scheduler(budget=3, prefix_caching=False))
    server.scheduler.add(make_sequence(prompt=[1] * 7))
    chunks = [server.step().prefill[0] for _ in range(3)]
    assert [(c.start, c.stop) for c in chunks] == [(0, 3), (3, 4), (4, 7)]


def test_with_tiles_chunks_end_on_the_grid_and_none_but_the_first_is_shorter():
    scheduler = make_scheduler(budget=20, tile=8)
    for name in "abc":
        scheduler.add(make_sequence(name, range(ord(name), ord(name) + 30)))
    step = scheduler.schedule()
    assert [(chunk.start, chunk.stop) for chunk in step.prefill] == [(0, 8), (0, 8)]
    scheduler = make_scheduler(budget=20, tile=8)
    for name, length in (("a", 30), ("b", 5), ("c", 4), ("d", 9)):
        scheduler.add(make_sequence(name, range(ord(name), ord(name) + length)))
    step = scheduler.schedule()
    # The last 3 of the budget would end a tile of nobody.
    assert [(chunk.start, chunk.stop) for chunk in step.prefill] == [(0, 8), (0, 4), (0, 5)]


def test_chunks_of_a_prompt_end_at_the_same_positions_whatever_runs_beside_it():
    stops = set()
    for company in ([], [3], [5, 9], [40], [7, 70, 20]):
        scheduler = make_scheduler(num_blocks=200, budget=64, tile=4, stretch=16)
        server = Server(scheduler)
        for index, length in enumerate((90, *company)):
            scheduler.add(make_sequence(str(index), [index + 1] * length))
        for _ in range(8):
            chunks = server.step().prefill
            stops |= {c.stop for c in chunks if len(c.sequence.prompt_token_ids) == 90}
    assert stops <= {16, 32, 48, 64, 80, 90}
    scheduler = make_scheduler(budget=30, tile=4, stretch=16)  # the budget holds too few
    scheduler.add(make_sequence(prompt=[1] * 90))
    assert scheduler.schedule().prefill[0].stop == 28


def test_at_most_one_token_is_unread_when_another_is_launched():
    scheduler = make_scheduler()
    sequence = make_sequence(prompt=[1] * 3, max_tokens=8)
    scheduler.add(sequence)
    assert scheduler.schedule().prefill
    assert scheduler.schedule().decode == (sequence,)
    assert scheduler.schedule().is_empty
    sequence.append(1)
    assert scheduler.schedule().decode == (sequence,)


def test_what_can_never_fit_is_refused_by_the_scheduler_too():
    with pytest.raises(AssertionError, match="can never be had"):
        make_scheduler(num_blocks=2).add(make_sequence(prompt=[1] * 8, max_tokens=2))


BEGINNINGS = ([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11], [1, 2, 3, 4, 5, 6, 12], [13] * 9, [])
prompts = st.builds(
    lambda beginning, end: [*beginning, *end],
    st.sampled_from(BEGINNINGS),
    st.lists(st.integers(1, 3), min_size=1, max_size=12),
)
loads = st.fixed_dictionaries(
    {
        "prompt": prompts,
        "max_tokens": st.integers(1, 14),
        "priority": st.integers(-1, 1),
        "salt": st.sampled_from((None, None, "a")),
    }
)


class SchedulerMachine(RuleBasedStateMachine):
    """Arrivals, steps, aborts and faults in any order; ``Server`` checks after every step."""

    @initialize(
        block_size=st.sampled_from((1, 2, 4)),
        num_slots=st.integers(36, 90),
        headroom=st.sampled_from((0, 2, 64)),
        max_num_seqs=st.integers(1, 6),
        budget=st.integers(1, 24),
        tile=st.sampled_from((1, 2, 8)),
        stretch=st.sampled_from((1, 4)),
        prefix_caching=st.booleans(),
        is_pipelined=st.booleans(),
    )
    def start(self, num_slots, is_pipelined, **options):
        num_blocks = num_slots // options["block_size"]
        self.server = Server(make_scheduler(num_blocks, **options), is_pipelined)
        self.sequences, self.aborted = [], set()

    @rule(load=loads)
    def arrive(self, load):
        self.sequences.append(make_sequence(str(len(self.sequences)), **load))
        self.server.scheduler.add(self.sequences[-1])

    @rule(count=st.integers(1, 6))
    def step(self, count):
        for _ in range(count):
            self.server.step()

    @precondition(lambda self: self.server.scheduler.has_unfinished)
    @rule(data=st.data(), is_tainted=st.booleans())
    def end_early(self, data, is_tainted):
        sequence = data.draw(st.sampled_from(list(self.server.scheduler)))
        if is_tainted:
            self.server.fail(sequence)
        else:
            self.server.scheduler.remove(sequence)
        self.server.scheduler.check_integrity()
        self.aborted.add(sequence)

    def teardown(self):
        if hasattr(self, "server"):
            self.server.run_to_the_end()
            assert {*self.server.finished, *self.aborted} == set(self.sequences)


TestSchedulerMachine = SchedulerMachine.TestCase
TestSchedulerMachine.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)


@settings(deadline=None, max_examples=100)
@given(
    prompts=st.lists(
        st.builds(
            lambda blocks, end: [token for block in blocks for token in block] + end,
            st.lists(st.sampled_from(((1, 2, 3, 4), (1, 2, 3, 5), (6, 6, 6, 6))), max_size=6),
            st.lists(st.integers(1, 2), min_size=1, max_size=5),
        ),
        min_size=2,
        max_size=9,
    ),
    pauses=st.lists(st.integers(0, 2), min_size=9, max_size=9),
    budget=st.integers(1, 24),
    max_num_seqs=st.integers(2, 9),
    is_pipelined=st.booleans(),
)
def test_no_block_of_a_prompt_is_computed_twice(
    prompts, pauses, budget, max_num_seqs, is_pipelined
):
    """Whenever prompts arrive, and however they go on alike, while there is room for all."""
    server = Server(make_scheduler(600, budget=budget, max_num_seqs=max_num_seqs), is_pipelined)
    sequences = [make_sequence(str(i), prompt, 3) for i, prompt in enumerate(prompts)]
    computed = Counter()
    for sequence, pause in zip(sequences, pauses, strict=False):
        server.scheduler.add(sequence)
        for _ in range(pause):
            computed.update(positions_of_blocks(server.step()))
    while server.scheduler.has_unfinished:
        computed.update(positions_of_blocks(server.step()))
    assert [key for key, count in computed.items() if count > 1] == []


def positions_of_blocks(step, block_size=4):
    """What a step computes of full blocks of prompts, as the tokens up to the block's end.

    The last token of a prompt is computed by everyone.
    """
    for chunk in step.prefill:
        tokens = chunk.sequence.prompt_token_ids
        for position in range(chunk.start, min(chunk.stop, len(tokens) - 1)):
            end = position - position % block_size + block_size
            if end <= len(tokens):
                yield tokens[:end], position


@settings(deadline=None, max_examples=60)
@given(
    before=st.lists(st.integers(1, 30), max_size=4),
    length=st.integers(1, 60),
    budget=st.integers(2, 16),
    num_blocks=st.integers(20, 60),
    headroom=st.sampled_from((0, 8)),
)
def test_a_stream_of_short_prompts_starves_nobody(before, length, budget, num_blocks, headroom):
    """A first token comes within the steps that the sequence and those before it need in turn at
    half the budget, although shorter prompts that fill the budget arrive in every step.
    """
    server = Server(make_scheduler(num_blocks, max_num_seqs=8, budget=budget, headroom=headroom))
    for index, other in enumerate(before):
        server.scheduler.add(make_sequence(f"before{index}", [index + 1] * other, max_tokens=4))
    patient = make_sequence("patient", [20] * length, max_tokens=4)
    server.scheduler.add(patient)
    # Chunks end at block ends, which can cost up to half of a small share.
    bound = sum(2 * -(-2 * n // budget) + 4 for n in (*before, length))
    num_steps = 0
    while not patient.output_token_ids:
        for index in range(budget):
            server.scheduler.add(make_sequence(f"{num_steps}.{index}", [21 + index], max_tokens=1))
        server.step()
        num_steps += 1
        assert num_steps <= bound
