import random

import pytest

from mlx_backends.text.marker import MarkerScanner
from mlx_backends.text.reasoning import (
    ReasoningFormat,
    ReasoningSplitter,
    is_reasoning_at_end,
    is_reasoning_over,
    reasoning_format,
)
from mlx_backends.text.reply import ReplyReader
from mlx_backends.text.tool_formats import JSON_TOOLS

THINK = ReasoningFormat("<think>", "</think>")


def pieces_of(text: str, seed: int) -> list[str]:
    rng = random.Random(seed)
    pieces = []
    while text:
        cut = rng.randint(0, 5)
        pieces.append(text[:cut])
        text = text[cut:]
    return pieces


def split(text: str, *, is_open: bool = False, seed: int = 0) -> tuple[str, str]:
    splitter = ReasoningSplitter(THINK, is_open=is_open)
    parts = [*map(splitter.feed, pieces_of(text, seed)), splitter.finish()]
    return "".join(p.reasoning for p in parts), "".join(p.text for p in parts)


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize(
    ("text", "is_open", "expected"),
    [
        ("<think>\nHm, 1 < 2.\n</think>\n\nYes.", False, ("Hm, 1 < 2.\n", "Yes.")),
        ("\n<think>Hm.</think>Yes. </think>", False, ("Hm.", "Yes. </think>")),
        ("Hm.</think>\nYes.", True, ("Hm.", "Yes.")),
        ("Hm, cut o", True, ("Hm, cut o", "")),
        ("Hm </thin", True, ("Hm </thin", "")),
        ("<think>Hm", False, ("Hm", "")),
        ("<thi", False, ("", "<thi")),
        ("  Yes, <think> is a mark.", False, ("", "  Yes, <think> is a mark.")),
        ("", False, ("", "")),
    ],
)
def test_reasoning_is_told_from_the_answer(text, is_open, expected, seed):
    assert split(text, is_open=is_open, seed=seed) == expected


def test_models_that_reason_are_known_by_their_tokens():
    assert reasoning_format({"<think>", "</think>"}.__contains__) == THINK
    assert reasoning_format({"<think>"}.__contains__) is None


@pytest.mark.parametrize(
    ("prompt", "is_open", "is_over"),
    [
        ([5, 5, 1, 9], True, False),
        ([1, 9, 2, 9], False, True),
        ([1, *[5] * 20], False, False),
        ([2, 5, 1], True, True),
        ([], False, False),
    ],
)
def test_the_end_of_the_prompt_shows_whether_the_model_reasons(prompt, is_open, is_over):
    assert is_reasoning_at_end(prompt, 1, 2) is is_open
    assert is_reasoning_over(prompt, 2) is is_over


@pytest.mark.parametrize("seed", range(5))
def test_a_mark_is_found_wherever_the_text_is_cut(seed):
    scanner = MarkerScanner("aab")
    before, rest = "", []
    for piece in pieces_of("aaaxaabaab", seed):
        text, after = scanner.feed(piece) if not rest else ("", piece)
        before += text
        rest += [] if after is None else [after]
    assert (before, "".join(rest)) == ("aaax", "aab")


def test_a_mark_is_not_empty():
    with pytest.raises(ValueError, match="at least one"):
        MarkerScanner("")


TEXT = (
    '<think>\nHm.\n</think>\n\nI ask.\n\n<tool_call>\n{"name": "f", "arguments": {"a": 1}}\n'
    '</tool_call>\n<tool_call>\n{"name": "f", "arguments": {}}\n</tool_call>\n'
)


@pytest.mark.parametrize("seed", range(8))
def test_a_reply_is_taken_apart(seed):
    reader = ReplyReader(reasoning_format=THINK, tool_format=JSON_TOOLS)
    pieces = pieces_of(TEXT, seed)
    deltas = [reader.feed(piece) for piece in pieces[:-1]]
    deltas.append(reader.feed(pieces[-1], is_last=True))
    assert "".join(delta.reasoning for delta in deltas) == "Hm.\n"
    assert "".join(delta.text for delta in deltas) == "I ask."
    calls = [call for delta in deltas for call in delta.tool_calls]
    assert "".join(call.arguments for call in calls if call.index == 0) == '{"a": 1}'
    assert [call.name for call in calls if call.name] == ["f", "f"]
    assert 0 < reader.num_reasoning_tokens < len(pieces)
    for delta in deltas:
        assert len({call.index for call in delta.tool_calls}) == len(delta.tool_calls)


def test_text_of_a_chat_without_tools_is_left_as_it_is():
    reader = ReplyReader()
    assert reader.feed("  <tool_call> ").text == "  <tool_call> "
    assert reader.feed("\n", is_last=True).text == "\n"
    assert reader.num_reasoning_tokens == 0


def test_space_at_the_end_of_a_reply_that_calls_nothing_is_kept():
    reader = ReplyReader(tool_format=JSON_TOOLS)
    deltas = [reader.feed(" a "), reader.feed("b \n", is_last=True)]
    assert "".join(delta.text for delta in deltas) == " a b \n"
