"""LlamaIndex's messages to the turns of a chat template.

Pure functions of values: nothing here knows an engine, a tokenizer or a thread.
"""

import contextlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from llama_index.core.base.llms.types import (
    CachePoint,
    ChatMessage,
    CitableBlock,
    CitationBlock,
    MessageRole,
    TextBlock,
    ThinkingBlock,
    ToolCallBlock,
)

from mlx_backends.errors import RequestError
from mlx_backends.text.grounding import GROUNDED_SYSTEM_PROMPT, number_passages
from mlx_backends.text.turns import Turn, merge_turns

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


@dataclass(frozen=True, slots=True)
class Chat:
    """What a chat template reads.

    Attributes:
        turns: In the order that templates accept (``merge_turns``).
        passages: Citable blocks that the turns show, numbered from 1 in this order.
    """

    turns: list[Turn]
    passages: list[CitableBlock]


def to_chat(messages: Sequence[ChatMessage]) -> Chat:
    """Write messages in the form that chat templates read; they stay as they are.

    Citable blocks become numbered passages, under the instruction to cite them.

    Raises:
        RequestError: There is no message, or one holds a block that a text model cannot read.
    """
    if not messages:
        raise RequestError("There are no messages; a chat needs at least one.")
    passages: list[CitableBlock] = []
    turns = [_to_turn(message, passages) for message in messages]
    if passages:
        turns.insert(0, {"role": "system", "content": GROUNDED_SYSTEM_PROMPT})
    return Chat(merge_turns(turns), passages)


def text_of_passage(passage: CitableBlock) -> str:
    """The passage as the model reads it.

    Raises:
        RequestError: It holds something else than text.
    """
    for block in passage.content:
        if not isinstance(block, TextBlock):
            raise RequestError(_unreadable("passage", block.block_type))
    return "\n".join(block.text for block in passage.content if isinstance(block, TextBlock))


def _to_turn(message: ChatMessage, passages: list[CitableBlock]) -> Turn:
    """One turn; its citable blocks are added to the passages of the chat."""
    texts: list[str] = []
    thoughts: list[str] = []
    calls: list[dict[str, Any]] = []
    shown: list[CitableBlock] = []
    for block in message.blocks:
        match block:
            case TextBlock():
                texts.append(block.text)
            case ThinkingBlock():
                thoughts.append(block.content or "")
            case ToolCallBlock():
                calls.append(_to_tool_call(block))
            case CitableBlock():
                shown.append(block)
            case CitationBlock() | CachePoint():
                pass  # what a citation says is in the text; this engine's cache needs no marks
            case _:
                raise RequestError(_unreadable(message.role.value, block.block_type))
    content = _with_passages("\n".join(texts), shown, first=len(passages) + 1)
    passages += shown
    turn: Turn = {"role": _ROLES[message.role], "content": content}
    if thoughts:
        # Templates of reasoning models read this key and keep what their model was trained to see.
        turn["reasoning_content"] = "\n".join(thoughts)
    if calls := calls or _calls_of_older_histories(message):
        turn["tool_calls"] = calls
    if turn["role"] == "tool":
        turn |= {
            key: message.additional_kwargs[key]
            for key in ("tool_call_id", "name")
            if key in message.additional_kwargs
        }
    return turn


def _unreadable(where: str, block_type: str) -> str:
    return (
        f"A {where} message holds a {block_type!r} block, which this text model cannot read. "
        "Allowed are text, thinking, tool_call, and citable blocks of text."
    )


def _with_passages(text: str, passages: Sequence[CitableBlock], *, first: int) -> str:
    """The text as a question over passages, as ``grounded_messages`` writes it."""
    if not passages:
        return text
    numbered = number_passages([text_of_passage(passage) for passage in passages], first=first)
    return f"{numbered}\n\nQuestion: {text.strip()}" if text.strip() else numbered


def _to_tool_call(block: ToolCallBlock) -> dict[str, Any]:
    return _tool_call(block.tool_call_id, block.tool_name, block.tool_kwargs)


def _calls_of_older_histories(message: ChatMessage) -> list[dict[str, Any]]:
    """Calls in OpenAI's form, which messages held before there was a block for them."""
    calls = message.additional_kwargs.get("tool_calls") or ()
    return [
        _tool_call(call.get("id"), call["function"]["name"], call["function"]["arguments"])
        for call in calls
        if isinstance(call, Mapping)
    ]


def _tool_call(call_id: str | None, name: str, arguments: Any) -> dict[str, Any]:
    if isinstance(arguments, str):
        # Templates want a mapping; text that is none was the model's slip and is shown as it was.
        with contextlib.suppress(json.JSONDecodeError):
            arguments = json.loads(arguments)
    return {"type": "function", "id": call_id, "function": {"name": name, "arguments": arguments}}
