"""How much a language model would gain from more bits in each layer, one block at a time.

The measure is that of mlx-lm's ``dynamic_quant``: with all layers at few bits, the slope of the KL
divergence from the exact model along the step from few bits to many, for each million weights.
mlx-lm holds the gradients of all weights in float32. Here a layer has one number, the slope itself:
what its outputs change by, times the gradient of its outputs. A block is computed again when the
gradient reaches it (Chen et al. 2016, arXiv:1604.06174), so that only its inputs are kept.
Where the model can be read again, the weights of a block go when it is done.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import mlx.core as mx

from mlx_backends.errors import QuantizationError
from mlx_backends.quantization.block_runs import compute_type, computed_in, intercepted
from mlx_backends.quantization.config import QuantizationConfig
from mlx_backends.quantization.layers import is_embedding, leaves, own_widths, quantizable

# Tokens at once. All that a block computes on them inside is held, for its gradient.
_BATCH_TOKENS = {"cpu": 512, "gpu": 2_048}
# Weights that are unpacked at once.
_SLICE_WEIGHTS = 2**20
_Lookup = Callable[[str, mx.array], mx.array]
_VisitBlock = Callable[["_Block"], mx.array]
Read = Callable[[], Any]
"""Gives the same model once more, with weights that are read when they are used."""
_Taped = tuple["_Block", mx.array, mx.array]
"""A block with its inputs and outputs in the rounded model."""


def sensitivities(
    model: Any, rows: mx.array, config: QuantizationConfig, read: Read | None = None
) -> dict[str, float]:
    """The slope for each layer that a configuration rounds; the higher, the more bits help.

    Layers for which the architecture asks for a width of their own are left out, and stay exact.

    Args:
        model: A language model, not packed; unchanged afterwards.
        rows: Token ids, (rows, length).
        config: Bits, the higher bits, and groups.
        read: Lets a block's weights go when it is done; the model is read three times a batch.

    Raises:
        QuantizationError: The model is not one of embeddings, blocks and a head.
    """
    parts = _Parts(model, config, read)
    size = max(1, _BATCH_TOKENS[mx.default_device().type.name] // rows.shape[1])
    totals = dict.fromkeys(parts.chosen, 0.0)
    for first in range(0, len(rows), size):
        batch = rows[first : first + size]
        for name, slope in parts.slopes(batch).items():
            totals[name] += slope * len(batch) / len(rows)
    return {name: 1e6 * total / parts.chosen[name].weight.size for name, total in totals.items()}


@dataclass(frozen=True, slots=True)
class _Block:
    """A block's call in a pass of the model."""

    index: int
    module: Any
    own: Callable[..., Any]
    args: tuple[Any, ...]
    named: dict[str, Any]

    def outputs(self, inputs: mx.array) -> mx.array:
        """What it gives for these inputs, and otherwise the same arguments."""
        found = self.own(inputs, *self.args[1:], **self.named)
        if not isinstance(found, mx.array):
            raise QuantizationError(
                f"algorithm='mixed' takes blocks that give one array; {type(self.module).__name__} "
                "does not. Use algorithm='gptq'."
            )
        return found


class _Parts:
    """A model as its lookups, blocks and head."""

    def __init__(self, model: Any, config: QuantizationConfig, read: Read | None) -> None:
        self._read = read
        self._unread: dict[int, Any] = {}
        layers = quantizable(model, config)
        fixed = own_widths(model, layers)
        self.chosen = {name: layer for name, layer in layers.items() if name not in fixed}
        self._model, self._config = model, config
        self._names = {id(layer): name for name, layer in self.chosen.items()}
        self._blocks = list(getattr(model, "layers", []))
        self._outside = [
            layer for name, layer in leaves(model).items() if is_embedding(name, layer)
        ]
        self._head: Any = None
        self._compute = compute_type(next(iter(self.chosen.values())).weight.dtype)

    def slopes(self, rows: mx.array) -> dict[str, float]:
        """Slope of each layer's step, on rows (rows, length)."""
        tape: list[_Taped] = []
        exact = self._run(rows, self._exact_block)
        rounded = self._run(rows, lambda b: self._rounded_block(b, tape), self._rounded_lookup)
        found, gradient = self._head_slope(exact, rounded)
        gradient = self._through_tail(rows, tape[-1], gradient)
        for block, inputs, _ in reversed(tape):
            slopes, gradient = self._block_slopes(block, inputs, gradient)
            found |= slopes
        for name, slope in self._lookup_slopes(rows, gradient).items():
            found[name] = found.get(name, 0.0) + slope  # a head may share its weights
        return found

    def _run(self, rows: mx.array, visit: _VisitBlock, lookup: _Lookup | None = None) -> mx.array:
        """The inputs of the head, (rows, length, width), with blocks and lookups as told."""
        count = iter(range(len(self._blocks)))

        def call_block(module: Any, own: Any, args: Any, named: Any) -> mx.array:
            return visit(_Block(next(count), module, own, args, named))

        def call_outside(layer: Any, own: Any, args: Any, named: Any) -> mx.array:
            if mx.issubdtype(args[0].dtype, mx.floating):
                self._head = layer
                return args[0]
            found = own(*args, **named)
            name = self._names.get(id(layer))
            return found if lookup is None or name is None else lookup(name, found)

        with intercepted(self._blocks, call_block), intercepted(self._outside, call_outside):
            outputs = self._model(rows)
        if not self._blocks or self._head is None:
            raise QuantizationError(
                "algorithm='mixed' takes a language model: a list of blocks (`layers`), then a "
                "head named `lm_head`, or the embedding as one."
            )
        return outputs

    def _low(self, weight: mx.array) -> mx.array:
        """Weights, or rows of them, as few bits leave them."""
        return self._rounded(weight, self._config.bits)

    def _high(self, weight: mx.array) -> mx.array:
        """The same with many bits."""
        return self._rounded(weight, self._config.bits_of_sensitive)

    def _rounded(self, weight: mx.array, bits: int) -> mx.array:
        """In slices: what one takes meanwhile is several times its size."""
        group = self._config.group
        rows = weight.reshape(-1, weight.shape[-1])
        parts, size = [], max(1, _SLICE_WEIGHTS // rows.shape[1])
        for first in range(0, len(rows), size):
            part = rows[first : first + size].astype(self._compute)
            parts.append(mx.dequantize(*mx.quantize(part, group, bits), group, bits))
            if len(rows) > size:
                mx.eval(parts[-1])
        return mx.concatenate(parts).reshape(weight.shape)

    def _rounded_lookup(self, name: str, rows: mx.array) -> mx.array:
        return self._low(rows)

    def _exact_block(self, block: _Block) -> mx.array:
        with computed_in(block.module, self._compute):
            outputs = block.outputs(block.args[0].astype(self._compute))
            mx.eval(outputs)
        self._forget(block)
        return outputs

    def _rounded_block(self, block: _Block, tape: list[_Taped]) -> mx.array:
        inputs = block.args[0].astype(self._compute)
        with self._rounding(block):
            outputs = block.outputs(inputs)
            mx.eval(inputs, outputs)
        self._forget(block)
        tape.append((block, inputs, outputs))
        return outputs

    def _forget(self, block: _Block) -> None:
        """Let a block's weights go, to be read again when they are next used."""
        if self._read is None:
            return
        if block.index not in self._unread:
            self._unread = dict(enumerate(self._read().layers))
        block.module.update(self._unread.pop(block.index).parameters())

    @contextmanager
    def _rounding(self, block: _Block) -> Iterator[dict[str, mx.array]]:
        """Let a block's layers have few bits for a while; gives their exact weights by name."""
        inside = {id(module) for module in block.module.modules()}
        exact = {n: layer.weight for n, layer in self.chosen.items() if id(layer) in inside}
        with computed_in(block.module, self._compute, besides=exact.values()):
            for name, weight in exact.items():
                self.chosen[name].weight = self._low(weight)
                mx.eval(self.chosen[name].weight)  # one by one: what it takes meanwhile is freed
            try:
                yield exact
            finally:
                for name, weight in exact.items():
                    self.chosen[name].weight = weight

    def _block_slopes(
        self, block: _Block, inputs: mx.array, gradient: mx.array
    ) -> tuple[dict[str, float], mx.array]:
        """Slopes of a block's layers, and the gradient of its inputs."""
        with self._rounding(block) as exact:
            changes = self._changes(block, exact, inputs)
            order = {id(self.chosen[name]): index for index, name in enumerate(exact)}

            def stepped(inputs: mx.array, steps: mx.array) -> mx.array:
                def call(layer: Any, own: Any, args: Any, named: Any) -> mx.array:
                    step = steps[order[id(layer)]]
                    return own(*args, **named) + step * changes[self._names[id(layer)]]

                with intercepted([self.chosen[name] for name in exact], call):
                    return block.outputs(inputs)

            steps = mx.zeros(len(exact))
            _, (before, slopes) = mx.vjp(stepped, [inputs, steps], [gradient])
            mx.eval(before, slopes)
        self._forget(block)
        return dict(zip(exact, slopes.tolist(), strict=True)), before  # type: ignore[arg-type]

    def _changes(
        self, block: _Block, exact: dict[str, mx.array], inputs: mx.array
    ) -> dict[str, mx.array]:
        """What each layer's outputs change by from many to few bits, in the rounded block."""
        found: dict[str, mx.array] = {}

        def call(layer: Any, own: Any, args: Any, named: Any) -> mx.array:
            name, few = self._names[id(layer)], layer.weight
            low = own(*args, **named)
            layer.weight = self._high(exact[name])
            found[name] = low - own(*args, **named)
            layer.weight = few
            mx.eval(found[name])
            return low

        with intercepted([self.chosen[name] for name in exact], call):
            mx.eval(block.outputs(inputs))
        return found

    def _through_tail(self, rows: mx.array, last: _Taped, gradient: mx.array) -> mx.array:
        """Gradient of the last block's outputs, from that of the head's inputs."""
        block, _, outputs = last

        def tail(outputs: mx.array) -> mx.array:
            return self._run(rows, lambda b: outputs if b.index == block.index else b.args[0])

        _, (before,) = mx.vjp(tail, [outputs], [gradient])
        return before

    def _lookup_slopes(self, rows: mx.array, gradient: mx.array) -> dict[str, float]:
        """Slopes of embeddings, from the gradient of the first block's inputs."""
        names = [self._names[id(layer)] for layer in self._outside if id(layer) in self._names]

        def first_inputs(steps: mx.array) -> mx.array:
            def lookup(name: str, found: mx.array) -> mx.array:
                low = self._low(found)
                return low + steps[names.index(name)] * (low - self._high(found))

            seen: list[mx.array] = []
            self._run(rows, lambda block: seen.append(block.args[0]) or block.args[0], lookup)
            return seen[0].astype(gradient.dtype)

        _, (slopes,) = mx.vjp(first_inputs, [mx.zeros(len(names))], [gradient])
        return dict(zip(names, slopes.tolist(), strict=True))  # type: ignore[arg-type]

    def _head_slope(self, exact: mx.array, rounded: mx.array) -> tuple[dict[str, float], mx.array]:
        """Slope of the head if it is rounded, and the gradient of its inputs.

        Args:
            exact: Its inputs in the exact model.
            rounded: Its inputs in the rounded one.
        """
        name = self._names.get(id(self._head))
        wanted = got = mx.array(-mx.inf)
        for part in self._head_rows(name):  # no logits of all tokens are ever held
            wanted = mx.logaddexp(wanted, _log_sum(part.exact(exact)))
            got = mx.logaddexp(got, _log_sum(part.low(rounded)))
            mx.eval(wanted, got)
        slope, gradient = mx.array(0.0), mx.zeros(rounded.shape)
        tokens = rounded.size // rounded.shape[-1]
        for part in self._head_rows(name):
            low = part.low(rounded)
            loss = (mx.exp(low - got) - mx.exp(part.exact(exact) - wanted)) / tokens
            slope = slope + (loss * (low - part.high(rounded))).sum()
            gradient = gradient + loss @ part.low_weight
            mx.eval(slope, gradient)
        return {} if name is None else {name: float(slope)}, gradient  # type: ignore[arg-type]

    def _head_rows(self, name: str | None) -> Iterator["_HeadRows"]:
        """Some rows of the head at a time."""
        weight = self._head.weight
        bias = self._head.bias if "bias" in self._head else mx.zeros(len(weight))
        size = max(1, _SLICE_WEIGHTS // weight.shape[1])
        for first in range(0, len(weight), size):
            rows = slice(first, first + size)
            part = weight[rows].astype(self._compute)
            rounded = (part, part) if name is None else (self._low(part), self._high(part))
            yield _HeadRows(part, *rounded, bias[rows])


@dataclass(frozen=True, slots=True)
class _HeadRows:
    """Some rows of a head, (rows, width): exact, at few and at many bits."""

    exact_weight: mx.array
    low_weight: mx.array
    high_weight: mx.array
    bias: mx.array

    def exact(self, inputs: mx.array) -> mx.array:
        return inputs @ self.exact_weight.T + self.bias

    def low(self, inputs: mx.array) -> mx.array:
        return inputs @ self.low_weight.T + self.bias

    def high(self, inputs: mx.array) -> mx.array:
        return inputs @ self.high_weight.T + self.bias


def _log_sum(logits: mx.array) -> mx.array:
    return mx.logsumexp(logits, axis=-1, keepdims=True)
