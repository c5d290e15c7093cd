"""Outputs of the engine to LlamaIndex's responses: reasoning, text, calls, citations, figures."""

from llama_index.core.base.llms.types import (
    CitableBlock,
    CitationBlock,
    TextBlock,
    ThinkingBlock,
    ToolCallBlock,
)

from mlx_backends.core import FinishReason, Logprob, TokenLogprobs, TokenOutput, Usage
from mlx_backends.llama_index._completion import Completion
from mlx_backends.llama_index._tools import tool_selections
from mlx_backends.text.reasoning import ReasoningFormat
from mlx_backends.text.reply import ReplyReader
from mlx_backends.text.tool_formats import JSON_TOOLS

CALL = '<tool_call>\n{"name": "add", "arguments": {"a": 1, "b": "x"}}\n</tool_call>'


def completion(**options) -> Completion:
    reader = ReplyReader(
        reasoning_format=ReasoningFormat("<think>", "</think>"), tool_format=JSON_TOOLS
    )
    return Completion("m", reader, **options)


def read(text: str, *, size: int = 3, **options):
    """All responses to a text that comes in small pieces."""
    written = completion(**options)
    pieces = [text[i : i + size] for i in range(0, len(text), size)]
    outputs = [TokenOutput(request_id="1", token_ids=(1,), text=piece) for piece in pieces]
    usage = Usage(prompt_tokens=5, completion_tokens=len(pieces))
    last = TokenOutput(request_id="1", finish_reason=FinishReason.STOP, usage=usage)
    responses = []
    for output in [*outputs, last]:
        increment = written.add(output)
        if increment.is_visible:
            responses.append(written.to_chat_response(increment))
    return responses


def test_reasoning_is_a_block_before_the_answer():
    *_, last = responses = read("<think>\nTwo and two.\n</think>\n\nIt is 4.")
    thinking, text = last.message.blocks
    assert thinking == ThinkingBlock(content="Two and two.\n", num_tokens=thinking.num_tokens)
    assert text == TextBlock(text="It is 4.")
    assert 0 < thinking.num_tokens < len(responses) + 9
    assert last.raw["usage"]["reasoning_tokens"] == thinking.num_tokens
    assert "".join(r.delta for r in responses) == "It is 4."
    thoughts = [r.additional_kwargs.get("thinking_delta", "") for r in responses]
    assert "".join(thoughts) == "Two and two.\n"


def test_calls_have_unique_ids_typed_arguments_and_a_text_beside_them():
    *_, last = read(f"Let me see.\n{CALL}\n{CALL}")
    text, *calls = last.message.blocks
    assert text == TextBlock(text="Let me see.")
    assert [(c.tool_name, c.tool_kwargs) for c in calls] == [("add", {"a": 1, "b": "x"})] * 2
    assert len({c.tool_call_id for c in calls}) == 2
    older = last.message.additional_kwargs["tool_calls"]
    assert [c["id"] for c in older] == [c.tool_call_id for c in calls]
    assert older[0]["function"] == {"name": "add", "arguments": '{"a": 1, "b": "x"}'}


def test_arguments_grow_while_they_are_written():
    grown = [
        selection.tool_kwargs
        for response in read(CALL, size=1)
        for selection in tool_selections(response)
    ]
    distinct = [kwargs for i, kwargs in enumerate(grown) if i == 0 or kwargs != grown[i - 1]]
    assert distinct == [{}, {"a": 1}, {"a": 1, "b": ""}, {"a": 1, "b": "x"}]


def test_second_call_is_dropped_where_one_was_allowed():
    *_, last = read(f"{CALL}\n{CALL}", takes_one_call=True)
    assert [b.block_type for b in last.message.blocks] == ["text", "tool_call"]


def test_call_that_was_cut_off_is_text_and_no_call():
    cut = '<tool_call>\n{"name": "add", "arguments": {"a": 1'
    *earlier, last = read(cut)
    assert isinstance(earlier[-1].message.blocks[1], ToolCallBlock)
    assert last.message.blocks == [TextBlock(text='add{"a": 1')]
    assert last.message.additional_kwargs == {}
    assert tool_selections(last) == []


def test_unreadable_call_is_text():
    *_, last = read("<tool_call>\nadd one and two\n</tool_call>")
    assert [b.block_type for b in last.message.blocks] == ["text"]
    assert "add one and two" in last.message.content


def test_citations_point_at_the_lines_that_say_it():
    passages = [
        CitableBlock(title="Ports", source="ports.md", content="The port is 80.\nThe log is on."),
        CitableBlock(title="Logs", source="logs.md", content="Logs are kept.\nFor 14 days."),
    ]
    *earlier, last = read("[2] 14 days [7]", passages=passages)
    assert all(len(r.message.blocks) == 1 for r in earlier)
    assert last.message.blocks == [
        TextBlock(text="[2] 14 days [7]"),
        CitationBlock(
            cited_content=TextBlock(text="For 14 days."),
            source="logs.md",
            title="Logs",
            additional_location_info={"index": 2, "start_line": 2, "end_line": 2},
        ),
    ]


def test_chosen_token_comes_first_among_its_logprobs():
    chosen, other = Logprob(5, "b", -2.0), Logprob(4, "a", -0.5)
    written = completion()
    entry = TokenLogprobs(chosen, (other, chosen))
    written.add(TokenOutput(request_id="1", token_ids=(5,), text="b", logprobs=(entry,)))
    half = TokenLogprobs(Logprob(6, "\ufffd", -1.0))
    written.add(TokenOutput(request_id="1", logprobs=(half,), finish_reason=FinishReason.LENGTH))
    positions = written.to_chat_response().logprobs
    assert [[(p.token, p.logprob, p.bytes) for p in position] for position in positions] == [
        [("b", -2.0, [98]), ("a", -0.5, [97])],
        [("\ufffd", -1.0, [])],
    ]


def test_output_without_usage_makes_a_response_all_the_same():
    written = completion()
    output = TokenOutput(request_id="1", text="x", finish_reason=FinishReason.ABORT)
    increment = written.add(output)
    response = written.to_completion_response(increment)
    assert (response.text, response.delta, response.additional_kwargs) == ("x", "x", {})
    assert response.raw == {
        "model": "m",
        "finish_reason": "abort",
        "stop_reason": None,
        "usage": {},
        "timings": {},
    }
