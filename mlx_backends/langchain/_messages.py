"""Pure functions from LangChain's messages to the dictionaries that chat templates read."""

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    ChatMessage,
    FunctionMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)

from mlx_backends.errors import RequestError
from mlx_backends.text.turns import merge_turns

Turn = dict[str, Any]
Block = str | dict[str, Any]

# The text of these blocks, by type; a model's own reasoning reaches the template apart.
_REASONING_KEYS = {"reasoning": "reasoning", "thinking": "thinking"}
# Blocks of an AI message that say nothing more than its ``tool_calls``.
_SILENT_BLOCKS = frozenset(
    {"tool_call", "tool_call_chunk", "tool_use", "invalid_tool_call", "redacted_thinking"}
)


def to_chat_messages(messages: Sequence[BaseMessage]) -> list[Turn]:
    """Messages as chat templates take them, in an order that they accept (``merge_turns``).

    Raises:
        RequestError: There are no messages, or one holds something else than text.
    """
    if not messages:
        raise RequestError("The conversation is empty; give at least one message.")
    return merge_turns(turn for message in messages for turn in _to_turns(message))


def _to_turns(message: BaseMessage) -> Iterator[Turn]:
    match message:
        case SystemMessage():
            yield {"role": "system", "content": _text(message)}
        case HumanMessage():
            yield from _human_turns(message)
        case AIMessage():
            yield _with_name(_assistant_turn(message), message)
        case ToolMessage():
            yield _with_name(
                _tool_turn(message.tool_call_id, _text(message), message.status == "error"), message
            )
        case FunctionMessage():
            yield _with_name({"role": "tool", "content": _text(message)}, message)
        case ChatMessage():
            yield _with_name({"role": message.role, "content": _text(message)}, message)
        case _:
            raise RequestError(
                f"A message of type {message.type!r} cannot be part of a prompt. "
                "Allowed are system, human, ai, tool, function and chat messages."
            )


def _human_turns(message: HumanMessage) -> Iterator[Turn]:
    """The results of tools that a human message may carry (Anthropic's form), then its text."""
    blocks = _blocks(message)
    results = [block for block in blocks if _kind(block) == "tool_result"]
    for block in results:
        assert isinstance(block, dict)
        text = _joined(_listed(block.get("content") or ""), message)
        yield _tool_turn(block.get("tool_use_id"), text, bool(block.get("is_error")))
    rest = [block for block in blocks if _kind(block) != "tool_result"]
    if rest or not results:
        yield _with_name({"role": "user", "content": _joined(rest, message)}, message)


def _tool_turn(call_id: str | None, text: str, is_error: bool) -> Turn:
    # Templates do not read a status, so the text must tell.
    is_told = text.lstrip().lower().startswith("error")
    content = f"Error: {text}" if is_error and not is_told else text
    return {"role": "tool", "content": content, "tool_call_id": call_id}


def _assistant_turn(message: AIMessage) -> Turn:
    turn: Turn = {"role": "assistant", "content": _text(message)}
    reasoning = _reasoning(message)
    if reasoning:
        turn["reasoning_content"] = reasoning
    calls = [*_calls(message)]
    if calls:
        turn["tool_calls"] = [
            {"type": "function", "id": id_, "function": {"name": name, "arguments": arguments}}
            for id_, name, arguments in calls
        ]
    return turn


def _calls(message: AIMessage) -> Iterator[tuple[str | None, str | None, Any]]:
    """Id, name and arguments of each call, whichever way the message tells of it."""
    for call in message.tool_calls:
        yield call["id"], call["name"], call["args"]
    # Invalid calls stay in the history as they were written: a tool message answers each of them.
    for invalid in message.invalid_tool_calls:
        yield invalid["id"], invalid["name"], invalid["args"]
    known = {call["id"] for call in (*message.tool_calls, *message.invalid_tool_calls)}
    for block in _blocks(message):
        if isinstance(block, dict) and _kind(block) == "tool_use" and block.get("id") not in known:
            yield block.get("id"), block.get("name"), block.get("input") or {}


def _with_name(turn: Turn, message: BaseMessage) -> Turn:
    return {**turn, "name": message.name} if message.name else turn


def _text(message: BaseMessage) -> str:
    return _joined(_blocks(message), message)


def _blocks(message: BaseMessage) -> list[Block]:
    return _listed(message.content)


def _listed(content: str | list[Any]) -> list[Block]:
    return [content] if isinstance(content, str) else content


def _kind(block: Block) -> str | None:
    return "text" if isinstance(block, str) else block.get("type")


def _joined(blocks: Iterable[Block], message: BaseMessage) -> str:
    return "".join(_block_text(block, message) for block in blocks)


def _block_text(block: Block, message: BaseMessage) -> str:
    if isinstance(block, str):
        return block
    kind = _kind(block)
    if kind == "text" or (kind == "text-plain" and isinstance(block.get("text"), str)):
        return block["text"]
    if kind == "json" and isinstance(message, ToolMessage):
        return json.dumps(block.get("json"), ensure_ascii=False)
    if isinstance(message, AIMessage) and (kind in _REASONING_KEYS or kind in _SILENT_BLOCKS):
        return ""
    raise RequestError(
        f"This model reads text; the {message.type} message holds a block of type {kind!r}. "
        "Content must be a string or a list of strings and of blocks of type 'text'."
    )


def _reasoning(message: AIMessage) -> str:
    in_blocks = "".join(
        block.get(_REASONING_KEYS[block["type"]], "")
        for block in _blocks(message)
        if isinstance(block, dict) and block.get("type") in _REASONING_KEYS
    )
    return in_blocks or message.additional_kwargs.get("reasoning_content") or ""
