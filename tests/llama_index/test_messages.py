"""Messages to the turns of a chat template."""

import pytest
from llama_index.core.base.llms.types import (
    AudioBlock,
    CacheControl,
    CachePoint,
    ChatMessage,
    CitableBlock,
    CitationBlock,
    DocumentBlock,
    ImageBlock,
    TextBlock,
    ThinkingBlock,
    ToolCallBlock,
    VideoBlock,
)

from mlx_backends.errors import RequestError
from mlx_backends.llama_index._messages import to_chat
from mlx_backends.text.grounding import grounded_messages


def to_turns(*messages: ChatMessage) -> list[dict]:
    return to_chat(messages).turns


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
    assert to_turns(ChatMessage(role=role, content="x")) == [{"role": written, "content": "x"}]


def test_texts_of_a_message_are_joined_as_llama_index_joins_them():
    message = ChatMessage(blocks=[TextBlock(text="one"), TextBlock(text="two")])
    assert to_turns(message) == [{"role": "user", "content": message.content}]


def test_system_messages_come_first_and_neighbours_become_one():
    messages = [
        ChatMessage(role="system", content="Be brief."),
        ChatMessage(role="user", content="Hi."),
        ChatMessage(role="user", content="Are you there?"),
        ChatMessage(role="system", content="So far: nothing."),
        ChatMessage(role="assistant", content="Yes."),
    ]
    assert to_turns(*messages) == [
        {"role": "system", "content": "Be brief.\n\nSo far: nothing."},
        {"role": "user", "content": "Hi.\n\nAre you there?"},
        {"role": "assistant", "content": "Yes."},
    ]


def test_thinking_reaches_the_template_apart_from_the_answer():
    blocks = [ThinkingBlock(content="2 and 2"), TextBlock(text="4")]
    assert to_turns(ChatMessage(role="assistant", blocks=blocks)) == [
        {"role": "assistant", "content": "4", "reasoning_content": "2 and 2"}
    ]


def call(id_: str, arguments: object) -> dict:
    return {"type": "function", "id": id_, "function": {"name": "add", "arguments": arguments}}


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
    calls = [call("1", {"a": 1}), call("2", {"a": 2}), call("3", "not JSON")]
    assert to_turns(*messages) == [
        {"role": "assistant", "content": "", "tool_calls": calls},
        {"role": "tool", "content": "1", "tool_call_id": "1"},
        {"role": "tool", "content": "2", "tool_call_id": "2", "name": "add"},
    ]


def test_calls_of_histories_without_blocks_are_read_and_never_twice():
    kwargs = {"tool_calls": [call("1", '{"a": 1}')]}
    old = ChatMessage(role="assistant", content="", additional_kwargs=kwargs)
    blocks = [ToolCallBlock(tool_call_id="1", tool_name="add", tool_kwargs={"a": 1})]
    both = ChatMessage(role="assistant", blocks=blocks, additional_kwargs=kwargs)
    turn = {"role": "assistant", "content": "", "tool_calls": [call("1", {"a": 1})]}
    assert to_turns(old) == to_turns(both) == [turn]


def test_neighbouring_tool_results_without_ids_stay_apart():
    results = [ChatMessage(role="tool", content="1"), ChatMessage(role="tool", content="2")]
    assert [turn["content"] for turn in to_turns(*results)] == ["1", "2"]


@pytest.mark.parametrize(
    "block",
    [
        ImageBlock(url="https://example.com/a.png"),
        AudioBlock(audio=b"RIFF"),
        VideoBlock(url="https://example.com/a.mp4"),
        DocumentBlock(data=b"%PDF", document_mimetype="application/pdf"),
    ],
    ids=lambda block: block.block_type,
)
def test_what_a_text_model_cannot_read_is_named(block):
    message = ChatMessage(blocks=[TextBlock(text="Look:"), block])
    with pytest.raises(RequestError, match=f"'{block.block_type}'.*Allowed are text"):
        to_chat([message])
    if block.block_type in ("image", "document"):
        nested = CitableBlock(title="t", source="s", content=[block])
        with pytest.raises(RequestError, match=f"passage.*'{block.block_type}'"):
            to_chat([ChatMessage(blocks=[nested])])


def test_citable_blocks_are_the_passages_of_a_grounded_question():
    passages = [CitableBlock(title=t, source=t, content=f"{t} is red.") for t in ("A", "B")]
    chat = to_chat([ChatMessage(blocks=[*passages, TextBlock(text="What is red?")])])
    assert chat.turns == grounded_messages("What is red?", ["A is red.", "B is red."])
    assert chat.passages == passages


def test_passages_are_numbered_through_the_whole_chat():
    def ask(title: str) -> ChatMessage:
        passage = CitableBlock(title=title, source=title, content=f"{title} is red.")
        return ChatMessage(blocks=[TextBlock(text=f"{title}?"), passage])

    citation = CitationBlock(
        cited_content="A is red.", source="A", title="A", additional_location_info={"index": 1}
    )
    answer = ChatMessage(role="assistant", blocks=[TextBlock(text="[1] red"), citation])
    chat = to_chat([ask("A"), answer, ask("B")])
    assert [turn["content"] for turn in chat.turns[1:]] == [
        "Passages:\n[1] A is red.\n\nQuestion: A?",
        "[1] red",
        "Passages:\n[2] B is red.\n\nQuestion: B?",
    ]
    assert [passage.title for passage in chat.passages] == ["A", "B"]


def test_cache_points_are_hints_and_fall_away():
    point = CachePoint(cache_control=CacheControl(type="ephemeral"))
    message = ChatMessage(blocks=[TextBlock(text="Hi"), point])
    assert to_turns(message) == [{"role": "user", "content": "Hi"}]
