"""Turns a token into what its reader gets: text, log-probabilities, and whether it was the last."""

from dataclasses import replace

from mlx_backends.core import FinishReason, Logprob, TokenLogprobs, TokenOutput
from mlx_backends.engine.launched import StepResult
from mlx_backends.engine.sequence import Sequence
from mlx_backends.text.tokenizer import Tokenizer


def take_in(sequence: Sequence, result: StepResult, tokenizer: Tokenizer) -> TokenOutput:
    """Give a drawn token to its sequence.

    Returns:
        The increment, with ``finish_reason`` and ``stop_reason`` set if it ends the completion.
    """
    token_id = result.token_id
    assert token_id is not None
    sequence.append(token_id)
    reason = _finish_reason(sequence, tokenizer.eos_token_ids)
    text, stop_string = _new_text(sequence, reason)
    output = TokenOutput(
        request_id=sequence.request_id,
        token_ids=(token_id,),
        text=text,
        logprobs=_logprobs(token_id, result, tokenizer),
    )
    if stop_string is not None:
        return replace(output, finish_reason=FinishReason.STOP, stop_reason=stop_string)
    if reason is not None:
        stop_id = token_id if token_id in sequence.params.stop_token_ids else None
        return replace(output, finish_reason=reason, stop_reason=stop_id)
    return output


def _finish_reason(sequence: Sequence, eos_token_ids: frozenset[int]) -> FinishReason | None:
    """Whether the last token ends the completion, stop strings aside."""
    reason = sequence.finish_reason(eos_token_ids)
    constraint = sequence.constraint
    if constraint is None or reason is FinishReason.STOP:
        return reason
    constraint.accept(sequence.last_token_id)
    return FinishReason.STOP if constraint.is_finished else reason


def _new_text(sequence: Sequence, reason: FinishReason | None) -> tuple[str, str | None]:
    """Text that the last token decided, and the stop string that it completed, if any."""
    matcher, detokenizer = sequence.stop_matcher, sequence.detokenizer
    # The ending token is no part of the text, unless a grammar ended with it.
    ends_text = reason is FinishReason.STOP and not _is_whole(sequence)
    decoded = "" if ends_text else detokenizer.add(sequence.last_token_id)
    if reason is not None:
        decoded += detokenizer.finish()
    found = matcher.feed(decoded)
    if found.matched is not None or reason is None:
        return found.text_to_emit, found.matched
    return found.text_to_emit + matcher.finish(), None


def _is_whole(sequence: Sequence) -> bool:
    return sequence.constraint is not None and sequence.constraint.is_finished


def _logprobs(token_id: int, result: StepResult, tokenizer: Tokenizer) -> tuple[TokenLogprobs, ...]:
    if result.logprob is None:
        return ()
    top = tuple(Logprob(i, tokenizer.token_text(i), value) for i, value in result.top)
    return (TokenLogprobs(Logprob(token_id, tokenizer.token_text(token_id), result.logprob), top),)
