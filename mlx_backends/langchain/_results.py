"""Pure functions from the engine's outputs to LangChain's results.

A ``TokenOutput`` and what a ``ReplyReader`` made of its text become a chunk. A completion that was
not streamed is one output, and so one chunk, too.
"""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from langchain_core.messages import AIMessageChunk, ToolCallChunk, message_chunk_to_message
from langchain_core.messages.ai import InputTokenDetails, OutputTokenDetails, UsageMetadata
from langchain_core.outputs import (
    ChatGeneration,
    ChatGenerationChunk,
    ChatResult,
    Generation,
    GenerationChunk,
    LLMResult,
)

from mlx_backends.core import Logprob, TokenLogprobs, TokenOutput, Usage
from mlx_backends.text.reply import ReplyDelta
from mlx_backends.text.tool_calls import ToolCallDelta

_MODEL_PROVIDER = "mlx"


def is_visible(output: TokenOutput, delta: ReplyDelta | None = None) -> bool:
    """Whether a reader sees anything of it; text can lag behind the tokens."""
    is_told = bool(output.logprobs or output.finish_reason)
    if delta is None:
        return is_told or bool(output.text)
    return is_told or bool(delta.text or delta.reasoning or delta.tool_calls)


def to_chat_chunk(
    output: TokenOutput, delta: ReplyDelta, model_name: str, *, num_reasoning_tokens: int = 0
) -> ChatGenerationChunk:
    """One increment of an answer."""
    is_last = output.finish_reason is not None
    metadata = _response_metadata(output, model_name)
    message = AIMessageChunk(
        content=delta.text,
        additional_kwargs={"reasoning_content": delta.reasoning} if delta.reasoning else {},
        tool_call_chunks=[_tool_call_chunk(call) for call in delta.tool_calls],
        response_metadata=metadata,
        usage_metadata=_usage_metadata(output.usage, num_reasoning_tokens),
        chunk_position="last" if is_last else None,
    )
    info = {"finish_reason": metadata["finish_reason"]} if is_last else None
    return ChatGenerationChunk(message=message, generation_info=info)


def to_chat_result(
    output: TokenOutput, delta: ReplyDelta, model_name: str, *, num_reasoning_tokens: int = 0
) -> ChatResult:
    """A whole answer."""
    chunk = to_chat_chunk(output, delta, model_name, num_reasoning_tokens=num_reasoning_tokens)
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


def _tool_call_chunk(call: ToolCallDelta) -> ToolCallChunk:
    return ToolCallChunk(
        name=call.name,
        args=call.arguments,
        id=call.id,
        index=call.index,
        type="tool_call_chunk",
    )


def _generation_info(output: TokenOutput, model_name: str) -> dict[str, Any]:
    info = _response_metadata(output, model_name)
    if output.usage is not None:
        info["usage_metadata"] = _usage_metadata(output.usage, 0)
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


def _usage_metadata(usage: Usage | None, num_reasoning_tokens: int) -> UsageMetadata | None:
    if usage is None:
        return None
    return UsageMetadata(
        input_tokens=usage.prompt_tokens,
        output_tokens=usage.completion_tokens,
        total_tokens=usage.total_tokens,
        input_token_details=InputTokenDetails(
            cache_read=usage.cached_tokens, cache_creation=usage.cache_creation_tokens
        ),
        output_token_details=OutputTokenDetails(reasoning=num_reasoning_tokens),
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
