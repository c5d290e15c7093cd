"""The scheduler alone: order, chunks and bounds, under random loads."""

from hypothesis import given
from hypothesis import strategies as st

from mlx_backends.core import Request, SamplingParams
from mlx_backends.engine.handle import OutputChannel
from mlx_backends.engine.scheduler import Scheduler
from mlx_backends.engine.sequence import Sequence


def make_sequence(name: str, prompt_length: int = 4, priority: int = 0) -> Sequence:
    request = Request(
        request_id=name,
        prompt_token_ids=tuple(range(prompt_length)),
        sampling_params=SamplingParams(),
        priority=priority,
    )
    return Sequence(request, OutputChannel(), None, None, seed=0, max_tokens=8)  # type: ignore[arg-type]


def test_priority_then_arrival_decides_who_starts():
    scheduler = Scheduler(max_num_seqs=2, prefill_chunk_size=8)
    for name, priority in [("a", 1), ("b", 0), ("c", 0), ("d", -1)]:
        scheduler.add(make_sequence(name, priority=priority))
    admitted, _ = scheduler.schedule()
    assert [s.request_id for s in admitted] == ["d", "b"]
    scheduler.remove(admitted[0])
    assert [s.request_id for s in scheduler.schedule()[0]] == ["c"]


def test_a_waiting_sequence_can_be_removed():
    scheduler = Scheduler(max_num_seqs=1, prefill_chunk_size=8)
    sequences = [make_sequence(name) for name in "abc"]
    for sequence in sequences:
        scheduler.add(sequence)
    scheduler.remove(sequences[1])
    assert [s.request_id for s in scheduler] == ["a", "c"] or scheduler.num_waiting == 2


def test_a_long_prompt_does_not_stop_the_others():
    scheduler = Scheduler(max_num_seqs=4, prefill_chunk_size=10)
    short, long = make_sequence("short", 1), make_sequence("long", 35)
    scheduler.add(short)
    scheduler.add(long)
    chunks = []
    while not long.is_prefilled:
        _, step = scheduler.schedule()
        assert short in step.decode
        chunks.append((step.prefill.start, step.prefill.stop))
        long.num_computed_tokens = step.prefill.stop
    assert chunks == [(0, 10), (10, 20), (20, 30), (30, 34)]


requests = st.tuples(st.integers(1, 40), st.integers(-2, 2))


@given(st.lists(requests, max_size=25), st.integers(1, 5), st.integers(1, 16), st.randoms())
def test_everything_is_served_once_and_within_bounds(loads, max_num_seqs, chunk_size, random):
    """Sequences end after random steps; none is lost, none runs twice or out of bounds."""
    scheduler = Scheduler(max_num_seqs=max_num_seqs, prefill_chunk_size=chunk_size)
    for index, (length, priority) in enumerate(loads):
        scheduler.add(make_sequence(str(index), length, priority))
    served = []
    for _ in range(5_000):
        if not scheduler.has_unfinished:
            break
        _, step = scheduler.schedule()
        assert 0 < scheduler.num_running <= max_num_seqs
        if step.prefill is not None:
            chunk = step.prefill
            assert chunk.start == chunk.sequence.num_computed_tokens
            assert 0 < chunk.stop - chunk.start <= chunk_size
            chunk.sequence.num_computed_tokens = chunk.stop
        for sequence in step.decode:
            assert sequence.num_computed_tokens == sequence.num_prefill_tokens
            if random.random() < 0.5:
                scheduler.remove(sequence)
                served.append(sequence.request_id)
    assert sorted(served, key=int) == [str(index) for index in range(len(loads))]
