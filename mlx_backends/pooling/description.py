"""What a sentence-embedding model's small files say: architecture, pooling, prompts, limits.

Reads the layout of the sentence-transformers project: ``modules.json`` lists the steps, each with a
folder of its own. A folder without it is a plain encoder: mean pooling and unit length.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeGuard

from mlx_backends.errors import ModelLoadError, UnsupportedModelError
from mlx_backends.json_file import read_json
from mlx_backends.models.encoders.architectures import Architecture, encoder_architecture
from mlx_backends.models.model_config import checked_quantization
from mlx_backends.pooling.dense import DenseDescription, read_dense

TextKind = Literal["query", "document"]

_POOLING_FLAGS = {
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_cls_token": "cls",
    "pooling_mode_lasttoken": "last_token",
}
_POOLING_NAMES = {"mean": "mean", "cls": "cls", "lasttoken": "last_token"}
# Steps of the supported kinds, in the only order that makes sense of them.
_ORDER = ("Transformer", "Pooling", "Dense", "Normalize")
# Names under which models store the prompt of each kind, in the order of preference.
_PROMPT_NAMES: dict[TextKind, tuple[str, ...]] = {
    "query": ("query",),
    "document": ("document", "passage", "corpus"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class EncoderDescription:
    """How a folder's model turns a text into a vector.

    Attributes:
        folder: Where the encoder's weights and tokenizer are.
        architecture: What runs it.
        quantization: ``bits`` and ``group_size`` of stored quantized weights, else None.
        pooling: Name of a function of ``mlx_backends.pooling.pool``.
        dense: Projections of the pooled vector, in order.
        is_normalized: Whether vectors are scaled to length 1.
        dimensions: Length of a whole vector.
        shorter: Lengths that the model was trained to be cut to; None if its files do not say.
        default_dimensions: Length that its files cut vectors to; None is the whole.
        max_length: Longest text in tokens, special tokens included.
        lowercases: Whether texts are lowercased before they are tokenized.
        prompts: Text put in front of queries and of documents.
    """

    folder: Path
    architecture: Architecture
    quantization: Mapping[str, Any] | None = None
    pooling: str = "mean"
    dense: tuple[DenseDescription, ...] = ()
    is_normalized: bool = True
    dimensions: int
    shorter: tuple[int, ...] | None = None
    default_dimensions: int | None = None
    max_length: int
    lowercases: bool = False
    prompts: Mapping[TextKind, str] = field(default_factory=dict)


def read_description(folder: Path) -> EncoderDescription:
    """Read and check a model folder's small files.

    Raises:
        ModelLoadError: A file is missing, malformed or out of bounds.
        UnsupportedModelError: The model has a step or an architecture that is not implemented.
    """
    steps = _read_steps(folder)
    encoder_folder = _folder_of(steps, "Transformer") or folder
    pooling_folder = _folder_of(steps, "Pooling")
    stored = read_json(encoder_folder / "config.json", dict)
    architecture = encoder_architecture(stored)
    limits = read_json(encoder_folder / "sentence_bert_config.json", dict, default={})
    settings = read_json(folder / "config_sentence_transformers.json", dict, default={})
    dense = _read_projections(steps, architecture.config.hidden_size)
    dimensions = dense[-1].out_features if dense else architecture.config.hidden_size
    return EncoderDescription(
        folder=encoder_folder,
        architecture=architecture,
        quantization=checked_quantization(encoder_folder, stored.get("quantization")),
        pooling="mean" if pooling_folder is None else _read_pooling(pooling_folder),
        dense=dense,
        is_normalized=not steps or steps[-1][0] == "Normalize",
        dimensions=dimensions,
        shorter=_shorter(encoder_folder, stored, dimensions),
        default_dimensions=_cut(folder, settings, dimensions),
        max_length=longest_text(encoder_folder, limits, architecture.config.max_length),
        lowercases=limits.get("do_lower_case") is True,
        prompts=_prompts(folder, settings),
    )


def _read_steps(folder: Path) -> list[tuple[str, Path]]:
    """Kind and folder of each step that ``modules.json`` lists; empty if there is no such file."""
    steps: list[tuple[str, Path]] = []
    for module in read_json(folder / "modules.json", list, default=[]):
        if not isinstance(module, dict) or not all(
            isinstance(module.get(key), str) for key in ("type", "path")
        ):
            raise ModelLoadError(f"{folder}: modules.json has an entry without type and path.")
        steps.append((module["type"].rpartition(".")[2], _inside(folder, module["path"])))
    _require_supported(folder, [name for name, _ in steps])
    return steps


def _require_supported(folder: Path, names: list[str]) -> None:
    """Refuse kinds of steps that are not implemented, and orders that make no sense."""
    for name in names:
        if name not in _ORDER:
            raise UnsupportedModelError(
                f"{folder}: modules.json has a step {name!r:.80}; supported are: "
                f"{', '.join(_ORDER)}."
            )
    is_ordered = names == sorted(names, key=_ORDER.index)
    if names and (not is_ordered or any(names.count(n) != 1 for n in ("Transformer", "Pooling"))):
        raise UnsupportedModelError(
            f"{folder}: modules.json has the steps {', '.join(names)}; supported are one "
            "Transformer and one Pooling, then any number of Dense, then Normalize."
        )


def _folder_of(steps: list[tuple[str, Path]], kind: str) -> Path | None:
    return next((folder for name, folder in steps if name == kind), None)


def _inside(folder: Path, relative: str) -> Path:
    if Path(relative).is_absolute() or ".." in Path(relative).parts:
        raise ModelLoadError(f"{folder}: modules.json leads out of the folder: {relative!r:.200}.")
    return folder / relative


def _read_projections(steps: list[tuple[str, Path]], size: int) -> tuple[DenseDescription, ...]:
    found = []
    for name, folder in steps:
        if name == "Dense":
            found.append(read_dense(folder, in_features=size))
            size = found[-1].out_features
    return tuple(found)


def _read_pooling(folder: Path) -> str:
    config = read_json(folder / "config.json", dict)
    if config.get("include_prompt", True) is not True:
        raise UnsupportedModelError(f"{folder}: pooling without the prompt is not supported.")
    if "pooling_mode" in config:
        modes = [config["pooling_mode"]]
        names = [_POOLING_NAMES.get(mode) if isinstance(mode, str) else None for mode in modes]
    else:
        modes = [key for key in config if key.startswith("pooling_mode_") and config[key]]
        names = [_POOLING_FLAGS.get(mode) for mode in modes]
    if len(names) != 1 or names[0] is None:
        raise UnsupportedModelError(
            f"{folder}: pooling by {', '.join(map(str, modes)) or 'nothing'} is not supported; "
            "exactly one of mean, cls and lasttoken is."
        )
    return names[0]


def longest_text(folder: Path, limits: Mapping[str, Any], longest: int) -> int:
    """What the files state, but never more than the model has positions for."""
    stated = limits.get("max_seq_length")
    if stated is None:
        tokenizer = read_json(folder / "tokenizer_config.json", dict, default={})
        limit = tokenizer.get("model_max_length")
        # A number of thirty digits there means that there is no limit.
        return min(limit, longest) if _is_count(limit) else longest
    if not _is_count(stated):
        raise ModelLoadError(
            f"{folder}: max_seq_length in sentence_bert_config.json must be an integer of at "
            f"least 1; got {stated!r:.80}."
        )
    return min(stated, longest)


def _shorter(folder: Path, config: Mapping[str, Any], whole: int) -> tuple[int, ...] | None:
    """Lengths that ``config.json`` says vectors may be cut to, as Matryoshka models state them."""
    listed = config.get("matryoshka_dimensions")
    if listed is None:
        return None
    if not isinstance(listed, list) or not all(_is_count(n) and n <= whole for n in listed):
        raise ModelLoadError(
            f"{folder}: matryoshka_dimensions in config.json must list integers from 1 to {whole}."
        )
    return tuple(listed)


def _cut(folder: Path, settings: Mapping[str, Any], whole: int) -> int | None:
    stated = settings.get("truncate_dim")
    if stated is not None and not (_is_count(stated) and stated <= whole):
        raise ModelLoadError(
            f"{folder}: truncate_dim in config_sentence_transformers.json must be an integer from "
            f"1 to {whole}; got {stated!r:.80}."
        )
    return stated


def _is_count(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _prompts(folder: Path, config: Mapping[str, Any]) -> dict[TextKind, str]:
    stored = config.get("prompts") or {}
    if not isinstance(stored, dict) or not all(isinstance(p, str) for p in stored.values()):
        raise ModelLoadError(
            f"{folder}: prompts in config_sentence_transformers.json must map names to texts."
        )
    default = stored.get(config.get("default_prompt_name") or "", "")
    return {
        kind: next((stored[name] for name in names if name in stored), default)
        for kind, names in _PROMPT_NAMES.items()
    }
