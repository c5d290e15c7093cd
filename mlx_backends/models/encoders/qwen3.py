"""Qwen3 as an encoder: mlx-lm's decoder without its head.

A text's vector is that of its last token. A token sees those before it, so padding on the right
changes nothing.

Source: Zhang et al. 2025, "Qwen3 Embedding", arXiv:2506.05176.
"""

from collections.abc import Mapping
from typing import Any, Self

import mlx.core as mx
from mlx_lm.models.qwen3 import ModelArgs, Qwen3Model

from mlx_backends.errors import ModelLoadError
from mlx_backends.models.encoders.config_values import (
    require_choice,
    require_epsilon,
    require_positive,
    require_sizes,
)
from mlx_backends.models.encoders.decoder_config import SIZES, DecoderConfig
from mlx_backends.models.encoders.encoder import Encoder


class Qwen3Config(DecoderConfig[ModelArgs]):
    """As in ``DecoderConfig``."""

    __slots__ = ()

    @classmethod
    def from_dict(cls, config: Mapping[str, Any]) -> Self:
        """As in ``EncoderConfig``."""
        require_sizes(config, *SIZES)
        require_epsilon("rms_norm_eps", config.get("rms_norm_eps"))
        require_choice("hidden_act", config.get("hidden_act", "silu"), ("silu",))
        require_choice("attention_bias", config.get("attention_bias", False), (False,))
        require_choice("use_sliding_window", config.get("use_sliding_window", False), (False,))
        if config["num_attention_heads"] % config["num_key_value_heads"]:
            raise ModelLoadError("num_key_value_heads does not divide num_attention_heads.")
        try:
            args = ModelArgs.from_dict({"tie_word_embeddings": True, **config})
            require_positive("rope_theta", args.rope_theta)
        except (AttributeError, TypeError, ValueError) as error:
            raise ModelLoadError(f"config.json does not describe a Qwen3: {error}") from error
        return cls(
            vocab_size=config["vocab_size"],
            hidden_size=config["hidden_size"],
            max_length=config["max_position_embeddings"],
            args=args,
        )


class Qwen3(Encoder):
    """Token ids to contextual token vectors, each of which knows the tokens before it."""

    _PREFIX = "model."
    _UNUSED = ("lm_head.",)

    def __init__(self, config: Qwen3Config) -> None:
        super().__init__(config)
        self.model = Qwen3Model(config.args)

    def __call__(
        self, token_ids: mx.array, mask: mx.array, segments: mx.array | None = None
    ) -> mx.array:
        """As in ``Encoder``; there are no segments."""
        return self.model(token_ids)

    @classmethod
    def sanitize(cls, weights: Mapping[str, mx.array]) -> dict[str, mx.array]:
        """As in ``Encoder``; files of encoders leave out ``model.``, those of decoders do not."""
        return {
            name if name.startswith("lm_head.") else f"model.{name}": array
            for name, array in super().sanitize(weights).items()
        }
