"""Decides whether a request may be queued: what would crash MLX or be cut does not get past."""

import secrets
from collections.abc import Sequence as Seq

from mlx_backends.core import Request
from mlx_backends.engine.constraint import Constraint
from mlx_backends.engine.handle import OutputChannel
from mlx_backends.engine.model_files import ModelFiles
from mlx_backends.engine.sequence import Sequence
from mlx_backends.errors import ContextLengthError, RequestError, TokenIdError
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
