"""Decides whether a request may be queued: what would crash MLX or be cut does not get past."""

import secrets
from collections.abc import Sequence as Seq

from mlx_backends.core import Request
from mlx_backends.engine.constraint import Constraint
from mlx_backends.engine.handle import OutputChannel
from mlx_backends.engine.model_files import ModelFiles
from mlx_backends.engine.sequence import Sequence
from mlx_backends.errors import (
    ContextLengthError,
    MemoryLimitError,
    RequestError,
    TokenIdError,
)
from mlx_backends.grammar.spec import Grammar
from mlx_backends.text.stop import StopMatcher

MAX_CACHE_SALT_LENGTH = 256


def check_prompt(prompt_token_ids: Seq[int], files: ModelFiles) -> None:
    """Refuse what would crash MLX: an id outside the embedding table is a segmentation fault.

    Raises:
        RequestError: The prompt is empty.
        ContextLengthError: It leaves no room for a completion.
        TokenIdError: It holds something that is no id of this model.
    """
    if len(prompt_token_ids) == 0:
        raise RequestError("The prompt is empty; give at least one token.")
    if len(prompt_token_ids) >= files.context_window:
        raise ContextLengthError(len(prompt_token_ids), files.context_window)
    # A set of types, min and max run at C speed: long prompts are checked on event loops too.
    are_ints = set(map(type, prompt_token_ids)) == {int}
    if are_ints and min(prompt_token_ids) >= 0 and max(prompt_token_ids) < files.vocab_size:
        return
    for position, token_id in enumerate(prompt_token_ids):
        if type(token_id) is not int or not 0 <= token_id < files.vocab_size:
            raise TokenIdError(
                f"The prompt's token {position:,} is {token_id!r:.40}; ids of this model are "
                f"integers from 0 to {files.vocab_size - 1:,}. Use engine.tokenizer."
            )


def check_cache_salt(cache_salt: str | None) -> None:
    """Bound what becomes part of a cache key.

    Raises:
        RequestError: The salt is empty or too long.
    """
    if cache_salt is not None and not 0 < len(cache_salt) <= MAX_CACHE_SALT_LENGTH:
        raise RequestError(
            f"cache_salt has {len(cache_salt):,} characters; give 1 to {MAX_CACHE_SALT_LENGTH}."
        )


def new_sequence(request: Request, files: ModelFiles, grammar: Grammar | None = None) -> Sequence:
    """The running state of a checked request, with its completion bounded by the context window.

    Raises:
        GrammarError: The grammar is malformed, too complex, or cannot be satisfied within
            ``max_tokens``.
    """
    params = request.sampling_params
    room = files.context_window - len(request.prompt_token_ids)
    max_tokens = min(params.max_tokens or room, room)
    return Sequence(
        request=request,
        channel=OutputChannel(),
        detokenizer=files.tokenizer.detokenizer(skip_special_tokens=params.skip_special_tokens),
        stop_matcher=StopMatcher(params.stop),
        seed=secrets.randbits(64) if params.seed is None else params.seed,
        max_tokens=max_tokens,
        constraint=_constraint(grammar, files, request.prompt_token_ids, max_tokens),
    )


def _constraint(
    grammar: Grammar | None, files: ModelFiles, prompt_token_ids: Seq[int], max_tokens: int
) -> Constraint | None:
    if grammar is None:
        return None
    # Here, not at the top: most requests need no llguidance.
    from mlx_backends.grammar.constraint import compile_grammar

    return compile_grammar(
        grammar, files.tokenizer, max_tokens=max_tokens, prompt_token_ids=prompt_token_ids
    )


def fit_to_pool(sequence: Sequence, pool_tokens: int) -> None:
    """Refuse a sequence that the KV pool could not hold even if it ran alone.

    A completion without ``max_tokens`` of its own is bounded by the pool instead.

    Args:
        sequence: Not yet queued.
        pool_tokens: Tokens that all blocks of the pool hold.

    Raises:
        MemoryLimitError: The prompt, or the prompt and ``max_tokens``, are too long.
    """
    num_prompt_tokens = len(sequence.prompt_token_ids)
    room = pool_tokens - num_prompt_tokens + 1  # the last token leaves no KV entries
    if sequence.params.max_tokens is None and room > 0:
        sequence.max_tokens = min(sequence.max_tokens, room)
    if sequence.max_kv_tokens > pool_tokens:
        raise MemoryLimitError(
            f"The request needs KV entries for {sequence.max_kv_tokens:,} tokens "
            f"({num_prompt_tokens:,} of the prompt, up to {sequence.max_tokens:,} of the "
            f"completion); the KV pool holds {pool_tokens:,}. Shorten the prompt, lower "
            "max_tokens, or raise the pool's size or the memory limit."
        )
