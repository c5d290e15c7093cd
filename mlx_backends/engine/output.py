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
    assert result.token_id is not None
    sequence.append(result.token_id)
    token_id = sequence.last_token_id
    reason = sequence.finish_reason(tokenizer.eos_token_ids)
    text, stop_string = _new_text(sequence, reason, tokenizer.eos_token_ids)
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


def _new_text(
    sequence: Sequence, reason: FinishReason | None, eos_token_ids: frozenset[int]
) -> tuple[str, str | None]:
    """Text that the last token decided, and the stop string that it completed, if any."""
    matcher, detokenizer = sequence.stop_matcher, sequence.detokenizer
    has_text = not sequence.ends_with_stop_token(eos_token_ids)
    decoded = detokenizer.add(sequence.last_token_id) if has_text else ""
    if reason is not None:
        decoded += detokenizer.finish()
    found = matcher.feed(decoded)
    if found.matched is not None or reason is None:
        return found.text_to_emit, found.matched
    return found.text_to_emit + matcher.finish(), None


def _logprobs(token_id: int, result: StepResult, tokenizer: Tokenizer) -> tuple[TokenLogprobs, ...]:
    if result.logprob is None:
        return ()
    text_of = tokenizer.token_text
    top = tuple(Logprob(i, text_of(i), value) for i, value in result.top)
    # A token that a constraint put in the place of the one drawn was certain.
    logprob = result.logprob if token_id == result.token_id else 0.0
    return (TokenLogprobs(Logprob(token_id, text_of(token_id), logprob), top),)
