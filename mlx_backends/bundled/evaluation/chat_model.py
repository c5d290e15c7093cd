"""Greedy answers of a chat model, many prompts at a time.

`generate` really generates: each token is the most likely one after those before it. A batch is
padded on the left, which `BatchKVCache` masks, so an answer does not depend on its neighbours.
`prefers` tells in one pass whether it would write a given answer. That batch is padded on the
right, which no earlier token sees.
"""

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import mlx.core as mx
import numpy as np
from mlx_lm import load
from mlx_lm.models.cache import BatchKVCache
from mlx_lm.utils import dequantize_model

from mlx_backends.bundled.training import chatml

# Padded tokens of one batch: what keeps each busy without exhausting its memory. Attention in
# float32 holds all scores of a batch, and a card may have other work.
_BATCH_TOKENS = {"cpu": 4_096, "gpu": 8_192}


class Constraint(Protocol):
    """What a grammar allows next."""

    def allowed_bitmask(self) -> np.ndarray:
        """Bits of the allowed token ids: uint32, shape (ceil(vocabulary / 32),)."""
        ...

    def accept(self, token_id: int) -> int:
        """Go on by a token; return the one that stands in its place, mostly the same."""
        ...

    @property
    def is_finished(self) -> bool:
        """Whether the answer is whole."""
        ...


@dataclass(frozen=True, slots=True)
class Prompt:
    """What one answer is generated from.

    Attributes:
        messages: All turns before the answer.
        tools: In OpenAI's form.
        max_tokens: The answer is cut after this many.
        constraint: Bounds the answer, if given.
    """

    messages: list[dict[str, Any]]
    tools: list[dict[str, Any]] | None
    max_tokens: int
    constraint: Constraint | None = None


Generate = Callable[[Sequence[Prompt]], list[str]]


class ChatModel:
    """A chat model from a folder, quantized or not.

    Quantized weights are unpacked to float32: they keep their rounded values, and the products of
    the quantized and of the exact model are computed alike.
    """

    def __init__(self, folder: Path) -> None:
        model, self.tokenizer, *_ = load(str(folder))
        self.model: Any = dequantize_model(model)
        self.model.set_dtype(mx.float32)
        self.end = self.tokenizer.convert_tokens_to_ids(chatml.IM_END)
        self.batch_tokens = _BATCH_TOKENS[mx.default_device().type.name]

    def count(self, text: str) -> int:
        """Tokens of a text."""
        return len(self._encode(text))

    def generate(self, prompts: Sequence[Prompt]) -> list[str]:
        """Answer prompts, in their order."""
        ids = [self._prompt_ids(prompt) for prompt in prompts]
        answers = [""] * len(prompts)
        for batch in _batches([len(item) for item in ids], self.batch_tokens):
            found = self._generate_batch([ids[i] for i in batch], [prompts[i] for i in batch])
            mx.clear_cache()
            for index, tokens in zip(batch, found, strict=True):
                answers[index] = self.tokenizer.decode(tokens)
        return answers

    def prefers(self, prompts: Sequence[Prompt], answers: Sequence[str]) -> list[bool]:
        """Whether each token of an answer, its end included, is the likeliest after the right ones.

        By induction this holds exactly if greedy decoding writes these tokens: the fast twin of
        `generate` for prompts whose right answer is known, one forward pass a batch.
        """
        wanted = [[*self._encode(answer), self.end] for answer in answers]
        ids = [self._prompt_ids(p) + w[:-1] for p, w in zip(prompts, wanted, strict=True)]
        agrees = [False] * len(prompts)
        for batch in _batches([len(item) for item in ids], self.batch_tokens):
            found = self._likeliest([ids[i] for i in batch], [len(wanted[i]) for i in batch])
            mx.clear_cache()  # each batch has a shape of its own: what is kept would fill the card
            for index, tokens in zip(batch, found, strict=True):
                agrees[index] = tokens == wanted[index]
        return agrees

    def _likeliest(self, ids: list[list[int]], counts: list[int]) -> list[list[int]]:
        """The likeliest next token at the last so many positions of each row."""
        longest = max(map(len, ids))
        states = self.model.model(mx.array([row + [0] * (longest - len(row)) for row in ids]))
        ends = [row * longest + len(tokens) for row, tokens in enumerate(ids)]
        asked = [
            end - count + k for end, count in zip(ends, counts, strict=True) for k in range(count)
        ]
        # The head multiplies the states that are asked for: all logits would fill the memory.
        chosen = states.reshape(-1, states.shape[-1])[mx.array(asked)]
        logits = self.model.model.embed_tokens.as_linear(chosen)
        tokens = iter(np.array(mx.argmax(logits, axis=-1)).tolist())
        return [list(itertools.islice(tokens, count)) for count in counts]

    def _encode(self, text: str) -> list[int]:
        return self.tokenizer.encode(text, add_special_tokens=False)

    def _prompt_ids(self, prompt: Prompt) -> list[int]:
        return self._encode(
            chatml.render(prompt.messages, prompt.tools, add_generation_prompt=True)
        )

    def _generate_batch(self, ids: list[list[int]], prompts: Sequence[Prompt]) -> list[list[int]]:
        longest = max(map(len, ids))
        padding = [longest - len(row) for row in ids]
        caches = [BatchKVCache(padding) for _ in self.model.layers]
        inputs = [[0] * count + row for count, row in zip(padding, ids, strict=True)]
        answers = [_Answer(prompt) for prompt in prompts]
        running = answers
        while running:
            tokens = self._next_tokens(inputs, caches, [item.prompt.constraint for item in running])
            for answer, token in zip(running, tokens, strict=True):
                answer.take(token, end=self.end)
            kept = [row for row, answer in enumerate(running) if not answer.is_finished]
            if 0 < len(kept) < len(running):
                for cache in caches:
                    cache.filter(mx.array(kept))
            running = [running[row] for row in kept]
            inputs = [[answer.tokens[-1]] for answer in running]
        return [answer.tokens for answer in answers]

    def _next_tokens(
        self,
        inputs: list[list[int]],
        caches: list[BatchKVCache],
        constraints: Sequence[Constraint | None],
    ) -> list[int]:
        # The head multiplies the last state alone: the others' logits would fill the memory.
        states = self.model.model(mx.array(inputs), cache=caches)[:, -1]
        logits = self.model.model.embed_tokens.as_linear(states)
        if any(constraints):
            logits = mx.where(_allowed(constraints, logits.shape[-1]), logits, -mx.inf)
        return np.array(mx.argmax(logits, axis=-1)).tolist()


class _Answer:
    """One answer while it is generated."""

    def __init__(self, prompt: Prompt) -> None:
        self.prompt = prompt
        self.tokens: list[int] = []
        self.is_finished = False

    def take(self, token: int, *, end: int) -> None:
        """Go on by the token that the model prefers."""
        constraint = self.prompt.constraint
        if constraint is not None:
            token = constraint.accept(token)
        if token != end:
            self.tokens.append(token)
        self.is_finished = (
            token == end
            or len(self.tokens) == self.prompt.max_tokens
            or (constraint is not None and constraint.is_finished)
        )


def _batches(lengths: Sequence[int], batch_tokens: int) -> Iterator[list[int]]:
    """Group indices of like lengths, longest first, so that little is padding."""
    order = sorted(range(len(lengths)), key=lambda index: -lengths[index])
    while order:
        size = max(1, batch_tokens // lengths[order[0]])
        yield order[:size]
        order = order[size:]


def _allowed(constraints: Sequence[Constraint | None], vocabulary: int) -> mx.array:
    """Unpack bitmasks to booleans, shape (rows, vocabulary)."""
    allowed = np.ones((len(constraints), vocabulary), dtype=bool)
    for row, constraint in enumerate(constraints):
        if constraint is not None:
            words = np.ascontiguousarray(constraint.allowed_bitmask()).view(np.uint8)
            allowed[row] = np.unpackbits(words, bitorder="little")[:vocabulary]
    return mx.array(allowed)
