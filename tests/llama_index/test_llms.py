"""``MLXLLM``: the eight ways to ask, what they answer, and which options they take."""

import inspect

import pytest
from llama_index.core.base.llms.types import ChatMessage, ChatResponse, CompletionResponse
from llama_index.core.prompts import PromptTemplate

from mlx_backends.core import SamplingParams
from mlx_backends.engine.mock import MockEngine
from mlx_backends.errors import ConfigError, ContextLengthError, RequestError
from mlx_backends.llama_index import MLXLLM

REPLY = "It holds a copper engine."
HISTORY = [ChatMessage(role="system", content="Be brief."), ChatMessage(content="What is there?")]


async def ask(llm: MLXLLM, method: str, *args, **options) -> list:
    """All responses of any of the eight methods; one that does not stream gives one."""
    response = getattr(llm, method)(*args, **options)
    if inspect.iscoroutine(response):
        response = await response
    if hasattr(response, "__aiter__"):
        return [item async for item in response]
    return list(response) if hasattr(response, "__next__") else [response]


CHATS = ["chat", "achat", "stream_chat", "astream_chat"]
COMPLETIONS = ["complete", "acomplete", "stream_complete", "astream_complete"]
ALL = [(name, HISTORY) for name in CHATS] + [(name, "What is there?") for name in COMPLETIONS]


@pytest.mark.parametrize("method", CHATS)
async def test_chat_answers_with_an_assistant_message(llm, engine, method):
    *_, response = await ask(llm, method, HISTORY)
    assert isinstance(response, ChatResponse)
    assert response.message.role == "assistant"
    assert response.message.content == REPLY
    assert engine.calls[0].prompt == "system: Be brief.\nuser: What is there?\nassistant: "


@pytest.mark.parametrize("method", COMPLETIONS)
async def test_completion_goes_through_the_chat_template(llm, engine, method):
    *_, response = await ask(llm, method, "What is there?")
    assert isinstance(response, CompletionResponse)
    assert response.text == REPLY
    assert engine.calls[0].prompt == "user: What is there?\nassistant: "


@pytest.mark.parametrize("method", COMPLETIONS)
async def test_formatted_prompt_reaches_the_model_as_it_is(llm, engine, method):
    await ask(llm, method, "Once upon a time", formatted=True)
    assert engine.calls[0].prompt == "Once upon a time"


@pytest.mark.parametrize("method", ["stream_chat", "astream_chat"])
async def test_chat_stream_accumulates_messages_and_yields_increments(llm, method):
    responses = await ask(llm, method, HISTORY)
    assert "".join(r.delta for r in responses) == REPLY
    assert [r.delta for r in responses] == ["It ", "holds ", "a ", "copper ", "engine.", ""]
    for index, response in enumerate(responses):
        assert response.message.content == "".join(r.delta for r in responses[: index + 1])


@pytest.mark.parametrize("method", ["stream_complete", "astream_complete"])
async def test_completion_stream_accumulates_text_and_yields_increments(llm, method):
    responses = await ask(llm, method, "Hi")
    for index, response in enumerate(responses):
        assert response.text == "".join(r.delta for r in responses[: index + 1])
    assert responses[-1].text == REPLY


@pytest.mark.parametrize(("method", "given"), ALL)
async def test_last_response_says_what_it_cost(llm, method, given):
    *earlier, last = await ask(llm, method, given, logprobs=True, top_logprobs=1)
    assert all(r.raw is None and r.logprobs is None and not r.additional_kwargs for r in earlier)
    prompt_tokens = last.raw["usage"]["prompt_tokens"]
    assert last.raw["usage"] == {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": 5,
        "total_tokens": prompt_tokens + 5,
        "cached_tokens": 0,
        "reasoning_tokens": 0,
    }
    assert last.additional_kwargs == {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": 5,
        "total_tokens": prompt_tokens + 5,
    }
    assert last.raw["model"] == "mock"
    assert last.raw["finish_reason"] == "stop"
    assert last.raw["stop_reason"] is None
    assert last.raw["timings"]["total_s"] == 0.002
    assert [[p.token for p in position] for position in last.logprobs] == [
        ["It "], ["holds "], ["a "], ["copper "], ["engine."]
    ]  # fmt: skip


@pytest.mark.parametrize(("method", "given"), ALL)
async def test_every_sampling_option_can_be_given_per_call(llm, engine, method, given):
    options = {
        "max_tokens": 3,
        "min_tokens": 1,
        "temperature": 0.5,
        "top_p": 0.9,
        "top_k": 7,
        "min_p": 0.1,
        "repetition_penalty": 1.1,
        "repetition_context_size": 5,
        "presence_penalty": 0.2,
        "frequency_penalty": 0.3,
        "seed": 11,
        "stop": ["\n"],
        "stop_token_ids": [1],
        "ignore_eos": True,
        "logprobs": True,
        "top_logprobs": 2,
    }
    *_, last = await ask(llm, method, given, **options)
    assert engine.calls[0].sampling_params == SamplingParams(**options)
    assert last.raw["finish_reason"] == "length"


@pytest.mark.parametrize("stop", [" copper", ["nowhere", " copper"]])
@pytest.mark.parametrize(("method", "given"), ALL)
async def test_stop_strings_end_the_text(llm, method, given, stop):
    *_, last = await ask(llm, method, given, stop=stop)
    assert (last.message.content if isinstance(last, ChatResponse) else last.text) == "It holds a"
    assert last.raw["stop_reason"] == " copper"


@pytest.mark.parametrize(("method", "given"), ALL)
async def test_unknown_option_of_a_call_is_an_error_at_the_call(llm, engine, method, given):
    async def call() -> None:  # and no more: a stream raises before it is read
        response = getattr(llm, method)(given, temprature=0.5)
        assert inspect.iscoroutine(response), "raises later than at the call"
        await response

    with pytest.raises(ConfigError, match="'temprature'"):
        await call()
    assert engine.calls == []


def test_model_without_a_template_gets_llama_index_own_prompts(engine, monkeypatch):
    monkeypatch.setattr(type(engine.tokenizer), "has_chat_template", False)
    llm = MLXLLM(engine=engine)
    assert not llm.metadata.is_chat_model
    llm.chat(HISTORY)
    llm.complete("Once upon a time")
    llm.predict(PromptTemplate("Say {word}."), word="hello")
    assert [call.prompt for call in engine.calls] == [
        "system: Be brief.\nuser: What is there?\nassistant: ",
        "Once upon a time",
        "Say hello.",
    ]


def test_ones_own_prompt_functions_take_the_templates_place(engine):
    llm = MLXLLM(
        engine=engine,
        messages_to_prompt=lambda messages: "|".join(m.content for m in messages),
        completion_to_prompt=lambda prompt: f"<{prompt}>",
    )
    llm.chat(HISTORY)
    llm.complete("Hi")
    assert [call.prompt for call in engine.calls] == ["Be brief.|What is there?", "<Hi>"]


def test_predict_uses_the_system_prompt(engine):
    llm = MLXLLM(engine=engine, system_prompt="Be brief.")
    assert llm.predict(PromptTemplate("Say {word}."), word="hello") == REPLY
    assert engine.calls[0].prompt == "system: Be brief.\nuser: Say hello.\nassistant: "


@pytest.mark.parametrize("method", CHATS)
async def test_callers_messages_stay_as_they_are(llm, method):
    history = [
        ChatMessage(role="system", content="One."),
        ChatMessage(role="system", content="Two."),
        ChatMessage(content="Hi"),
    ]
    before = [message.model_copy(deep=True) for message in history]
    await ask(llm, method, history)
    assert history == before


@pytest.mark.parametrize("method", CHATS)
async def test_errors_of_the_request_reach_the_caller(method):
    with pytest.raises(ContextLengthError):
        await ask(MLXLLM(engine=MockEngine(context_window=8)), method, HISTORY)
    with pytest.raises(RequestError, match="no messages"):
        await ask(MLXLLM(engine=MockEngine()), method, [])
    with pytest.raises(MemoryError):
        await ask(MLXLLM(engine=MockEngine([MemoryError("no room")])), method, HISTORY)
