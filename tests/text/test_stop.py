import random
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlx_backends.text.stop import StopMatcher

few_letters = st.text("ab", max_size=40)


def whole(stops: list[str], text: str) -> tuple[str, str | None]:
    """The specification: look at every prefix of the text, longest stop first."""
    for end in range(1, len(text) + 1):
        for stop in sorted(set(stops), key=len, reverse=True):
            if text[:end].endswith(stop):
                return text[: end - len(stop)], stop
    return text, None


def longest_beginning(stops: list[str], text: str) -> int:
    """Length of the longest end of the text that is the beginning of a stop string."""
    beginnings = {stop[:length] for stop in stops for length in range(1, len(stop))}
    return max((len(b) for b in beginnings if text.endswith(b)), default=0)


def cut(text: str, seed: int) -> list[str]:
    rng = random.Random(seed)
    pieces = []
    while text:
        length = rng.randint(0, 4)
        pieces.append(text[:length])
        text = text[length:]
    return pieces


@settings(max_examples=1_000, deadline=None)
@given(
    stops=st.lists(st.text("ab", min_size=1, max_size=6), max_size=4),
    text=few_letters,
    seed=st.integers(0, 2**32),
)
def test_any_cut_gives_what_the_whole_text_gives(stops, text, seed):
    matcher = StopMatcher(stops)
    fed = emitted = ""
    matched = None
    for piece in cut(text, seed):
        result = matcher.feed(piece)
        emitted += result.text_to_emit
        matched = result.matched
        if matched is not None:
            break
        fed += piece
        assert len(fed) - len(emitted) == longest_beginning(stops, fed)
    if matched is None:
        emitted += matcher.finish()
    assert (emitted, matched) == whole(stops, text)


def test_longer_of_two_that_end_together_wins():
    result = StopMatcher(["b", "ab"]).feed("xab!")
    assert (result.text_to_emit, result.matched) == ("x", "ab")


def test_first_complete_wins_over_first_begun():
    result = StopMatcher(["abcd", "c"]).feed("abcd")
    assert (result.text_to_emit, result.matched) == ("ab", "c")


def test_text_after_a_match_is_dropped():
    matcher = StopMatcher(["."])
    matcher.feed("a.b")
    assert matcher.feed("c").text_to_emit == ""
    assert matcher.feed("c").matched == "."
    assert matcher.finish() == ""


def test_finish_returns_what_was_held():
    matcher = StopMatcher(["</s>"])
    assert matcher.feed("a</").text_to_emit == "a"
    assert matcher.finish() == "</"
    assert matcher.finish() == ""


def test_no_stop_strings_hold_nothing():
    assert StopMatcher([]).feed("abc").text_to_emit == "abc"


@pytest.mark.parametrize("piece_length", [1, 5_000])
def test_hostile_stop_string_costs_linear_time(piece_length):
    matcher = StopMatcher(["a" * 4_096, "a" * 4_095 + "b"])
    text = ("a" * 4_094 + "c") * 25
    started = time.perf_counter()
    emitted = "".join(
        matcher.feed(text[start : start + piece_length]).text_to_emit
        for start in range(0, len(text), piece_length)
    )
    assert emitted + matcher.finish() == text
    # A rescan of what is held at each character takes minutes.
    assert time.perf_counter() - started < 5.0
