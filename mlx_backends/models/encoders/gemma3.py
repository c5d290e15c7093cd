"""EmbeddingGemma: Gemma 3 whose tokens see each other in both directions.

mlx-lm's blocks take any mask, so they serve unchanged; its loop over them, which makes causal
masks, does not.

Source: Schechter Vera et al. 2025, "EmbeddingGemma", arXiv:2509.20354.
"""

from collections.abc import Mapping
from typing import Any, Self

import mlx.core as mx
from mlx_lm.models.gemma3_text import Gemma3Model, ModelArgs

from mlx_backends.errors import ModelLoadError
from mlx_backends.models.encoders.attention import padding_mask, window_mask
from mlx_backends.models.encoders.config_values import (
    require_choice,
    require_epsilon,
    require_positive,
    require_sizes,
)
from mlx_backends.models.encoders.decoder_config import SIZES, DecoderConfig
from mlx_backends.models.encoders.encoder import Encoder
from mlx_backends.models.encoders.rotary import rope_base


class Gemma3Config(DecoderConfig[ModelArgs]):
    """As in ``DecoderConfig``."""

    __slots__ = ()

    @classmethod
    def from_dict(cls, config: Mapping[str, Any]) -> Self:
        """As in ``EncoderConfig``."""
        config = {"rms_norm_eps": 1e-6, "query_pre_attn_scalar": 256, **config}
        is_bidirectional = config.get("use_bidirectional_attention", False)
        require_choice("use_bidirectional_attention", is_bidirectional, (True,))
        require_sizes(config, *SIZES, "sliding_window")
        require_epsilon("rms_norm_eps", config["rms_norm_eps"])
        require_positive("query_pre_attn_scalar", config["query_pre_attn_scalar"])
        activation = config.get("hidden_activation", "gelu_pytorch_tanh")
        require_choice("hidden_activation", activation, ("gelu_pytorch_tanh",))
        require_choice("attention_bias", config.get("attention_bias", False), (False,))
        for name in ("attn_logit_softcapping", "final_logit_softcapping"):
            require_choice(name, config.get(name), (None,))
        values = {
            **config,
            "rope_theta": rope_base(config, "full_attention", "rope_theta", 1e6),
            "rope_local_base_freq": rope_base(
                config, "sliding_attention", "rope_local_base_freq", 1e4
            ),
            "sliding_window_pattern": _period(config),
        }
        return cls(
            vocab_size=config["vocab_size"],
            hidden_size=config["hidden_size"],
            max_length=config["max_position_embeddings"],
            args=ModelArgs.from_dict({"model_type": "gemma3_text", **values}),
        )


class Gemma3(Encoder):
    """Token ids to contextual token vectors."""

    _PREFIX = "model."
    _UNUSED = ("lm_head.",)

    def __init__(self, config: Gemma3Config) -> None:
        super().__init__(config)
        self.model = Gemma3Model(config.args)
        self._scale = config.hidden_size**0.5

    def __call__(
        self, token_ids: mx.array, mask: mx.array, segments: mx.array | None = None
    ) -> mx.array:
        """As in ``Encoder``; there are no segments."""
        model = self.model
        reach = model.window_size // 2
        hidden = model.embed_tokens(token_ids) * self._scale
        everywhere = padding_mask(mask, hidden.dtype)
        nearby = everywhere
        if token_ids.shape[1] > reach + 1:  # else every token is near every other
            nearby = window_mask(mask, reach, hidden.dtype)
        for layer in model.layers:
            hidden = layer(hidden, nearby if layer.self_attn.is_sliding else everywhere)
        return model.norm(hidden)

    @classmethod
    def sanitize(cls, weights: Mapping[str, mx.array]) -> dict[str, mx.array]:
        """As in ``Encoder``; files of encoders leave out ``model.``, those of decoders do not."""
        return {f"model.{name}": array for name, array in super().sanitize(weights).items()}


def _period(config: Mapping[str, Any]) -> int:
    """Every n-th layer sees everything; checked against the list of layers, if there is one."""
    period = config.get("sliding_window_pattern", config.get("_sliding_window_pattern", 6))
    require_sizes({"sliding_window_pattern": period}, "sliding_window_pattern")
    expected = [
        "sliding_attention" if (index + 1) % period else "full_attention"
        for index in range(config["num_hidden_layers"])
    ]
    if (config.get("layer_types") or expected) != expected:
        raise ModelLoadError(
            f"layer_types in config.json is not one full layer in {period}, as "
            "sliding_window_pattern says."
        )
    return period
