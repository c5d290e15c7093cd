"""LlamaIndex's messages to chat-template turns, and token outputs to LlamaIndex's responses.

Pure functions of values: nothing here knows an engine, a tokenizer or a thread.
"""

import contextlib
import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from llama_index.core.base.llms.types import (
    CachePoint,
    ChatMessage,
    ChatResponse,
    CompletionResponse,
    LogProb,
    MessageRole,
    TextBlock,
    ThinkingBlock,
    ToolCallBlock,
)

from mlx_backends.core import Logprob, TokenLogprobs, TokenOutput
from mlx_backends.errors import RequestError
from mlx_backends.text.turns import merge_turns

_ROLES = {
    MessageRole.SYSTEM: "system",
    MessageRole.DEVELOPER: "system",
    MessageRole.USER: "user",
    MessageRole.ASSISTANT: "assistant",
    MessageRole.CHATBOT: "assistant",
    MessageRole.MODEL: "assistant",
    MessageRole.TOOL: "tool",
    MessageRole.FUNCTION: "tool",
}


def to_chat_messages(messages: Sequence[ChatMessage]) -> list[dict[str, Any]]:
    """Write messages in the form and order that chat templates read (``merge_turns``).

    Raises:
        RequestError: There is no message, or one holds a block that a text model cannot read.
    """
    if not messages:
        raise RequestError("There are no messages; a chat needs at least one.")
    return merge_turns(map(_to_turn, messages))


def _to_turn(message: ChatMessage) -> dict[str, Any]:
    texts: list[str] = []
    thoughts: list[str] = []
    calls: list[dict[str, Any]] = []
    for block in message.blocks:
        match block:
            case TextBlock():
                texts.append(block.text)
            case ThinkingBlock():
                thoughts.append(block.content or "")
            case ToolCallBlock():
                calls.append(_to_tool_call(block))
            case CachePoint():
                pass  # a hint to servers that cache by mark; this engine's cache needs none
            case _:
                raise RequestError(
                    f"A {message.role.value} message holds a {block.block_type!r} block, which "
                    "this text model cannot read. Allowed are text, thinking and tool_call."
                )
    turn: dict[str, Any] = {"role": _ROLES[message.role], "content": "\n".join(texts)}
    if thoughts:
        # Templates of reasoning models read this key and keep what their model was trained to see.
        turn["reasoning_content"] = "\n".join(thoughts)
    if calls:
        turn["tool_calls"] = calls
    if turn["role"] == "tool":
        turn |= {
            key: message.additional_kwargs[key]
            for key in ("tool_call_id", "name")
            if key in message.additional_kwargs
        }
    return turn


def _to_tool_call(block: ToolCallBlock) -> dict[str, Any]:
    arguments = block.tool_kwargs
    if isinstance(arguments, str):
        # Templates want a mapping; text that is none was the model's slip and is shown as it was.
        with contextlib.suppress(json.JSONDecodeError):
            arguments = json.loads(arguments)
    function = {"name": block.tool_name, "arguments": arguments}
    return {"type": "function", "id": block.tool_call_id, "function": function}


class Completion:
    """What a request has brought so far, written as either of LlamaIndex's responses.

    A response holds the accumulated text and, as ``delta``, the newest increment. The one after
    the last output also holds what is known only then: ``raw``, token counts, log-probabilities.
    """

    def __init__(self, model_name: str) -> None:
        self._model_name = model_name
        self._text = ""
        self._logprobs: list[list[LogProb]] = []
        self._final: dict[str, Any] = {}

    def add(self, output: TokenOutput) -> None:
        self._text += output.text
        self._logprobs += map(_to_logprobs, output.logprobs)
        if output.finish_reason is not None:
            self._final = {
                "raw": to_raw(self._model_name, output),
                "additional_kwargs": _token_counts(output),
                "logprobs": self._logprobs or None,
            }

    def to_chat_response(self, delta: str | None = None) -> ChatResponse:
        message = ChatMessage(role=MessageRole.ASSISTANT, content=self._text)
        return ChatResponse(message=message, delta=delta, **self._final)

    def to_completion_response(self, delta: str | None = None) -> CompletionResponse:
        return CompletionResponse(text=self._text, delta=delta, **self._final)


def to_raw(model_name: str, output: TokenOutput) -> dict[str, Any]:
    """The last output as plain values, with ``usage`` where LlamaIndex's token counter looks."""
    return {
        "model": model_name,
        "finish_reason": str(output.finish_reason),
        "stop_reason": output.stop_reason,
        "usage": _token_counts(output)
        | ({"cached_tokens": output.usage.cached_tokens} if output.usage else {}),
        "timings": asdict(output.metrics) if output.metrics else {},
    }


def _token_counts(output: TokenOutput) -> dict[str, int]:
    if output.usage is None:
        return {}
    return {
        "prompt_tokens": output.usage.prompt_tokens,
        "completion_tokens": output.usage.completion_tokens,
        "total_tokens": output.usage.total_tokens,
    }


def _to_logprobs(position: TokenLogprobs) -> list[LogProb]:
    """The chosen token first, then the likeliest others."""
    others = (top for top in position.top if top.token_id != position.chosen.token_id)
    return [_to_logprob(logprob) for logprob in (position.chosen, *others)]


def _to_logprob(logprob: Logprob) -> LogProb:
    # A token can end inside a character; its text then holds U+FFFD and its bytes are not known.
    known = [] if "\ufffd" in logprob.text else list(logprob.text.encode())
    return LogProb(token=logprob.text, logprob=logprob.logprob, bytes=known)
