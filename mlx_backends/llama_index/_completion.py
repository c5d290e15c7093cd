"""What a request has brought so far, and how LlamaIndex's responses say it."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from llama_index.core.base.llms.types import (
    ChatMessage,
    ChatResponse,
    CitableBlock,
    CompletionResponse,
    ContentBlock,
    LogProb,
    MessageRole,
    TextBlock,
    ThinkingBlock,
    ToolCallBlock,
)

from mlx_backends.core import Logprob, TokenLogprobs, TokenOutput
from mlx_backends.llama_index._citations import citations
from mlx_backends.text.reply import ReplyReader
from mlx_backends.text.tool_calls import ToolCallDelta


@dataclass(frozen=True, slots=True)
class Increment:
    """What one output brought.

    Attributes:
        text: New text of the answer.
        reasoning: New text of the reasoning before it.
        is_visible: Whether there is anything to show, be it that the completion has ended.
    """

    text: str
    reasoning: str
    is_visible: bool


@dataclass(slots=True)
class _Call:
    """A tool call as it grows; ``arguments`` is JSON text."""

    call_id: str
    name: str
    arguments: str = ""

    def to_block(self) -> ToolCallBlock:
        return ToolCallBlock(
            tool_call_id=self.call_id, tool_name=self.name, tool_kwargs=self._kwargs()
        )

    def to_openai(self) -> dict[str, Any]:
        function = {"name": self.name, "arguments": self.arguments}
        return {"id": self.call_id, "type": "function", "function": function}

    def is_whole(self) -> bool:
        return isinstance(self._kwargs(), dict)

    def _kwargs(self) -> dict[str, Any] | str:
        """The arguments, or the text of them while that is not complete."""
        if not self.arguments.endswith("}"):
            return self.arguments
        try:
            arguments = json.loads(self.arguments)
        except ValueError:
            return self.arguments
        return arguments if isinstance(arguments, dict) else self.arguments


class Completion:
    """Accumulates a completion and writes it as either of LlamaIndex's responses.

    A response holds what came so far and, as ``delta``, the newest increment. The one after the
    last output also holds what is known only then: ``raw``, token counts, log-probabilities and
    citations. A call that was cut off or cannot be read is no call; its text stays in the answer.

    Args:
        model_name: For ``raw``.
        reader: Tells reasoning, text and calls apart.
        passages: What the answer can cite.
        takes_one_call: Drop further calls, for models whose calls no grammar can hold back.
    """

    def __init__(
        self,
        model_name: str,
        reader: ReplyReader,
        passages: Sequence[CitableBlock] = (),
        *,
        takes_one_call: bool = False,
    ) -> None:
        self._model_name = model_name
        self._reader = reader
        self._passages = passages
        self._max_calls = 1 if takes_one_call else None
        self._text = ""
        self._reasoning = ""
        self._calls: list[_Call] = []
        self._logprobs: list[list[LogProb]] = []
        self._last: TokenOutput | None = None

    def add(self, output: TokenOutput) -> Increment:
        """Take the next output."""
        is_last = output.finish_reason is not None
        delta = self._reader.feed(output.text, num_tokens=len(output.token_ids), is_last=is_last)
        text = delta.text + "".join(map(self._add_call, delta.tool_calls))
        if is_last:
            text += self._without_broken_calls()
            self._last = output
        self._text += text
        self._reasoning += delta.reasoning
        self._logprobs += map(_to_logprobs, output.logprobs)
        is_visible = bool(text or delta.reasoning or delta.tool_calls or is_last)
        return Increment(text, delta.reasoning, is_visible)

    def to_chat_response(self, increment: Increment | None = None) -> ChatResponse:
        return ChatResponse(
            message=ChatMessage(
                role=MessageRole.ASSISTANT,
                blocks=self._blocks(),
                additional_kwargs=self._calls_for_older_readers(),
            ),
            delta=increment.text if increment else None,
            **self._figures(increment),
        )

    def to_completion_response(self, increment: Increment | None = None) -> CompletionResponse:
        return CompletionResponse(
            text=self._text,
            delta=increment.text if increment else None,
            **self._figures(increment),
        )

    def _add_call(self, delta: ToolCallDelta) -> str:
        """Take a piece of a call; returns the text of one that cannot be read."""
        if self._max_calls is not None and delta.index >= self._max_calls:
            return ""
        if delta.id is not None and delta.name is None:
            return delta.arguments
        if delta.id is not None and delta.name is not None:
            self._calls.append(_Call(delta.id, delta.name))
        self._calls[-1].arguments += delta.arguments
        return ""

    def _without_broken_calls(self) -> str:
        broken = [call for call in self._calls if not call.is_whole()]
        self._calls = [call for call in self._calls if call.is_whole()]
        return "".join(f"{call.name}{call.arguments}" for call in broken)

    def _blocks(self) -> list[ContentBlock]:
        """Reasoning, one text, calls, citations."""
        blocks: list[ContentBlock] = []
        if self._reasoning:
            num_tokens = self._reader.num_reasoning_tokens
            blocks.append(ThinkingBlock(content=self._reasoning, num_tokens=num_tokens))
        blocks.append(TextBlock(text=self._text))
        blocks += [call.to_block() for call in self._calls]
        if self._last is not None and self._passages:
            blocks += citations(self._text, self._passages)
        return blocks

    def _calls_for_older_readers(self) -> dict[str, Any]:
        """Parts of LlamaIndex (``process_streaming_objects``, chat engines) look here for calls."""
        return {"tool_calls": [call.to_openai() for call in self._calls]} if self._calls else {}

    def _figures(self, increment: Increment | None) -> dict[str, Any]:
        """What stands beside the message."""
        kwargs: dict[str, Any] = {}
        if increment and increment.reasoning:
            kwargs["thinking_delta"] = increment.reasoning
        if self._last is None:
            return {"additional_kwargs": kwargs}
        return {
            "raw": to_raw(self._model_name, self._last, self._reader.num_reasoning_tokens),
            "additional_kwargs": kwargs | _token_counts(self._last),
            "logprobs": self._logprobs or None,
        }


def to_raw(model_name: str, output: TokenOutput, num_reasoning_tokens: int = 0) -> dict[str, Any]:
    """The last output as plain values, with ``usage`` where LlamaIndex's token counter looks."""
    usage: dict[str, int] = _token_counts(output)
    if output.usage is not None:
        usage["cached_tokens"] = output.usage.cached_tokens
        usage["reasoning_tokens"] = num_reasoning_tokens
    return {
        "model": model_name,
        "finish_reason": str(output.finish_reason),
        "stop_reason": output.stop_reason,
        "usage": usage,
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
