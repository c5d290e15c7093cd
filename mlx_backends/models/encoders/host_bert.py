"""BERT on a CPU, without padding: the same numbers as ``bert.py`` in half the time.

Letters: N tokens of all texts, laid end to end; T texts; D hidden size.
"""

from dataclasses import dataclass
from typing import Any

import mlx.core as mx
import numpy as np
from mlx.utils import tree_flatten
from numpy.typing import NDArray

from mlx_backends.kernels.host_encoder import Floats, HostEncoder, Linear, status
from mlx_backends.models.encoders.bert import Bert, BertConfig


def host_bert(model: object, device: mx.Device) -> "HostBert | None":
    """What computes a loaded model on a CPU in MLX's place, or None if nothing does.

    It takes the layers away from the model, which cannot run any more: their weights are in memory
    once.
    """
    encoder = status().encoder
    if encoder is None or device != mx.Device(mx.cpu) or not isinstance(model, Bert):
        return None
    weights: Any = tree_flatten(model.parameters())
    is_whole = all(array.dtype == mx.float32 for _, array in weights)
    return HostBert(model, encoder) if is_whole and model.config.hidden_act == "gelu" else None


class HostBert:
    """Token ids to contextual token vectors. May be called from several threads at once."""

    def __init__(self, model: Bert, encoder: HostEncoder) -> None:
        self._encoder = encoder
        self._config: BertConfig = model.config
        tables: Any = model.embeddings
        self._words = _view(tables.word_embeddings.weight)
        self._positions = _view(tables.position_embeddings.weight)[model.config.first_position :]
        self._kinds = _view(tables.token_type_embeddings.weight)
        self._norm = _norm(tables.LayerNorm)
        layers, self._layers = model.encoder.layer, []
        del model.encoder
        while layers:
            self._layers.append(_Layer.of(layers.pop(0), encoder))

    def __call__(
        self,
        token_ids: NDArray[np.int32],
        segments: NDArray[np.int32] | None,
        starts: NDArray[np.int64],
    ) -> Floats:
        """Encode some texts.

        Shapes: token_ids and segments (N,), inside their tables; starts (T + 1,), where each text
            begins, and N; no text is empty. Returns (N, D).
        """
        hidden = self._embedded(token_ids, segments, starts)
        for layer in self._layers:
            hidden = self._through(layer, hidden, starts)
        return hidden

    def _embedded(
        self,
        token_ids: NDArray[np.int32],
        segments: NDArray[np.int32] | None,
        starts: NDArray[np.int64],
    ) -> Floats:
        places = np.arange(len(token_ids)) - np.repeat(starts[:-1], np.diff(starts))
        others = self._positions[places]
        others += self._kinds[0] if segments is None else self._kinds[segments]
        return self._add_norm(self._words[token_ids], others, self._norm)

    def _through(self, layer: "_Layer", hidden: Floats, starts: NDArray[np.int64]) -> Floats:
        encoder, num_heads = self._encoder, self._config.num_attention_heads
        qkv = encoder.linear(hidden, layer.qkv)
        attended = encoder.linear(encoder.attend(qkv, starts, num_heads), layer.attended)
        hidden = self._add_norm(attended, hidden, layer.attended_norm)
        inner = encoder.linear(hidden, layer.inner, with_gelu=True)
        return self._add_norm(encoder.linear(inner, layer.outer), hidden, layer.outer_norm)

    def _add_norm(self, x: Floats, residual: Floats, norm: "_Norm") -> Floats:
        return self._encoder.add_norm(x, residual, *norm, self._config.layer_norm_eps)


_Norm = tuple[Floats, Floats]


@dataclass(frozen=True, slots=True)
class _Layer:
    """Weights of one layer, as they are multiplied."""

    qkv: Linear
    attended: Linear
    attended_norm: _Norm
    inner: Linear
    outer: Linear
    outer_norm: _Norm

    @classmethod
    def of(cls, layer: Any, encoder: HostEncoder) -> "_Layer":
        attention = layer.attention
        parts = [getattr(attention.self, name) for name in ("query", "key", "value")]
        return cls(
            qkv=encoder.pack(
                np.concatenate([_view(part.weight) for part in parts]),
                np.concatenate([_view(part.bias) for part in parts]),
            ),
            attended=_packed(attention.output.dense, encoder),
            attended_norm=_norm(attention.output.LayerNorm),
            inner=_packed(layer.intermediate.dense, encoder),
            outer=_packed(layer.output.dense, encoder),
            outer_norm=_norm(layer.output.LayerNorm),
        )


def _packed(linear: Any, encoder: HostEncoder) -> Linear:
    return encoder.pack(_view(linear.weight), _view(linear.bias))


def _norm(norm: Any) -> _Norm:
    return _view(norm.weight), _view(norm.bias)


def _view(array: Any) -> Floats:
    """The array's own memory, which the view keeps alive."""
    return np.asarray(memoryview(mx.contiguous(array, stream=mx.cpu)))  # pyright: ignore[reportArgumentType]
