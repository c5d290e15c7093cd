"""How a model is to be quantized: validated once. Imports no MLX."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal, Self

from mlx_backends.errors import ConfigError
from mlx_backends.quantization.training_config import TrainingConfig

Method = Literal["ptq", "dynamic", "static", "qat"]
Mode = Literal["affine", "mxfp4", "mxfp8", "nvfp4"]
Algorithm = Literal["rtn", "search", "awq", "gptq", "mixed"]
Observer = Literal["minmax", "percentile", "mse"]

METHODS = ("ptq", "dynamic", "static", "qat")
MODES = ("affine", "mxfp4", "mxfp8", "nvfp4")
ALGORITHMS = ("rtn", "search", "awq", "gptq", "mixed")
OBSERVERS = ("minmax", "percentile", "mse")
AFFINE_BITS = (2, 3, 4, 5, 6, 8)
AFFINE_GROUPS = (32, 64, 128)
# Bits, and the one group size that the format has.
FORMATS = {"mxfp4": (4, 32), "mxfp8": (8, 32), "nvfp4": (4, 16)}
# Formats that MLX multiplies with quantized activations (`mx.qqmm`).
ACTIVATION_FORMATS = ("mxfp8", "nvfp4")
_DEFAULT_BITS, _DEFAULT_GROUP = 4, 64


@dataclass(frozen=True, slots=True, kw_only=True)
class QuantizationConfig:
    """What is rounded, how far, and by which method.

    Attributes:
        method: ``ptq`` rounds the weights; ``dynamic`` rounds activations too, with scales taken
            from each token at run time; ``static`` with scales found beforehand on calibration
            data; ``qat`` trains the weights to bear the rounding.
        weight_bits: 2, 3, 4, 5, 6 or 8 in ``affine`` mode; the other modes have one width each.
            None is 4, or the mode's width.
        activation_bits: None leaves activations alone; ``dynamic`` and ``static`` take 8, or 4 in
            ``nvfp4`` mode; ``qat`` takes 8 or None. None is what the method needs.
        mode: Number format of the weights, as in ``mx.quantize``.
        group_size: Weights that share a scale: 32, 64 or 128 in ``affine`` mode. None is 64, or
            what the mode has.
        embedding_bits: Of embeddings and of the output head, which low widths hurt most; None is
            ``weight_bits``.
        algorithm: Of ``ptq``: round to nearest on MLX's own values (``rtn``) or on those with the
            least squared error (``search``), AWQ, GPTQ, or ``mixed`` widths by sensitivity.
        target_bits: With ``mixed``: bits a weight that the whole model may take, scales included.
        high_bits: With ``mixed``: width of the sensitive layers; None is the next above.
        calibration_data: What ``static``, ``awq``, ``gptq`` and ``mixed`` look at, and ``qat``
            trains on: model inputs (arrays of token ids, one batch each), or texts where a
            tokenizer is known.
        observer: With ``static``: how a layer's range is found.
        percentile: With ``observer="percentile"``: share of the magnitudes that are kept, in
            percent.
        smooth: With ``static``: move outliers of activations into the weights first, where the
            architecture is known (SmoothQuant).
        exclude: Parts of names of layers that stay as they are.
        training: With ``qat``: how to train; the data is ``calibration_data``.

    Raises:
        ConfigError: A value is out of its range, or does not go with another.
    """

    method: Method = "ptq"
    weight_bits: int | None = None
    activation_bits: int | None = None
    mode: Mode = "affine"
    group_size: int | None = None
    embedding_bits: int | None = None
    algorithm: Algorithm = "rtn"
    target_bits: float | None = None
    high_bits: int | None = None
    calibration_data: Any = field(default=None, repr=False, compare=False)
    observer: Observer = "minmax"
    percentile: float = 99.99
    smooth: bool = True
    exclude: tuple[str, ...] = ()
    training: TrainingConfig = field(default_factory=TrainingConfig)

    @classmethod
    def from_dict(cls, options: Mapping[str, Any]) -> Self:
        """Read ``{"weight_bits": 8, "activation_bits": 8, "method": "static", ...}``.

        Raises:
            ConfigError: An option is unknown or has a bad value.
        """
        known = [item.name for item in fields(cls)]
        if unknown := sorted(set(options) - set(known)):
            raise ConfigError(
                f"Unknown quantization options: {', '.join(map(repr, unknown))}. Known are: "
                f"{', '.join(known)}."
            )
        return cls(**options)

    def __post_init__(self) -> None:
        _require_choice("method", self.method, METHODS)
        _require_choice("mode", self.mode, MODES)
        _require_choice("algorithm", self.algorithm, ALGORITHMS)
        _require_choice("observer", self.observer, OBSERVERS)
        if not isinstance(self.training, TrainingConfig):
            raise ConfigError(f"training must be a TrainingConfig; got {self.training!r:.80}.")
        bits, group_size = FORMATS.get(self.mode, (_DEFAULT_BITS, _DEFAULT_GROUP))
        self._set("weight_bits", bits if self.weight_bits is None else self.weight_bits)
        self._set("group_size", group_size if self.group_size is None else self.group_size)
        self._set("exclude", tuple(self.exclude))
        self._check_weights()
        self._check_activations()
        self._check_algorithm()
        if not 0 < self.percentile <= 100:
            raise ConfigError(f"percentile must lie above 0, up to 100; got {self.percentile!r}.")

    @property
    def bits(self) -> int:
        """``weight_bits``, which is set after construction."""
        assert self.weight_bits is not None
        return self.weight_bits

    @property
    def group(self) -> int:
        """``group_size``, which is set after construction."""
        assert self.group_size is not None
        return self.group_size

    @property
    def bits_of_embeddings(self) -> int:
        return self.embedding_bits or self.bits

    @property
    def bits_of_sensitive(self) -> int:
        """With ``mixed``: the width of the sensitive layers."""
        return self.high_bits or next(bits for bits in AFFINE_BITS if bits > self.bits)

    @property
    def needs_data(self) -> bool:
        return self.method in ("static", "qat") or self.algorithm not in ("rtn", "search")

    def _set(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)

    def _check_weights(self) -> None:
        if self.mode != "affine":
            if (self.weight_bits, self.group_size) != FORMATS[self.mode]:
                bits, group_size = FORMATS[self.mode]
                raise ConfigError(
                    f"mode={self.mode!r} has {bits} bits in groups of {group_size}; got "
                    f"weight_bits={self.weight_bits!r}, group_size={self.group_size!r}."
                )
            if self.embedding_bits is not None:
                raise ConfigError("embedding_bits goes with mode='affine' only.")
            return
        _require_choice("weight_bits", self.weight_bits, AFFINE_BITS)
        _require_choice("group_size", self.group_size, AFFINE_GROUPS)
        if self.embedding_bits is not None:
            _require_choice("embedding_bits", self.embedding_bits, AFFINE_BITS)

    def _check_activations(self) -> None:
        if self.method == "ptq":
            if self.activation_bits is not None:
                raise ConfigError(
                    "method='ptq' rounds weights only; use method='dynamic' or 'static' with "
                    f"activation_bits={self.activation_bits!r}."
                )
            return
        if self.method == "qat" and (self.activation_bits is None or self.mode != "affine"):
            if self.mode != "affine":
                raise ConfigError(f"method='qat' takes mode='affine'; got {self.mode!r}.")
            return
        needed = 4 if self.mode == "nvfp4" else 8
        if self.mode not in ("affine", *ACTIVATION_FORMATS):
            raise ConfigError(f"mode={self.mode!r} has no form for activations.")
        if self.method != "dynamic" and self.mode != "affine":
            raise ConfigError(
                f"mode={self.mode!r} takes its scales at run time: use method='dynamic'."
            )
        if self.activation_bits not in (None, needed):
            raise ConfigError(
                f"activation_bits={self.activation_bits!r}: mode={self.mode!r} takes {needed}."
            )
        self._set("activation_bits", needed)

    def _check_algorithm(self) -> None:
        if self.algorithm == "rtn":
            if self.target_bits is not None or self.high_bits is not None:
                raise ConfigError("target_bits and high_bits go with algorithm='mixed'.")
            return
        if self.method != "ptq" or self.mode != "affine":
            raise ConfigError(
                f"algorithm={self.algorithm!r} goes with method='ptq' and mode='affine'; got "
                f"method={self.method!r}, mode={self.mode!r}."
            )
        if self.algorithm == "mixed":
            self._check_mixed()

    def _check_mixed(self) -> None:
        if self.bits == AFFINE_BITS[-1]:
            raise ConfigError("algorithm='mixed' goes up from weight_bits; 8 leaves no room.")
        high = self.bits_of_sensitive
        _require_choice("high_bits", high, AFFINE_BITS)
        overhead = 32 / self.group  # a scale and a bias of 16 bits
        low, most = self.bits + overhead, high + overhead
        if self.target_bits is None or not low < self.target_bits < most:
            raise ConfigError(
                f"target_bits must lie between {low} and {most} bits a weight, which all layers "
                f"at {self.bits} and at {high} bits take; got {self.target_bits!r}."
            )


def _require_choice(name: str, value: object, allowed: tuple[Any, ...]) -> None:
    if isinstance(value, bool) or value not in allowed:
        raise ConfigError(
            f"{name} must be one of {', '.join(map(str, allowed))}; got {value!r:.80}."
        )
