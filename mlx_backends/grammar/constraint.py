"""One completion under a grammar: which tokens may come next, and that it always ends.

Before each draw the constraint gives a mask of the tokens that the grammar allows. After each draw
it looks for a way to complete the grammar within the tokens that are left. If the token drawn
leaves none, another stands in for it: the next one of the way that was known before. So whatever a
model draws, the completion is valid and ends within its budget, or the request is refused
beforehand.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from llguidance import LLMatcher

from mlx_backends.errors import GrammarBudgetError, GrammarError
from mlx_backends.grammar.closing import JsonPosition, find_closing, is_closing
from mlx_backends.grammar.compiler import new_matcher
from mlx_backends.grammar.spec import Grammar
from mlx_backends.grammar.vocabulary import Vocabulary
from mlx_backends.text.tokenizer import Tokenizer

# A token drawn, such as ``", "``, can be worth a few tokens of the way that is known.
_MAX_HEAD = 3


def compile_grammar(
    grammar: Grammar,
    tokenizer: Tokenizer,
    *,
    max_tokens: int,
    prompt_token_ids: Sequence[int] = (),
) -> "GrammarConstraint":
    """Make the constraint of one completion.

    Takes some milliseconds, and half a second at worst.

    Args:
        grammar: What the completion must look like. A model that reasons may do so before.
        tokenizer: The model's.
        max_tokens: Most tokens of the completion.
        prompt_token_ids: What comes before; it shows whether the model is reasoning already.

    Raises:
        GrammarBudgetError: No completion of at most ``max_tokens`` tokens was found.
        GrammarError: The grammar is malformed, too complex, or no text belongs to it.
    """
    vocabulary = Vocabulary.of(tokenizer)
    matcher = new_matcher(grammar, vocabulary, prompt_token_ids)
    return GrammarConstraint(grammar, matcher, vocabulary, max_tokens)


class GrammarConstraint:
    """Says which tokens may come next. Used by one thread at a time.

    Args:
        grammar: What the completion must look like.
        matcher: llguidance's state of the grammar, at its beginning.
        vocabulary: The model's tokens.
        max_tokens: Most tokens of the completion.

    Raises:
        GrammarBudgetError: No completion of at most ``max_tokens`` tokens was found.
        GrammarError: No text belongs to the grammar.
    """

    def __init__(
        self, grammar: Grammar, matcher: LLMatcher, vocabulary: Vocabulary, max_tokens: int
    ) -> None:
        self._matcher = matcher
        self._vocabulary = vocabulary
        self._closers = [vocabulary.encoded(text) for text in grammar.closers]
        if vocabulary.reasoning_ids is not None:
            self._closers.insert(0, [vocabulary.reasoning_ids[1]])
        self._position = JsonPosition() if grammar.writes_json else None
        self._remaining = max_tokens
        self._is_exhausted = False
        self._closing = self._first_closing(max_tokens)

    @property
    def is_finished(self) -> bool:
        """Whether the completion is whole, so that no further token may be drawn."""
        return not self._closing

    def allowed_bitmask(self) -> np.ndarray:
        """One bit for each token, set if it may come next.

        Shapes: (ceil(V / 32),) uint32, lowest bit first, V being the tokenizer's vocabulary.
        """
        mask = self._only(self._closing[0]) if self._is_exhausted else self._computed_mask()
        return mask[: -(-self._vocabulary.size // 32)]

    def accept(self, token_id: int) -> int:
        """Take the token drawn and return the one that stands in its place, mostly the same."""
        self._remaining -= 1
        if self._is_exhausted or token_id == self._closing[0]:
            return self._follow_closing()
        if not self._advance(token_id):
            return self._follow_closing()
        closing = self._next_closing(token_id)
        if closing is None:
            self._matcher.rollback(1)
            return self._follow_closing()
        self._closing = closing
        self._position = self._position_after(token_id)
        return token_id

    def _first_closing(self, max_tokens: int) -> list[int]:
        self._matcher.compute_bitmask()
        if self._matcher.is_error():
            raise GrammarError("No text belongs to the grammar.")
        closing = self._found_closing(self._position)
        if closing is not None and 0 < len(closing) <= max_tokens:
            return closing
        raise GrammarBudgetError(len(closing) if closing else None, max_tokens)

    def _computed_mask(self) -> np.ndarray:
        mask = np.frombuffer(self._matcher.compute_bitmask(), np.uint32)
        if self._matcher.is_error():
            # The grammar has become too complex to go on: what is known of its end must do.
            self._is_exhausted = True
            return self._only(self._closing[0])
        return mask

    def _only(self, token_id: int) -> np.ndarray:
        mask = np.zeros(token_id // 32 + 1, np.uint32)
        mask[-1] = 1 << (token_id % 32)
        return np.pad(mask, (0, -(-self._vocabulary.size // 32) - len(mask)))

    def _advance(self, token_id: int) -> bool:
        return bool(
            self._matcher.validate_tokens([token_id]) and self._matcher.consume_token(token_id)
        )

    def _follow_closing(self) -> int:
        token_id = self._closing.pop(0)
        if not self._is_exhausted:
            self._matcher.consume_token(token_id)
        self._position = self._position_after(token_id)
        return token_id

    def _position_after(self, token_id: int) -> JsonPosition | None:
        if self._position is None:
            return None
        position = self._position.copy()
        position.feed(self._vocabulary.tokens[token_id])
        return position

    def _found_closing(self, position: JsonPosition | None) -> list[int] | None:
        return find_closing(self._matcher, self._vocabulary, position, self._closers)

    def _known_closings(self) -> Iterator[list[int]]:
        """The way known before, and what is left of it if the token drawn stands for its head."""
        for start in range(min(len(self._closing), _MAX_HEAD + 1)):
            if len(self._closing) - start <= self._remaining:
                yield self._closing[start:]

    def _next_closing(self, token_id: int) -> list[int] | None:
        """A way to the end after this token, which the matcher has taken, within what is left."""
        if token_id in self._vocabulary.eos_token_ids or self._matcher.is_stopped():
            return []
        for known in self._known_closings():
            if is_closing(self._matcher, self._vocabulary, known):
                return known
        found = self._found_closing(self._position_after(token_id))
        return found if found is not None and len(found) <= self._remaining else None
