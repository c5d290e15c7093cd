"""What a cross-encoder's small files say: architecture, score, limits."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from mlx_backends.errors import UnsupportedModelError
from mlx_backends.json_file import read_json
from mlx_backends.models.encoders.bert import BertConfig

ScoreKind = Literal["logit", "probability"]

_ARCHITECTURES = {"BertForSequenceClassification": "bert"}
_SCORE_KINDS: dict[str, ScoreKind] = {"Identity": "logit", "Sigmoid": "probability"}


@dataclass(frozen=True, slots=True, kw_only=True)
class RerankerDescription:
    """How a folder's model turns a pair of texts into a score.

    Attributes:
        folder: Where the weights and the tokenizer are.
        config: Shape of the model.
        score_kind: ``probability`` if scores are logits put through a sigmoid.
        max_length: Longest pair in tokens, special tokens included.
    """

    folder: Path
    config: BertConfig
    score_kind: ScoreKind
    max_length: int


def read_reranker_description(folder: Path) -> RerankerDescription:
    """Read and check a model folder's small files.

    Raises:
        ModelLoadError: A file is missing, malformed or out of bounds.
        UnsupportedModelError: The model is no cross-encoder with one score that is implemented.
    """
    stored = read_json(folder / "config.json", dict)
    _require_one_score(folder, stored)
    config = BertConfig.from_dict(stored)
    return RerankerDescription(
        folder=folder,
        config=config,
        score_kind=_score_kind(folder, stored),
        max_length=config.max_position_embeddings,
    )


def _require_one_score(folder: Path, config: dict[str, Any]) -> None:
    names = config.get("architectures") or []
    if not any(_ARCHITECTURES.get(name) == config.get("model_type") for name in map(str, names)):
        raise UnsupportedModelError(
            f"{folder}: {config.get('model_type')!r:.80} models of the architectures "
            f"{names!r:.200} are not supported as rerankers; supported are: "
            f"{', '.join(_ARCHITECTURES)}."
        )
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
