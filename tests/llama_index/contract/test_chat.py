"""The chat rows of langchain-tests' integration suite, under their names, for ``MLXLLM``.

Where a row there only looks at types, the row here looks at the answer.
"""

import asyncio
from concurrent.futures import ThreadPoolExecutor

import pytest
from llama_index.core.base.llms.types import (
    AudioBlock,
    ChatMessage,
    DocumentBlock,
    ImageBlock,
    MessageRole,
    TextBlock,
    ThinkingBlock,
    VideoBlock,
)

from mlx_backends import registry
from mlx_backends.config import EngineConfig
from mlx_backends.errors import ContextLengthError, RequestError

from .conftest import PORTS, ask_port, responses_of, right_answer

CHATS = ["chat", "achat", "stream_chat", "astream_chat"]
COMPLETIONS = ["complete", "acomplete", "stream_complete", "astream_complete"]
QUESTION = "Answer from the context. Context: The lake is blue. Question: What colour is the lake?"


def test_invoke(llm):
    message = llm.chat(ask_port("Cedar")).message
    assert message.role == MessageRole.ASSISTANT
    assert message.blocks == [TextBlock(text=right_answer("Cedar"))]
    assert llm.complete(QUESTION).text == llm.chat([ChatMessage(QUESTION)]).message.content != ""


async def test_ainvoke(llm):
    response = await llm.achat(ask_port("Cedar"))
    assert response.message.content == right_answer("Cedar")
    assert (await llm.acomplete(QUESTION)).text == llm.complete(QUESTION).text


def test_stream(llm):
    responses = list(llm.stream_chat(ask_port("Elm")))
    assert "".join(r.delta for r in responses) == right_answer("Elm")
    _check_that_messages_accumulate(responses)
    completions = list(llm.stream_complete(QUESTION))
    assert "".join(r.delta for r in completions) == completions[-1].text
    assert completions[-1].text == llm.complete(QUESTION).text


async def test_astream(llm):
    responses = await responses_of(llm, "astream_chat", ask_port("Elm"))
    assert "".join(r.delta for r in responses) == right_answer("Elm")
    _check_that_messages_accumulate(responses)
    completions = await responses_of(llm, "astream_complete", QUESTION)
    assert [r.delta for r in completions] == [r.delta for r in llm.stream_complete(QUESTION)]


def _check_that_messages_accumulate(responses):
    """More than one, each holding all before it; what is known at the end is in the last alone."""
    assert len(responses) > 2
    for index, response in enumerate(responses):
        [text] = response.message.blocks
        assert text.text == "".join(r.delta for r in responses[: index + 1])
    assert [r.raw is not None for r in responses] == [False] * (len(responses) - 1) + [True]


def test_stream_events_v3(llm, events):
    *_, last = llm.stream_chat(ask_port("Elm"))
    _check_life_of_a_stream(events, last)


async def test_astream_events_v3(llm, events):
    *_, last = await responses_of(llm, "astream_chat", ask_port("Elm"))
    _check_life_of_a_stream(events, last)


def _check_life_of_a_stream(events, last):
    """Start, progress, end, in one span; the deltas are the message of the end."""
    start, *progress, end = events.events
    assert start.class_name() == "LLMChatStartEvent"
    assert {event.class_name() for event in progress} == {"LLMChatInProgressEvent"}
    assert end.class_name() == "LLMChatEndEvent"
    assert "".join(event.response.delta for event in progress) == right_answer("Elm")
    assert end.response == last
    assert {event.span_id for event in events.events} == {start.span_id}
    assert start.span_id is not None


@pytest.fixture
def other_model(tiny_lm) -> str:
    return str(tiny_lm)


def test_invoke_with_model_override(llm, other_model):
    response = llm.chat(ask_port("Elm"), model=other_model, max_tokens=2)
    assert response.raw["model"] == other_model
    assert llm.chat(ask_port("Elm")).raw["model"] != other_model


async def test_ainvoke_with_model_override(llm, other_model):
    response = await llm.achat(ask_port("Elm"), model=other_model, max_tokens=2)
    assert response.raw["model"] == other_model


def test_stream_with_model_override(llm, other_model):
    *_, last = llm.stream_chat(ask_port("Elm"), model=other_model, max_tokens=2)
    assert last.raw["model"] == other_model


async def test_astream_with_model_override(llm, other_model):
    options = {"model": other_model, "max_tokens": 2}
    *_, last = await responses_of(llm, "astream_chat", ask_port("Elm"), **options)
    assert last.raw["model"] == other_model


def test_batch(llm):
    """LlamaIndex's blocking code fans out over threads."""
    with ThreadPoolExecutor(len(PORTS)) as pool:
        responses = list(pool.map(llm.chat, map(ask_port, PORTS)))
    assert [r.message.content for r in responses] == [right_answer(name) for name in PORTS]


async def test_abatch(llm):
    responses = await asyncio.gather(*(llm.achat(ask_port(name)) for name in PORTS))
    assert [r.message.content for r in responses] == [right_answer(name) for name in PORTS]


def test_conversation(llm):
    """What was said before is part of the prompt, and does not get in the way."""
    history = [*ask_port("Alder"), ChatMessage(right_answer("Alder"), role="assistant")]
    response = llm.chat([*history, *ask_port("Birch")[1:]])
    assert response.message.content == right_answer("Birch")
    assert response.raw["usage"]["prompt_tokens"] > llm.count_tokens(history)


def test_double_messages_conversation(llm):
    """Neighbours of one role, which many templates refuse, become one turn."""
    system, question = ask_port("Cedar")
    doubled = [
        ChatMessage(role="system", content="You are brief."),
        system,
        ChatMessage(content="Hello"),
        ChatMessage(content="Good morning"),
        ChatMessage(role="assistant", content="Hello!"),
        ChatMessage(role="assistant", content="Ask me."),
        question,
    ]
    assert llm.chat(doubled).message.content == right_answer("Cedar")


@pytest.mark.parametrize("method", ["chat", "achat", "complete", "acomplete"])
async def test_usage_metadata(llm, method):
    given = ask_port("Elm") if "chat" in method else QUESTION
    [response] = await responses_of(llm, method, given)
    _check_usage(llm, given, response)


@pytest.mark.parametrize(
    "method", ["stream_chat", "astream_chat", "stream_complete", "astream_complete"]
)
async def test_usage_metadata_streaming(llm, method):
    """One response, the last, says what the stream cost."""
    given = ask_port("Elm") if "chat" in method else QUESTION
    *earlier, last = await responses_of(llm, method, given)
    assert not any(r.raw or r.additional_kwargs for r in earlier)
    _check_usage(llm, given, last)


def _check_usage(llm, given, response):
    messages = [ChatMessage(given)] if isinstance(given, str) else given
    usage = response.raw["usage"]
    assert usage["prompt_tokens"] == llm.count_tokens(messages)
    text = response.text if isinstance(given, str) else response.message.content
    # The end-of-sequence token is one more.
    assert usage["completion_tokens"] == len(llm.tokenize(text)) + 1
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]
    assert response.additional_kwargs.items() <= usage.items()
    assert response.raw["finish_reason"] == "stop"
    assert response.raw["timings"]["time_to_first_token_s"] > 0


@pytest.mark.parametrize("method", [*CHATS, *COMPLETIONS])
async def test_stop_sequence(llm, method):
    """It ends the text, is not in it, and may come from the constructor or the call."""
    digits = str(PORTS["Cedar"])
    given = ask_port("Cedar")
    if "complete" in method:
        given = f"{given[0].content}\n{given[1].content}"
    *_, whole = await responses_of(llm, method, given)
    constructed = llm.model_copy(update={"stop": [digits[2:]]})
    for stopping, options in ((llm, {"stop": digits[2:]}), (constructed, {})):
        *_, last = await responses_of(stopping, method, given, **options)
        text, whole_text = (
            r.message.content if "chat" in method else r.text for r in (last, whole)
        )
        assert digits[2:] in whole_text
        assert text == whole_text.partition(digits[2:])[0]
        assert last.raw["stop_reason"] == digits[2:]


@pytest.mark.parametrize("method", CHATS)
async def test_max_tokens(llm, method):
    *_, last = await responses_of(llm, method, ask_port("Cedar"), max_tokens=3)
    assert last.raw["usage"]["completion_tokens"] == 3
    assert last.raw["finish_reason"] == "length"


def test_message_with_name(llm):
    system, question = ask_port("Alder")
    named = ChatMessage(question.content, additional_kwargs={"name": "example_user"})
    assert llm.chat([system, named]).message.content == right_answer("Alder")


def test_anthropic_inputs(llm):
    """Content in blocks, and reasoning of an earlier answer, are taken."""
    system, question = ask_port("Birch")
    thinking = ThinkingBlock(content="A greeting.", additional_information={"signature": "Er"})
    history = [
        ChatMessage(role="user", blocks=[TextBlock(text="Hello")]),
        ChatMessage(role="assistant", blocks=[thinking, TextBlock(text="Hello, how are you?")]),
    ]
    assert llm.chat([system, *history, question]).message.content == right_answer("Birch")


def test_image_inputs(llm):
    _check_refused(llm, ImageBlock(image=b"\x89PNG"))


def test_image_tool_message(llm):
    _check_refused(llm, ImageBlock(image=b"\x89PNG"), role="tool")


def test_pdf_inputs(llm):
    _check_refused(llm, DocumentBlock(data=b"%PDF", document_mimetype="application/pdf"))


def test_pdf_tool_message(llm):
    block = DocumentBlock(data=b"%PDF", document_mimetype="application/pdf")
    _check_refused(llm, block, role="tool")


def test_audio_inputs(llm):
    _check_refused(llm, AudioBlock(audio=b"RIFF"))


def test_video_inputs(llm):
    _check_refused(llm, VideoBlock(video=b"\x00", video_mimetype="video/mp4"))


def _check_refused(llm, block, role="user"):
    """A typed error, at once; never an answer about something that was dropped."""
    message = ChatMessage(role=role, blocks=[TextBlock(text="What is this?"), block])
    with pytest.raises(RequestError, match=f"'{block.block_type}'"):
        llm.chat([ChatMessage("Hi"), message])


@pytest.mark.parametrize("method", CHATS)
async def test_history_longer_than_the_window(llm, method):
    """An error that says by how much, never a cut."""
    history = [ChatMessage("The lake is blue. " * 2_000), *ask_port("Elm")]
    with pytest.raises(ContextLengthError) as caught:
        await responses_of(llm, method, history)
    assert caught.value.context_window == llm.metadata.context_window
    assert caught.value.prompt_tokens == llm.count_tokens(history) > caught.value.context_window


def test_long_history(llm):
    """Two hundred turns fit, and the question at their end is answered."""
    turns = [ChatMessage(t, role=r) for t, r in (("Hello", "user"), ("Hi.", "assistant"))] * 100
    system, question = ask_port("Elm")
    response = llm.chat([system, *turns, question])
    assert response.message.content
    assert response.raw["usage"]["prompt_tokens"] > 1_000


@pytest.mark.parametrize("method", [*CHATS, *COMPLETIONS])
async def test_logprobs(llm, method):
    given = ask_port("Elm") if "chat" in method else "Repeat: one two three four five six"
    *_, last = await responses_of(llm, method, given, logprobs=True, top_logprobs=3, max_tokens=4)
    assert len(last.logprobs) == 4
    for position in last.logprobs:
        best = max(entry.logprob for entry in position)
        assert position[0].logprob == best <= 0  # greedy: the likeliest was chosen
        assert len(position) == 3
    assert "".join(position[0].token for position in last.logprobs) == (
        last.text if "complete" in method else last.message.content
    )


def test_seed(llm):
    """A seed repeats its draws; another one draws otherwise."""
    draws = [
        llm.complete("Hello", temperature=8.0, seed=seed, max_tokens=16, ignore_eos=True).text
        for seed in (1, 1, 2)
    ]
    assert draws[0] == draws[1] != draws[2]


async def test_cancelling_frees_the_sequence(llm):
    """A task that is cancelled and an iterator that is dropped leave nothing running."""
    engine = registry.get_engine(EngineConfig(model="bundled"))
    options = {"max_tokens": 2_000, "ignore_eos": True}
    stream = llm.stream_chat(ask_port("Elm"), **options)
    next(stream)
    task = asyncio.create_task(llm.achat(ask_port("Elm"), **options))
    while engine.stats().running < 2:
        await asyncio.sleep(0.01)
    del stream
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    async with asyncio.timeout(30):
        while engine.stats().running:
            await asyncio.sleep(0.01)
    assert engine.stats().aborted == 2
