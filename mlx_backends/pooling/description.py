"""What a sentence-embedding model's small files say: architecture, pooling, prompts, limits.

Reads the layout of the sentence-transformers project: ``modules.json`` lists the steps, each with a
folder of its own. A folder without it is a plain encoder: mean pooling and unit length.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from mlx_backends.errors import ModelLoadError, UnsupportedModelError
from mlx_backends.json_file import read_json
from mlx_backends.models.encoders.bert import BertConfig

TextKind = Literal["query", "document"]

_ARCHITECTURES = ("bert",)
_POOLING_FLAGS = {
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_cls_token": "cls",
    "pooling_mode_lasttoken": "last_token",
}
_POOLING_NAMES = {"mean": "mean", "cls": "cls", "lasttoken": "last_token"}
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
        config: Shape of the encoder.
        pooling: Name of a function of ``mlx_backends.pooling.pool``.
        is_normalized: Whether vectors are scaled to length 1.
        max_length: Longest text in tokens, special tokens included.
        lowercases: Whether texts are lowercased before they are tokenized.
        prompts: Text put in front of queries and of documents.
    """

    folder: Path
    config: BertConfig
    pooling: str = "mean"
    is_normalized: bool = True
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
    encoder_folder = steps.get("Transformer", folder)
    config = _read_config(encoder_folder)
    limits = read_json(encoder_folder / "sentence_bert_config.json", dict, default={})
    prompts = read_json(folder / "config_sentence_transformers.json", dict, default={})
    return EncoderDescription(
        folder=encoder_folder,
        config=config,
        pooling=_read_pooling(steps["Pooling"]) if "Pooling" in steps else "mean",
        is_normalized="Normalize" in steps or not steps,
        max_length=_max_length(encoder_folder, limits, config),
        lowercases=limits.get("do_lower_case") is True,
        prompts=_prompts(folder, prompts),
    )


def _read_steps(folder: Path) -> dict[str, Path]:
    """Folder of each step that ``modules.json`` lists; empty if there is no such file."""
    steps = {}
    for module in read_json(folder / "modules.json", list, default=[]):
        if not isinstance(module, dict) or not all(
            isinstance(module.get(key), str) for key in ("type", "path")
        ):
            raise ModelLoadError(f"{folder}: modules.json has an entry without type and path.")
        name = module["type"].rpartition(".")[2]
        if name not in ("Transformer", "Pooling", "Normalize"):
            raise UnsupportedModelError(
                f"{folder}: modules.json has a step {name!r:.80}; models of a Transformer, a "
                "Pooling and a Normalize step are supported."
            )
        steps[name] = _inside(folder, module["path"])
    return steps


def _inside(folder: Path, relative: str) -> Path:
    if Path(relative).is_absolute() or ".." in Path(relative).parts:
        raise ModelLoadError(f"{folder}: modules.json leads out of the folder: {relative!r:.200}.")
    return folder / relative


def _read_config(folder: Path) -> BertConfig:
    config = read_json(folder / "config.json", dict)
    model_type = config.get("model_type")
    if model_type not in _ARCHITECTURES:
        raise UnsupportedModelError(
            f"{folder}: encoders of the type {model_type!r:.80} are not supported; supported are: "
            f"{', '.join(_ARCHITECTURES)}."
        )
    return BertConfig.from_dict(config)


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


def _max_length(folder: Path, limits: Mapping[str, Any], config: BertConfig) -> int:
    longest = config.max_position_embeddings
    stated = limits.get("max_seq_length")
    if stated is None:
        return longest
    if not isinstance(stated, int) or isinstance(stated, bool) or not 1 <= stated <= longest:
        raise ModelLoadError(
            f"{folder}: max_seq_length in sentence_bert_config.json must be an integer from 1 to "
            f"the model's {longest:,} positions; got {stated!r:.80}."
        )
    return stated


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
