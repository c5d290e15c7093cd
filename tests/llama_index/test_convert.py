"""Messages to turns of a chat template, outputs to responses."""

import pytest
from llama_index.core.base.llms.types import (
    AudioBlock,
    CacheControl,
    CachePoint,
    ChatMessage,
    CitableBlock,
    DocumentBlock,
    ImageBlock,
    TextBlock,
    ThinkingBlock,
    ToolCallBlock,
    VideoBlock,
)

from mlx_backends.core import FinishReason, Logprob, TokenLogprobs, TokenOutput
from mlx_backends.errors import RequestError
from mlx_backends.llama_index._convert import Completion, to_chat_messages


@pytest.mark.parametrize(
    ("role", "written"),
    [
        ("system", "system"),
        ("developer", "system"),
        ("user", "user"),
        ("assistant", "assistant"),
        ("chatbot", "assistant"),
        ("model", "assistant"),
        ("tool", "tool"),
        ("function", "tool"),
    ],
)
def test_roles_are_those_of_chat_templates(role, written):
    assert to_chat_messages([ChatMessage(role=role, content="x")]) == [
        {"role": written, "content": "x"}
    ]


def test_texts_of_a_message_are_joined_as_llama_index_joins_them():
    message = ChatMessage(blocks=[TextBlock(text="one"), TextBlock(text="two")])
    assert to_chat_messages([message]) == [{"role": "user", "content": message.content}]


def test_system_messages_come_first_and_neighbours_become_one():
    messages = [
        ChatMessage(role="system", content="Be brief."),
        ChatMessage(role="user", content="Hi."),
        ChatMessage(role="user", content="Are you there?"),
        ChatMessage(role="system", content="So far: nothing."),
        ChatMessage(role="assistant", content="Yes."),
    ]
    assert to_chat_messages(messages) == [
        {"role": "system", "content": "Be brief.\n\nSo far: nothing."},
        {"role": "user", "content": "Hi.\n\nAre you there?"},
        {"role": "assistant", "content": "Yes."},
    ]


def test_thinking_reaches_the_template_apart_from_the_answer():
    blocks = [ThinkingBlock(content="2 and 2"), TextBlock(text="4")]
    assert to_chat_messages([ChatMessage(role="assistant", blocks=blocks)]) == [
        {"role": "assistant", "content": "4", "reasoning_content": "2 and 2"}
    ]


def test_tool_calls_and_their_results_take_the_standard_form():
    messages = [
        ChatMessage(
            role="assistant",
            blocks=[
                ToolCallBlock(tool_call_id="1", tool_name="add", tool_kwargs={"a": 1}),
                ToolCallBlock(tool_call_id="2", tool_name="add", tool_kwargs='{"a": 2}'),
                ToolCallBlock(tool_call_id="3", tool_name="add", tool_kwargs="not JSON"),
            ],
        ),
        ChatMessage(role="tool", content="1", additional_kwargs={"tool_call_id": "1"}),
        ChatMessage(
            role="tool", content="2", additional_kwargs={"tool_call_id": "2", "name": "add"}
        ),
    ]
    calls = [
        {"type": "function", "id": id_, "function": {"name": "add", "arguments": arguments}}
        for id_, arguments in (("1", {"a": 1}), ("2", {"a": 2}), ("3", "not JSON"))
    ]
    assert to_chat_messages(messages) == [
        {"role": "assistant", "content": "", "tool_calls": calls},
        {"role": "tool", "content": "1", "tool_call_id": "1"},
        {"role": "tool", "content": "2", "tool_call_id": "2", "name": "add"},
    ]


def test_neighbouring_tool_results_without_ids_stay_apart():
    results = [ChatMessage(role="tool", content="1"), ChatMessage(role="tool", content="2")]
    assert [turn["content"] for turn in to_chat_messages(results)] == ["1", "2"]


@pytest.mark.parametrize(
    "block",
    [
        ImageBlock(url="https://example.com/a.png"),
        AudioBlock(audio=b"RIFF"),
        VideoBlock(url="https://example.com/a.mp4"),
        DocumentBlock(data=b"%PDF", document_mimetype="application/pdf"),
        CitableBlock(title="a", source="b", content="c"),
    ],
    ids=lambda block: block.block_type,
)
def test_what_a_text_model_cannot_read_is_named(block):
    message = ChatMessage(blocks=[TextBlock(text="Look:"), block])
    with pytest.raises(RequestError, match=f"'{block.block_type}'.*Allowed are text"):
        to_chat_messages([message])


def test_cache_points_are_hints_and_fall_away():
    point = CachePoint(cache_control=CacheControl(type="ephemeral"))
    message = ChatMessage(blocks=[TextBlock(text="Hi"), point])
    assert to_chat_messages([message]) == [{"role": "user", "content": "Hi"}]


def test_chosen_token_comes_first_among_its_logprobs():
    chosen, other = Logprob(5, "b", -2.0), Logprob(4, "a", -0.5)
    completion = Completion("m")
    entry = TokenLogprobs(chosen, (other, chosen))
    completion.add(TokenOutput(request_id="1", token_ids=(5,), text="b", logprobs=(entry,)))
    half = TokenLogprobs(Logprob(6, "\ufffd", -1.0))
    completion.add(TokenOutput(request_id="1", logprobs=(half,), finish_reason=FinishReason.LENGTH))
    positions = completion.to_chat_response().logprobs
    assert [[(p.token, p.logprob, p.bytes) for p in position] for position in positions] == [
        [("b", -2.0, [98]), ("a", -0.5, [97])],
        [("\ufffd", -1.0, [])],
    ]


def test_output_without_usage_makes_a_response_all_the_same():
    completion = Completion("m")
    completion.add(TokenOutput(request_id="1", text="x", finish_reason=FinishReason.ABORT))
    response = completion.to_completion_response("x")
    assert (response.text, response.delta, response.additional_kwargs) == ("x", "x", {})
    assert response.raw == {
        "model": "m",
        "finish_reason": "abort",
        "stop_reason": None,
        "usage": {},
        "timings": {},
    }
