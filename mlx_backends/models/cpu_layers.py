"""Layers for MLX's CPU backend, put in place of a loaded model's own.

On a CPU every operation of a graph costs some microseconds, whatever its size, and ``mx.fast`` is a
name for ten to thirty of them. These layers compute the same in fewer. Each is a subclass of the
layer it replaces, keeps its parameters, and falls back to it where it has no better way; the layer
itself is the readable twin.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache, partial
from typing import Any

import mlx.core as mx
import mlx.nn as nn

from mlx_backends.kernels.host_exp import exp_of_difference

# With fewer, one operation beats a faster exponential in eight.
_MIN_ROWS_OF_FAST_EXP = 4
# With more, the matrices are more numbers than what they turn.
_MAX_ROWS_OF_TURN_MATRICES = 16


def install(model: nn.Module) -> None:
    """Swap the layers of a model that runs on a CPU; idempotent.

    Subclasses of the known layers keep their own ways.
    """
    module: Any
    for module in model.modules():
        replacement = _replacement(module)
        if replacement is not None:
            module.__class__ = replacement


def _replacement(module: nn.Module) -> type[nn.Module] | None:
    layer = type(module)
    if layer in _AFFINE and getattr(module, "mode", "affine") == "affine":
        return _AFFINE[layer]
    return _host_gated_mlp(layer) if _is_gated_mlp(layer) else _ALWAYS.get(layer)


class HostLinear(nn.Linear):
    """One operation for a batch of one, rather than four."""

    def __call__(self, x: mx.array) -> mx.array:
        if x.ndim != 3 or x.shape[0] != 1:
            return super().__call__(x)
        out = x @ _transposed(self)
        return out + self.bias if "bias" in self else out


class HostEmbedding(nn.Embedding):
    """As ``HostLinear``, for an embedding that is also the head."""

    def as_linear(self, x: mx.array) -> mx.array:
        if x.ndim != 3 or x.shape[0] != 1:
            return super().as_linear(x)
        return x @ _transposed(self)


def _transposed(layer: Any) -> mx.array:
    """The layer's weight as a batch of one transposed matrix: a view, made once for each weight."""
    source, view = layer.__dict__.get("_transposed", (None, None))
    if source is not layer.weight:
        view = layer.weight.T[None]
        mx.eval(view)
        # Past the module's own __setattr__, which would take it for a parameter.
        layer.__dict__["_transposed"] = (layer.weight, view)
    return view


class HostRMSNorm(nn.RMSNorm):
    """Three operations rather than eleven."""

    def __call__(self, x: mx.array) -> mx.array:
        if x.dtype != mx.float32:
            return super().__call__(x)
        return _rms_norm(x, self.weight, 1 / x.shape[-1], self.eps)


@partial(mx.compile, shapeless=True)
def _rms_norm(x: mx.array, weight: mx.array, share: float, eps: float) -> mx.array:
    """The mean is a sum times a constant: without shapes, MLX would count the numbers each time."""
    return x * mx.rsqrt(mx.square(x).sum(axis=-1, keepdims=True) * share + eps) * weight


class HostGatedMLP(nn.Module):
    """``down(silu(gate(x)) * up(x))`` with an exponential several times faster, for many rows."""

    gate_proj: Callable[[mx.array], mx.array]
    up_proj: Callable[[mx.array], mx.array]
    down_proj: Callable[[mx.array], mx.array]

    def __call__(self, x: mx.array) -> mx.array:
        if x.dtype != mx.float32 or _num_rows(x) < _MIN_ROWS_OF_FAST_EXP:
            return super().__call__(x)
        gate, up = self.gate_proj(x), self.up_proj(x)
        # exp(80) is finite, and what it divides is 0 already.
        decay = exp_of_difference(mx.minimum(-gate, 80.0), mx.zeros((x.shape[-2], 1)))
        return self.down_proj(gate * up / (1.0 + decay))


def _is_gated_mlp(layer: type[nn.Module]) -> bool:
    """Whether the layer is mlx-lm's usual MLP: dozens of its models have this one line."""
    code = getattr(layer.__call__, "__code__", None)
    names = {"down_proj", "swiglu", "gate_proj", "up_proj"}
    return (
        code is not None
        and code.co_varnames == ("self", "x")
        and set(code.co_names) == names
        and _is_swiglu(layer.__call__.__globals__["swiglu"])
    )


def _is_swiglu(function: object) -> bool:
    # Here, not at the top: mlx_lm takes two seconds to import. Whoever names it has imported it.
    from mlx_lm.models.activations import swiglu

    return function is swiglu


@cache
def _host_gated_mlp(layer: type[nn.Module]) -> type[nn.Module]:
    return type(f"Host{layer.__name__}", (HostGatedMLP, layer), {})


class HostQuantizedLinear(nn.QuantizedLinear):
    """Multiplies one row packed, more rows unpacked.

    MLX's CPU kernel unpacks the weight once for every row: 128 rows take 25 times as long as
    unpacking it once and calling the BLAS.
    """

    def __call__(self, x: mx.array) -> mx.array:
        if _num_rows(x) == 1:
            return super().__call__(x)
        out = x @ _unpacked(self, x.dtype).T
        return out + self.bias if "bias" in self else out


class HostQuantizedEmbedding(nn.QuantizedEmbedding):
    """As ``HostQuantizedLinear``, for an embedding that is also the head."""

    def as_linear(self, x: mx.array) -> mx.array:
        if _num_rows(x) == 1:
            return super().as_linear(x)
        return x @ _unpacked(self, x.dtype).T


def _num_rows(x: mx.array) -> int:
    return x.size // x.shape[-1]


def _unpacked(layer: Any, dtype: mx.Dtype) -> mx.array:
    weight = mx.dequantize(
        layer.weight, layer.scales, layer.biases, group_size=layer.group_size, bits=layer.bits
    )
    return weight.astype(dtype)


class HostRoPE(nn.RoPE):
    """Turns heads by what all layers of a forward pass share.

    One position of a few rows is a product with the matrix of the turn, which is three operations
    rather than eight. More are multiplied by cosines and sines.
    """

    def __call__(self, x: mx.array, offset: Any = 0) -> mx.array:
        turns = _turns.get()
        if turns is None or x.dtype != mx.float32 or x.ndim != 4:
            return super().__call__(x, offset)
        batch, num_heads, length, width = x.shape
        is_few = length == 1 and batch <= _MAX_ROWS_OF_TURN_MATRICES
        if not is_few and (self.dims != width or self.traditional):
            return super().__call__(x, offset)
        # The offset stands in the value too, so that its id stays its own.
        settings = (self.dims, self.base, self.scale, self.traditional)
        key = (*settings, is_few, batch, length, width, id(offset))
        if key not in turns:
            turn = self._turn_matrices(x, offset) if is_few else self._turn(x, offset)
            turns[key] = turn, offset
        turn, _ = turns[key]
        if isinstance(turn, mx.array):
            return (x.reshape(batch, num_heads, width) @ turn).reshape(x.shape)
        cos, sin = turn
        return x * cos + (x @ _half_swap(self.dims)) * sin

    def _turn_matrices(self, x: mx.array, offset: Any) -> mx.array:
        """What the layer makes of unit vectors: it is linear, so that is its matrix.

        Shapes: x (B, H, 1, D) -> (B, D, D).
        """
        batch, _, _, width = x.shape
        units = mx.broadcast_to(mx.eye(width)[None, :, None], (batch, width, 1, width))
        return super().__call__(units, offset).squeeze(2)

    def _turn(self, x: mx.array, offset: Any) -> tuple[mx.array, mx.array]:
        """Factors of each number and of its partner in the other half.

        Shapes: x (B, H, L, D) -> twice (B or 1, 1, L, D).
        """
        num_rows = 1 if isinstance(offset, int) else x.shape[0]
        ones = mx.ones((num_rows, 1, x.shape[-2], self.dims // 2))
        # What the layer makes of (1, 0) is (cos, sin), to the last bit.
        cos, sin = super().__call__(mx.concatenate([ones, 0 * ones], -1), offset).split(2, -1)
        return mx.concatenate([cos, cos], -1), mx.concatenate([-sin, sin], -1)


_turns: ContextVar[dict[Any, tuple[Any, Any]] | None] = ContextVar("_turns", default=None)


@contextmanager
def one_position() -> Iterator[None]:
    """Let the layers of the forward pass inside share what depends on the offset only.

    For caches whose offset is one and the same in all layers. Those of mlx-lm change theirs in
    place between layers, and run outside.
    """
    token = _turns.set({})
    try:
        yield
    finally:
        _turns.reset(token)


@cache
def _half_swap(width: int) -> mx.array:
    """The permutation that swaps the halves of a row, as a matrix: one product is one operation."""
    swap = mx.roll(mx.eye(width), width // 2, 0)
    mx.eval(swap)
    return swap


_ALWAYS: dict[type[nn.Module], type[nn.Module]] = {
    nn.Linear: HostLinear,
    nn.Embedding: HostEmbedding,
    nn.RMSNorm: HostRMSNorm,
    nn.RoPE: HostRoPE,
}
_AFFINE: dict[type[nn.Module], type[nn.Module]] = {
    nn.QuantizedLinear: HostQuantizedLinear,
    nn.QuantizedEmbedding: HostQuantizedEmbedding,
}
