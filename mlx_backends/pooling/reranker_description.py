"""What a reranker's small files say: architecture, score, limits."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from mlx_backends.errors import UnsupportedModelError
from mlx_backends.json_file import read_json
from mlx_backends.models.encoders.architectures import Architecture, reranker_architecture
from mlx_backends.models.model_config import checked_quantization
from mlx_backends.pooling.description import longest_text

ScoreKind = Literal["logit", "probability"]

_SCORE_KINDS: dict[str, ScoreKind] = {"Identity": "logit", "Sigmoid": "probability"}


@dataclass(frozen=True, slots=True, kw_only=True)
class RerankerDescription:
    """How a folder's model turns a pair of texts into a score.

    Attributes:
        folder: Where the weights and the tokenizer are.
        architecture: What runs it.
        quantization: ``bits`` and ``group_size`` of stored quantized weights, else None.
        answers: Whether a language model answers a prompt with yes or no; else a score head reads
            the two texts.
        score_kind: ``probability`` if scores are logits put through a sigmoid.
        max_length: Longest pair in tokens, special tokens included.
    """

    folder: Path
    architecture: Architecture
    quantization: Mapping[str, Any] | None
    answers: bool
    score_kind: ScoreKind
    max_length: int


def read_reranker_description(folder: Path) -> RerankerDescription:
    """Read and check a model folder's small files.

    Raises:
        ModelLoadError: A file is missing, malformed or out of bounds.
        UnsupportedModelError: The model is no cross-encoder with one score that is implemented.
    """
    stored = read_json(folder / "config.json", dict)
    architecture = reranker_architecture(stored)
    answers = stored.get("model_type") == "qwen3"
    if not answers:
        _require_one_score(folder, stored)
    return RerankerDescription(
        folder=folder,
        architecture=architecture,
        quantization=checked_quantization(folder, stored.get("quantization")),
        answers=answers,
        score_kind=_score_kind(folder, stored),
        max_length=longest_text(folder, {}, architecture.config.max_length),
    )


def with_answers(description: RerankerDescription, no_id: int, yes_id: int) -> RerankerDescription:
    """The description with the tokens that a language model answers with."""
    # Here, not at the top: mlx_lm takes two seconds to import, and has been for this model.
    from mlx_backends.models.encoders.qwen3_reranker import Qwen3RerankerConfig

    config = description.architecture.config
    assert isinstance(config, Qwen3RerankerConfig)
    known = replace(config, no_id=no_id, yes_id=yes_id)
    return replace(description, architecture=replace(description.architecture, config=known))


def _require_one_score(folder: Path, config: dict[str, Any]) -> None:
    labels = config.get("id2label")
    if isinstance(labels, dict) and len(labels) != 1:
        raise UnsupportedModelError(
            f"{folder}: the model has {len(labels)} labels; a reranker has one score."
        )


def _score_kind(folder: Path, config: dict[str, Any]) -> ScoreKind:
    """What sentence-transformers applies to the logit: what a file names, else a sigmoid.

    The name is in ``config_sentence_transformers.json`` since its version 5.4, before that in
    ``config.json``.
    """
    described = read_json(folder / "config_sentence_transformers.json", dict, default={})
    nested = config.get("sentence_transformers")
    named = (
        described.get("activation_fn")
        or (nested.get("activation_fn") if isinstance(nested, dict) else None)
        or config.get("sbert_ce_default_activation_function")
        or "Sigmoid"
    )
    name = str(named).rpartition(".")[2]
    if name not in _SCORE_KINDS:
        raise UnsupportedModelError(
            f"{folder}: scores through {named!r:.80} are not supported; supported are: "
            f"{', '.join(_SCORE_KINDS)}."
        )
    return _SCORE_KINDS[name]
