"""Linear layers with a sparse weight."""

from typing import Any, Self, cast

import mlx.core as mx
import mlx.nn as nn
from mlx.utils import tree_unflatten

from mlx_backends.errors import ConfigError
from mlx_backends.sparsity.array import FormatName, SparseArray
from mlx_backends.sparsity.blocks import DEFAULT_BLOCK_SIZE
from mlx_backends.sparsity.linear import linear_layers
from mlx_backends.sparsity.masks import Pattern

FORMAT_OF: dict[Pattern, FormatName] = {"unstructured": "csr", "2:4": "2:4", "block": "bsr"}
BITS = (2, 3, 4, 5, 6, 8)
GROUP_SIZES = (32, 64, 128)
_ENTRIES = (
    "entries"  # the array's ``values``: a module is a dictionary, and has a method of that name
)
_PACKED = ("codes", "entry_scales", "entry_biases")


class SparseLinear(nn.Module):
    """``x @ W.T + b`` with W stored in one of the formats of ``SparseArray``.

    Entries may be quantized: those that are stored, in groups as they lie in memory, so that zeros
    stay zeros. They are unpacked for each product; that saves memory, not time. In evaluation mode
    (``eval()``) the product has no gradient, which saves an operation.
    """

    def __init__(
        self,
        shape: tuple[int, int],
        format: FormatName,
        arrays: dict[str, mx.array],
        *,
        bits: int | None = None,
        group_size: int = 64,
    ) -> None:
        """Take the arrays of a format, its values as ``entries`` or packed, and ``bias``.

        Raises:
            ConfigError: An array is missing or does not fit the shape.
        """
        super().__init__()
        self.weight_shape = shape
        self.format: FormatName = format
        self.entry_bits, self.entry_group = bits, group_size
        needed = _PACKED if bits else (_ENTRIES,)
        if missing := [name for name in needed if name not in arrays]:
            raise ConfigError(f"A sparse layer of {shape} lacks its {', '.join(missing)}.")
        for name, array in arrays.items():
            setattr(self, name, array)
        self.freeze(recurse=False, keys=[name for name in arrays if name not in (_ENTRIES, "bias")])
        self._matrix = self._build(arrays)

    @classmethod
    def from_linear(
        cls,
        linear: nn.Linear,
        format: FormatName,
        *,
        bits: int | None = None,
        group_size: int = 64,
        **options: Any,
    ) -> Self:
        """A layer without the zeros of a dense one.

        Args:
            linear: Its weight fits the format: see ``SparseArray.from_dense``.
            format: ``"csr"``, ``"bsr"`` or ``"2:4"``.
            bits: Of a stored entry, 2 to 8; None keeps them as they are.
            group_size: Entries that share a scale: 32, 64 or 128.
            **options: Of the format.

        Raises:
            ConfigError: The weight does not fit, or an option is not allowed.
        """
        matrix = SparseArray.from_dense(linear.weight, format=format, **options)
        arrays = matrix.arrays
        values = arrays.pop("values")
        arrays |= {_ENTRIES: values} if bits is None else _packed(values, bits, group_size)
        if "bias" in linear:
            arrays["bias"] = linear["bias"]
        return cls(matrix.shape, format, arrays, bits=bits, group_size=group_size)

    def __call__(self, x: mx.array) -> mx.array:
        out = self.matrix.linear(x, has_gradient=self.training)
        return out + self["bias"] if "bias" in self else out

    @property
    def matrix(self) -> SparseArray:
        """The weight as it is now."""
        return self._matrix.with_values(self._values())

    @property
    def size(self) -> int:
        """Elements of the dense weight."""
        return self.weight_shape[0] * self.weight_shape[1]

    @property
    def weight_bytes(self) -> int:
        """Bytes of entries and indices."""
        arrays = cast(dict[str, mx.array], self.parameters())
        return sum(array.nbytes for name, array in arrays.items() if name != "bias")

    def unpacked(self) -> Self:
        """The layer with entries that are not quantized."""
        arrays = self.matrix.arrays
        arrays[_ENTRIES] = arrays.pop("values")
        if "bias" in self:
            arrays["bias"] = self["bias"]
        return type(self)(self.weight_shape, self.format, arrays)

    def to_linear(self) -> nn.Linear:
        """The dense layer with the same weight."""
        linear = nn.Linear(1, 1, bias=False)
        linear.weight = self.matrix.to_dense()
        if "bias" in self:
            linear["bias"] = self["bias"]
        return linear

    def _values(self) -> mx.array:
        if self.entry_bits is None:
            return self[_ENTRIES]
        codes, scales, biases = (self[name] for name in _PACKED)
        flat = mx.dequantize(codes, scales, biases, self.entry_group, self.entry_bits).reshape(-1)
        shape = self._matrix.values.shape
        return flat[: self._matrix.values.size].reshape(shape)

    def _build(self, arrays: dict[str, mx.array]) -> SparseArray:
        """The matrix, with values that are never computed: the layer's own take their place."""
        given = {k: a for k, a in arrays.items() if k not in (*_PACKED, _ENTRIES, "bias")}
        if self.entry_bits is None:
            shape, dtype = arrays[_ENTRIES].shape, arrays[_ENTRIES].dtype
        else:
            shape = _shape_of_values(self.format, arrays, self.entry_group)
            dtype = arrays["entry_scales"].dtype
        given["values"] = mx.zeros(shape, dtype)
        return SparseArray.from_arrays(given, self.weight_shape, format=self.format)

    def _extra_repr(self) -> str:
        return f"{self.weight_shape}, format={self.format!r}, bits={self.entry_bits}"


def to_sparse(
    model: nn.Module,
    pattern: Pattern,
    *,
    bits: int | None = None,
    group_size: int = 64,
    block_size: int = DEFAULT_BLOCK_SIZE,
    exclude: tuple[str, ...] = ("lm_head",),
) -> dict[str, SparseLinear]:
    """Replace the pruned linear layers of a model by sparse ones, in place.

    A layer that would not get smaller stays dense: with 16-bit values, compressed sparse rows take
    as much at half the weights, and blocks pay whenever some are empty.

    Args:
        model: After ``prune``.
        pattern: What it was pruned to, which chooses the format.
        bits: Of a stored entry; None keeps them as they are.
        group_size: Entries that share a scale.
        block_size: Of ``"block"``.
        exclude: Parts of names of layers that stay as they are.

    Returns:
        The new layers by name.

    Raises:
        ConfigError: An option is not allowed, or a weight is not of this pattern.
    """
    if pattern not in FORMAT_OF:
        raise ConfigError(f"pattern={pattern!r}: {', '.join(FORMAT_OF)} are allowed.")
    options = {"block_size": block_size} if pattern == "block" else {}
    new: dict[str, SparseLinear] = {}
    for name, layer in linear_layers(model, exclude).items():
        sparse = SparseLinear.from_linear(
            layer, FORMAT_OF[pattern], bits=bits, group_size=group_size, **options
        )
        if sparse.weight_bytes < layer.weight.nbytes:
            new[name] = sparse
    model.update_modules(tree_unflatten(list(new.items())))
    return new


def to_dense(model: nn.Module, formats: tuple[str, ...] = ("csr", "bsr", "2:4")) -> None:
    """Replace the sparse layers of these formats by dense ones, in place."""
    dense = [
        (name, layer.to_linear())
        for name, layer in model.named_modules()
        if isinstance(layer, SparseLinear) and layer.format in formats
    ]
    model.update_modules(tree_unflatten(dense))


def unpack_for_cpu(model: nn.Module) -> None:
    """Replace, in place, the sparse layers that are slower than dense ones on a CPU.

    Blocks stay, with entries that are not quantized: they are the format that saves time there.
    """
    to_dense(model, ("csr", "2:4"))
    packed = [
        (name, layer.unpacked())
        for name, layer in model.named_modules()
        if isinstance(layer, SparseLinear) and layer.entry_bits is not None
    ]
    model.update_modules(tree_unflatten(packed))


def _packed(values: mx.array, bits: int, group_size: int) -> dict[str, mx.array]:
    """Values quantized as rows of one group each."""
    if bits not in BITS or group_size not in GROUP_SIZES:
        raise ConfigError(
            f"bits={bits}, group_size={group_size}: bits of {BITS} and groups of {GROUP_SIZES} are "
            "allowed."
        )
    flat = values.reshape(-1)
    groups = mx.pad(flat, (0, -flat.size % group_size)).reshape(-1, group_size)
    return dict(zip(_PACKED, mx.quantize(groups, group_size, bits), strict=True))


def _shape_of_values(format: str, arrays: dict[str, mx.array], group_size: int) -> tuple[int, ...]:
    """The shape that packed values had, which their places tell."""
    if format == "csr":
        return arrays["columns"].shape
    if format == "2:4":
        rows, chunks = arrays["positions"].shape
        return rows, chunks * 8
    count = arrays["columns"].size
    side = round((arrays["codes"].shape[0] * group_size / max(count, 1)) ** 0.5)
    return count, side, side
