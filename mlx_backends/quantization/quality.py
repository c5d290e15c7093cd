"""What rounding costs a language model: perplexity, exact match, divergence, error a layer."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import exp
from typing import Any

import mlx.core as mx
import mlx.nn as nn
import numpy as np

from mlx_backends.errors import ConfigError, QuantizationError
from mlx_backends.quantization.layers import leaves

_BATCH_TOKENS = {"cpu": 4_096, "gpu": 65_536}


@dataclass(frozen=True, slots=True)
class Item:
    """A prompt with its right answer.

    Attributes:
        ids: Token ids of both, the end of the turn included.
        start: Index of the answer's first token, at least 1.
        group: What kind of item it is.
    """

    ids: Sequence[int]
    start: int
    group: str = ""


@dataclass(frozen=True, slots=True)
class Quality:
    """How a model does on items.

    Attributes:
        exact_match: Share of the items whose answer greedy decoding writes to the last token, its
            end included.
        answer_perplexity: Of the tokens of the answers.
        perplexity: Of all tokens.
        divergence: Mean KL divergence from the reference at every token, in nats; None without.
        agreement: Share of all tokens for which the reference prefers the same next token.
        by_group: Exact match of each kind of item.
        num_items: How many.
    """

    exact_match: float
    answer_perplexity: float
    perplexity: float
    divergence: float | None
    agreement: float | None
    by_group: dict[str, float]
    num_items: int


def measure(model: Any, items: Sequence[Item], reference: Any = None) -> Quality:
    """Measure a model by one forward pass over each item.

    Greedy decoding writes an answer exactly if, after each right prefix, the right token is the
    likeliest. So nothing needs to be generated.

    Args:
        model: Token ids (rows, length) to logits.
        items: What is asked.
        reference: The model before rounding.

    Raises:
        ConfigError: There are no items, or one has no answer.
    """
    if not items:
        raise ConfigError("There are no items to measure on.")
    if any(not 1 <= item.start < len(item.ids) for item in items):
        raise ConfigError("An item has no prompt or no answer; both have a token at least.")
    sums = _Sums()
    for batch in _batches(items):
        sums.add(batch, *_forward(model, batch, reference))
    return sums.quality(has_reference=reference is not None)


def weight_errors(model: nn.Module, reference: nn.Module) -> dict[str, float]:
    """Relative error of each packed layer's weights, by name.

    Raises:
        QuantizationError: The models do not have the same layers.
    """
    exact = leaves(reference)
    errors = {}
    for name, layer in leaves(model).items():
        if "scales" not in layer:
            continue
        if name not in exact or "scales" in exact[name]:
            raise QuantizationError(f"The reference has no unpacked layer {name!r}.")
        wanted = exact[name].weight.astype(mx.float32)
        got = _unpacked(layer).astype(mx.float32)
        errors[name] = float(np.array(mx.linalg.norm(got - wanted) / mx.linalg.norm(wanted)))
    return errors


def _unpacked(layer: Any) -> mx.array:
    return mx.dequantize(
        layer.weight,
        layer.scales,
        layer.get("biases"),
        group_size=layer.group_size,
        bits=layer.bits,
        mode=layer.mode,
    )


@dataclass(slots=True)
class _Sums:
    """Sums over items, from which the figures are made."""

    answer_loss: float = 0.0
    answer_tokens: int = 0
    loss: float = 0.0
    tokens: int = 0
    divergence: float = 0.0
    agreed: int = 0
    right: dict[str, list[bool]] | None = None

    def add(
        self,
        batch: Sequence[Item],
        losses: np.ndarray,
        hits: np.ndarray,
        divergences: np.ndarray,
        agreed: np.ndarray,
    ) -> None:
        """Add a batch; arrays are (rows, length - 1), one entry a prediction."""
        self.right = {} if self.right is None else self.right
        for row, item in enumerate(batch):
            length, answer = len(item.ids) - 1, slice(item.start - 1, len(item.ids) - 1)
            self.loss += float(losses[row, :length].sum())
            self.tokens += length
            self.answer_loss += float(losses[row, answer].sum())
            self.answer_tokens += length - item.start + 1
            self.divergence += float(divergences[row, :length].sum())
            self.agreed += int(agreed[row, :length].sum())
            self.right.setdefault(item.group, []).append(bool(hits[row, answer].all()))

    def quality(self, *, has_reference: bool) -> Quality:
        assert self.right is not None
        every = [is_right for found in self.right.values() for is_right in found]
        return Quality(
            exact_match=float(np.mean(every)),
            answer_perplexity=_exp(self.answer_loss / self.answer_tokens),
            perplexity=_exp(self.loss / self.tokens),
            divergence=self.divergence / self.tokens if has_reference else None,
            agreement=self.agreed / self.tokens if has_reference else None,
            by_group={name: float(np.mean(found)) for name, found in self.right.items()},
            num_items=len(every),
        )


def _exp(loss: float) -> float:
    return exp(loss) if loss < 700 else float("inf")


def _batches(items: Sequence[Item]) -> Iterator[list[Item]]:
    """Items of like lengths together, longest first."""
    budget = _BATCH_TOKENS[mx.default_device().type.name]
    order = sorted(items, key=lambda item: -len(item.ids))
    while order:
        size = max(1, budget // len(order[0].ids))
        yield order[:size]
        order = order[size:]


def _forward(model: Any, batch: Sequence[Item], reference: Any) -> tuple[np.ndarray, ...]:
    """Loss, whether the right token is likeliest, divergence and agreement at each position."""
    longest = max(len(item.ids) for item in batch)
    ids = np.zeros((len(batch), longest), np.int32)
    for row, item in enumerate(batch):
        ids[row, : len(item.ids)] = item.ids  # padding comes after, where nothing looks back
    inputs = mx.array(ids)
    wanted = inputs[:, 1:]
    logs = _log_probabilities(model(inputs)[:, :-1])
    best = mx.argmax(logs, axis=-1)
    losses = -mx.take_along_axis(logs, wanted[..., None], axis=-1)[..., 0]
    divergences, agreed = mx.zeros_like(losses), mx.zeros_like(best)
    if reference is not None:
        exact = _log_probabilities(reference(inputs)[:, :-1])
        divergences = (mx.exp(exact) * (exact - logs)).sum(axis=-1)
        agreed = mx.argmax(exact, axis=-1) == best
    return tuple(np.array(a) for a in (losses, best == wanted, divergences, agreed))


def _log_probabilities(logits: mx.array) -> mx.array:
    logits = logits.astype(mx.float32)
    return logits - mx.logsumexp(logits, axis=-1, keepdims=True)
