"""Pure functions between LangChain's messages and results and the engine's values.

Inwards, messages become the dictionaries that chat templates read; outwards, a ``TokenOutput``
becomes a chunk. A completion that was not streamed is one output, and so one chunk, too.
"""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    BaseMessage,
    ChatMessage,
    FunctionMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
    message_chunk_to_message,
)
from langchain_core.messages.ai import InputTokenDetails, UsageMetadata
from langchain_core.outputs import (
    ChatGeneration,
    ChatGenerationChunk,
    ChatResult,
    Generation,
    GenerationChunk,
    LLMResult,
)

from mlx_backends.core import Logprob, TokenLogprobs, TokenOutput, Usage
from mlx_backends.errors import RequestError
from mlx_backends.text.turns import merge_turns

_MODEL_PROVIDER = "mlx"

# The text of these blocks, by type; a model's own reasoning reaches the template apart.
_REASONING_KEYS = {"reasoning": "reasoning", "thinking": "thinking"}
# Blocks of an AI message that say nothing more: calls are in ``tool_calls`` as well.
_SILENT_BLOCKS = frozenset({"tool_call", "tool_use", "invalid_tool_call", "redacted_thinking"})


def to_chat_messages(messages: Sequence[BaseMessage]) -> list[dict[str, Any]]:
    """Messages as chat templates take them, in an order that they accept (``merge_turns``).

    Raises:
        RequestError: There are no messages, or one holds something else than text.
    """
    if not messages:
        raise RequestError("The conversation is empty; give at least one message.")
    return merge_turns(_to_turn(message) for message in messages)


def is_visible(output: TokenOutput) -> bool:
    """Whether a reader sees anything of it; text can lag behind the tokens."""
    return bool(output.text or output.logprobs or output.finish_reason)


def to_chat_chunk(output: TokenOutput, model_name: str) -> ChatGenerationChunk:
    """One increment of an answer."""
    is_last = output.finish_reason is not None
    message = AIMessageChunk(
        content=output.text,
        response_metadata=_response_metadata(output, model_name),
        usage_metadata=None if output.usage is None else _usage_metadata(output.usage),
        chunk_position="last" if is_last else None,
    )
    generation_info = (
        {"finish_reason": output.finish_reason.value} if output.finish_reason else None
    )
    return ChatGenerationChunk(message=message, generation_info=generation_info)


def to_chat_result(output: TokenOutput, model_name: str) -> ChatResult:
    """A whole answer."""
    chunk = to_chat_chunk(output, model_name)
    message = message_chunk_to_message(chunk.message)
    generation = ChatGeneration(message=message, generation_info=chunk.generation_info)
    return ChatResult(generations=[generation])


def to_generation_chunk(output: TokenOutput, model_name: str) -> GenerationChunk:
    """One increment of a completion."""
    return GenerationChunk(text=output.text, generation_info=_generation_info(output, model_name))


def to_llm_result(outputs: Sequence[TokenOutput], model_name: str) -> LLMResult:
    """Whole completions, one for each prompt."""
    usages = [output.usage for output in outputs if output.usage is not None]
    return LLMResult(
        generations=[
            [Generation(text=output.text, generation_info=_generation_info(output, model_name))]
            for output in outputs
        ],
        llm_output={
            "model_name": model_name,
            "token_usage": {
                "prompt_tokens": sum(usage.prompt_tokens for usage in usages),
                "completion_tokens": sum(usage.completion_tokens for usage in usages),
                "total_tokens": sum(usage.total_tokens for usage in usages),
            },
        },
    )


def _to_turn(message: BaseMessage) -> dict[str, Any]:
    match message:
        case SystemMessage():
            return {"role": "system", "content": _text(message)}
        case HumanMessage():
            return _with_name({"role": "user", "content": _text(message)}, message)
        case AIMessage():
            return _with_name(_assistant_turn(message), message)
        case ToolMessage():
            turn = {
                "role": "tool",
                "content": _text(message),
                "tool_call_id": message.tool_call_id,
            }
            return _with_name(turn, message)
        case FunctionMessage():
            return _with_name({"role": "tool", "content": _text(message)}, message)
        case ChatMessage():
            return _with_name({"role": message.role, "content": _text(message)}, message)
    raise RequestError(
        f"A message of type {message.type!r} cannot be part of a prompt. "
        "Allowed are system, human, ai, tool, function and chat messages."
    )


def _assistant_turn(message: AIMessage) -> dict[str, Any]:
    turn: dict[str, Any] = {"role": "assistant", "content": _text(message)}
    reasoning = _reasoning(message)
    if reasoning:
        turn["reasoning_content"] = reasoning
    # Invalid calls stay in the history as they were written: a tool message answers each of them.
    calls = [
        *((call["id"], call["name"], call["args"]) for call in message.tool_calls),
        *((call["id"], call["name"], call["args"]) for call in message.invalid_tool_calls),
    ]
    if calls:
        turn["tool_calls"] = [
            {"type": "function", "id": id_, "function": {"name": name, "arguments": arguments}}
            for id_, name, arguments in calls
        ]
    return turn


def _with_name(turn: dict[str, Any], message: BaseMessage) -> dict[str, Any]:
    return {**turn, "name": message.name} if message.name else turn


def _text(message: BaseMessage) -> str:
    if isinstance(message.content, str):
        return message.content
    return "".join(_block_text(block, message) for block in message.content)


def _block_text(block: str | dict[str, Any], message: BaseMessage) -> str:
    if isinstance(block, str):
        return block
    kind = block.get("type")
    if kind == "text":
        return block["text"]
    if isinstance(message, AIMessage) and (kind in _REASONING_KEYS or kind in _SILENT_BLOCKS):
        return ""
    raise RequestError(
        f"This model reads text; the {message.type} message holds a block of type {kind!r}. "
        "Content must be a string or a list of strings and of blocks of type 'text'."
    )


def _reasoning(message: AIMessage) -> str:
    blocks = [] if isinstance(message.content, str) else message.content
    return "".join(
        block.get(_REASONING_KEYS[block["type"]], "")
        for block in blocks
        if isinstance(block, dict) and block.get("type") in _REASONING_KEYS
    )


def _generation_info(output: TokenOutput, model_name: str) -> dict[str, Any]:
    info = _response_metadata(output, model_name)
    if output.usage is not None:
        info["usage_metadata"] = _usage_metadata(output.usage)
    return info


def _response_metadata(output: TokenOutput, model_name: str) -> dict[str, Any]:
    """What is said besides the text; all but the provider and ``logprobs`` on the last chunk only.

    LangChain merges chunks by adding strings and numbers, so the rest must come once.
    """
    metadata: dict[str, Any] = {"model_provider": _MODEL_PROVIDER}
    if output.logprobs:
        metadata["logprobs"] = {"content": [_logprob_entry(entry) for entry in output.logprobs]}
    if output.finish_reason is None:
        return metadata
    metadata["model_name"] = model_name
    metadata["finish_reason"] = output.finish_reason.value
    if output.stop_reason is not None:
        metadata["stop_reason"] = output.stop_reason
    if output.metrics is not None:
        metadata["timings"] = asdict(output.metrics)
    return metadata


def _usage_metadata(usage: Usage) -> UsageMetadata:
    return UsageMetadata(
        input_tokens=usage.prompt_tokens,
        output_tokens=usage.completion_tokens,
        total_tokens=usage.total_tokens,
        input_token_details=InputTokenDetails(cache_read=usage.cached_tokens),
    )


def _logprob_entry(entry: TokenLogprobs) -> dict[str, Any]:
    """As in OpenAI's ``logprobs.content``."""
    return {**_logprob(entry.chosen), "top_logprobs": [_logprob(other) for other in entry.top]}


def _logprob(logprob: Logprob) -> dict[str, Any]:
    # A token can end inside a character; its text then holds U+FFFD and its bytes are not known.
    is_whole = "\ufffd" not in logprob.text
    return {
        "token": logprob.text,
        "bytes": list(logprob.text.encode()) if is_whole else None,
        "logprob": logprob.logprob,
    }
