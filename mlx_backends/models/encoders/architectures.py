"""Which classes run which model, by the names in ``config.json``.

Modules are imported when they are asked for: two of them import mlx-lm, which takes seconds.
"""

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mlx_backends.errors import UnsupportedModelError
from mlx_backends.models.encoders.encoder import Encoder, EncoderConfig
from mlx_backends.models.loader import kept_file_limit

_ENCODERS = {
    "bert": ("bert", "BertConfig", "Bert"),
    "gemma3_text": ("gemma3", "Gemma3Config", "Gemma3"),
    "modernbert": ("modernbert", "ModernBertConfig", "ModernBert"),
    "nomic_bert": ("nomic_bert", "NomicBertConfig", "NomicBert"),
    "qwen3": ("qwen3", "Qwen3Config", "Qwen3"),
    "roberta": ("xlm_roberta", "XLMRobertaConfig", "XLMRoberta"),
    "xlm-roberta": ("xlm_roberta", "XLMRobertaConfig", "XLMRoberta"),
}
_RERANKERS = {
    "BertForSequenceClassification": ("bert_cross_encoder", "BertConfig", "BertCrossEncoder"),
    "Qwen3ForCausalLM": ("qwen3_reranker", "Qwen3RerankerConfig", "Qwen3Reranker"),
    "RobertaForSequenceClassification": (
        "xlm_roberta_cross_encoder",
        "XLMRobertaConfig",
        "XLMRobertaCrossEncoder",
    ),
    "XLMRobertaForSequenceClassification": (
        "xlm_roberta_cross_encoder",
        "XLMRobertaConfig",
        "XLMRobertaCrossEncoder",
    ),
}
_MODEL_TYPES = {
    "BertForSequenceClassification": "bert",
    "Qwen3ForCausalLM": "qwen3",
    "RobertaForSequenceClassification": "roberta",
    "XLMRobertaForSequenceClassification": "xlm-roberta",
}


@dataclass(frozen=True, slots=True)
class Architecture:
    """A model's class and its checked configuration.

    Attributes:
        model: Made with ``config``.
        config: Shape of the model.
    """

    model: type[Encoder]
    config: EncoderConfig


def encoder_architecture(config: Mapping[str, Any]) -> Architecture:
    """What runs the encoder that a ``config.json`` describes.

    Raises:
        ModelLoadError: A value is missing, has the wrong type or is out of bounds.
        UnsupportedModelError: The architecture, or a variant of it, is not implemented.
    """
    model_type = config.get("model_type")
    if not isinstance(model_type, str) or model_type not in _ENCODERS:
        raise UnsupportedModelError(
            f"Encoders of the type {model_type!r:.80} are not supported; supported are: "
            f"{', '.join(_ENCODERS)}."
        )
    return _architecture(_ENCODERS[model_type], config)


def reranker_architecture(config: Mapping[str, Any]) -> Architecture:
    """As ``encoder_architecture``, for a model with one score."""
    listed = config.get("architectures")
    names = listed if isinstance(listed, list) else []
    for name in map(str, names):
        if name in _RERANKERS and config.get("model_type") == _MODEL_TYPES[name]:
            return _architecture(_RERANKERS[name], config)
    raise UnsupportedModelError(
        f"{config.get('model_type')!r:.80} models of the architectures {listed!r:.200} are not "
        f"supported as rerankers; supported are: {', '.join(_RERANKERS)}."
    )


def _architecture(names: tuple[str, str, str], config: Mapping[str, Any]) -> Architecture:
    module_name, config_name, model_name = names
    with kept_file_limit():
        module = importlib.import_module(f"mlx_backends.models.encoders.{module_name}")
    config_class: type[EncoderConfig] = getattr(module, config_name)
    return Architecture(getattr(module, model_name), config_class.from_dict(config))
