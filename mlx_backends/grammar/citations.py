"""Answers that cite nothing but what the prompt holds.

Matches the prompts of ``text.grounding``: passages are numbered from 1, and an answer names those
that it rests on, like ``[2]``, or is the refusal.
"""

import re

from mlx_backends.errors import GrammarError
from mlx_backends.grammar.spec import Grammar
from mlx_backends.text.grounding import REFUSAL

# Brackets may hold other things than a number, so that code such as ``list[int]`` can be quoted.
_TEXT = r"(?:[^\[]|\[[^0-9\[\]][^\[\]]*\])"


def cited_answer(num_passages: int, *, refusal: str | None = REFUSAL) -> Grammar:
    """Text with at least one citation, each of a passage of the prompt; or else the refusal.

    Args:
        num_passages: Citations are ``[1]`` to ``[num_passages]``.
        refusal: The whole answer that needs no citation; None allows none.

    Raises:
        GrammarError: There are no passages, and no refusal is allowed either.
    """
    options = [] if refusal is None else [re.escape(refusal)]
    closers: tuple[str, ...] = ()
    if num_passages > 0:
        closers = ("[1]",)
        numbers = "|".join(map(str, range(1, num_passages + 1)))
        options.append(rf"{_TEXT}*(?:\[(?:{numbers})\]{_TEXT}*)+")
    if not options:
        raise GrammarError("Without passages and without a refusal there is nothing to answer.")
    return Grammar("regex", "|".join(options), closers=closers)
