import pytest
from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    ChatMessage,
    FunctionMessage,
    HumanMessage,
    RemoveMessage,
    SystemMessage,
    ToolMessage,
)
from langchain_core.messages.tool import invalid_tool_call, tool_call

from mlx_backends import (
    FinishReason,
    Logprob,
    RequestError,
    RequestMetrics,
    TokenLogprobs,
    TokenOutput,
    Usage,
)
from mlx_backends.langchain import _messages, _results
from mlx_backends.text.reply import ReplyDelta

CALL = tool_call(name="add", args={"a": 1, "b": 2}, id="c1")
CALL_TURN = {"type": "function", "id": "c1", "function": {"name": "add", "arguments": CALL["args"]}}
METRICS = RequestMetrics(
    queue_s=0.1,
    time_to_first_token_s=0.2,
    total_s=0.3,
    prefill_tokens_per_s=4.0,
    decode_tokens_per_s=5.0,
    peak_memory_bytes=6,
)


@pytest.mark.parametrize(
    ("message", "turn"),
    [
        (HumanMessage("Hi"), {"role": "user", "content": "Hi"}),
        (
            HumanMessage([{"type": "text-plain", "text": "Notes.", "mime_type": "text/plain"}]),
            {"role": "user", "content": "Notes."},
        ),
        (HumanMessage("Hi", name="ann"), {"role": "user", "content": "Hi", "name": "ann"}),
        (SystemMessage("Be brief."), {"role": "system", "content": "Be brief."}),
        (AIMessage("Hello."), {"role": "assistant", "content": "Hello."}),
        (
            AIMessage("", tool_calls=[CALL]),
            {"role": "assistant", "content": "", "tool_calls": [CALL_TURN]},
        ),
        (
            AIMessage("", invalid_tool_calls=[invalid_tool_call(name="add", args="{", id="c2")]),
            {
                "role": "assistant",
                "content": "",
                "tool_calls": [
                    {"type": "function", "id": "c2", "function": {"name": "add", "arguments": "{"}}
                ],
            },
        ),
        (
            ToolMessage("3", tool_call_id="c1", name="add"),
            {"role": "tool", "content": "3", "tool_call_id": "c1", "name": "add"},
        ),
        (
            ToolMessage([{"type": "text", "text": "3"}], tool_call_id="c1"),
            {"role": "tool", "content": "3", "tool_call_id": "c1"},
        ),
        (FunctionMessage("3", name="add"), {"role": "tool", "content": "3", "name": "add"}),
        (ChatMessage("Hm.", role="critic"), {"role": "critic", "content": "Hm."}),
        (
            HumanMessage(["a", {"type": "text", "text": "b", "cache_control": {}}]),
            {"role": "user", "content": "ab"},
        ),
        (
            AIMessage(
                [
                    {"type": "thinking", "thinking": "One and two.", "signature": "x"},
                    {"type": "redacted_thinking", "data": "x"},
                    {"type": "text", "text": "I add."},
                    {"type": "tool_use", "id": "c1", "name": "add", "input": CALL["args"]},
                ],
                tool_calls=[CALL],
            ),
            {
                "role": "assistant",
                "content": "I add.",
                "reasoning_content": "One and two.",
                "tool_calls": [CALL_TURN],
            },
        ),
        (
            AIMessage(
                [{"type": "reasoning", "reasoning": "Hm."}, {"type": "text", "text": "Yes."}]
            ),
            {"role": "assistant", "content": "Yes.", "reasoning_content": "Hm."},
        ),
    ],
    ids=lambda value: value.type if isinstance(value, BaseMessage) else "",
)
def test_a_message_becomes_a_turn(message, turn):
    assert _messages.to_chat_messages([message]) == [turn]


def test_system_messages_become_one_at_the_start():
    messages = [
        SystemMessage("Be kind."),
        SystemMessage("Be brief."),
        HumanMessage("Hi"),
        AIMessage("Hello."),
        SystemMessage("Rhyme."),
        HumanMessage("Go on."),
    ]
    assert _messages.to_chat_messages(messages) == [
        {"role": "system", "content": "Be kind.\n\nBe brief.\n\nRhyme."},
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Hello."},
        {"role": "user", "content": "Go on."},
    ]


def test_neighbours_of_the_same_role_become_one():
    messages = [HumanMessage("a"), HumanMessage("b"), AIMessage("c"), AIMessage(""), AIMessage("d")]
    assert [turn["content"] for turn in _messages.to_chat_messages(messages)] == [
        "a\n\nb",
        "c\n\nd",
    ]


def test_speakers_calls_and_results_stay_apart():
    messages = [
        HumanMessage("a", name="ann"),
        HumanMessage("b", name="bob"),
        AIMessage("I add."),
        AIMessage("", tool_calls=[CALL]),
        ToolMessage("3", tool_call_id="c1"),
        ToolMessage("4", tool_call_id="c2"),
    ]
    assert len(_messages.to_chat_messages(messages)) == len(messages)


def test_conversion_leaves_the_messages_alone():
    messages = [HumanMessage("a"), HumanMessage("b"), AIMessage("", tool_calls=[CALL])]
    before = [message.model_copy(deep=True) for message in messages]
    _messages.to_chat_messages(messages)
    assert messages == before


@pytest.mark.parametrize(
    ("message", "words"),
    [
        (HumanMessage([{"type": "image", "url": "x"}]), ["human", "'image'", "'text'"]),
        (HumanMessage([{"type": "thinking", "thinking": "x"}]), ["human", "'thinking'"]),
        (ToolMessage([{"value": 1}], tool_call_id="c1"), ["tool", "None"]),
        (RemoveMessage(id="x"), ["'remove'"]),
    ],
)
def test_what_a_text_model_cannot_read_is_an_error(message, words):
    with pytest.raises(RequestError) as error:
        _messages.to_chat_messages([message])
    assert all(word in str(error.value) for word in words)


def test_no_messages_is_an_error():
    with pytest.raises(RequestError, match="empty"):
        _messages.to_chat_messages([])


def to_chat_chunk(output):
    delta = ReplyDelta(text=output.text)
    return _results.to_chat_chunk(output, delta, "m", num_reasoning_tokens=1)


def test_a_chunk_in_the_middle_says_nothing_that_adds_up():
    chunk = to_chat_chunk(TokenOutput(request_id="r", token_ids=(1,), text="Hi"))
    assert chunk.message.content == "Hi"
    assert chunk.message.response_metadata == {"model_provider": "mlx"}
    assert chunk.message.usage_metadata is None
    assert chunk.message.chunk_position is None
    assert chunk.generation_info is None


def test_the_last_chunk_says_the_rest():
    output = TokenOutput(
        request_id="r",
        text="Hi",
        finish_reason=FinishReason.STOP,
        stop_reason="\n",
        usage=Usage(prompt_tokens=5, completion_tokens=2, cached_tokens=3, cache_creation_tokens=2),
        metrics=METRICS,
    )
    chunk = to_chat_chunk(output)
    assert chunk.message.chunk_position == "last"
    assert chunk.message.usage_metadata == {
        "input_tokens": 5,
        "output_tokens": 2,
        "total_tokens": 7,
        "input_token_details": {"cache_read": 3, "cache_creation": 2},
        "output_token_details": {"reasoning": 1},
    }
    assert chunk.message.response_metadata == {
        "model_provider": "mlx",
        "model_name": "m",
        "finish_reason": "stop",
        "stop_reason": "\n",
        "timings": {
            "queue_s": 0.1,
            "time_to_first_token_s": 0.2,
            "total_s": 0.3,
            "prefill_tokens_per_s": 4.0,
            "decode_tokens_per_s": 5.0,
            "peak_memory_bytes": 6,
        },
    }


def test_logprobs_have_the_shape_of_openai():
    entry = TokenLogprobs(
        Logprob(7, "é", -0.1), (Logprob(7, "é", -0.1), Logprob(8, "\ufffd", -2.0))
    )
    chunk = to_chat_chunk(TokenOutput(request_id="r", text="é", logprobs=(entry,)))
    chosen = {"token": "é", "bytes": [0xC3, 0xA9], "logprob": -0.1}
    unknown = {"token": "\ufffd", "bytes": None, "logprob": -2.0}
    assert chunk.message.response_metadata["logprobs"] == {
        "content": [{**chosen, "top_logprobs": [chosen, unknown]}]
    }
