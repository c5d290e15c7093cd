"""What the files of a model's folder say about its tokenizer.

Owns which files are looked for, how large they may be and what their fields must be. The folder is
untrusted: nothing in it is run, and every fault is a ``ModelLoadError`` that names the file.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tokenizers

from mlx_backends.errors import ModelLoadError
from mlx_backends.json_file import read_bytes, read_json
from mlx_backends.text.native import read_tokenizer
from mlx_backends.text.template_files import read_chat_templates
from mlx_backends.text.tiktoken_file import FAMILIES, load_tiktoken_file, tokenizer_json

# Gemma's 262,000 tokens take 33 MB.
_MAX_TOKENIZER_BYTES = 256 * 2**20
MAX_TOKEN_ID = 2**31 - 1
_SPECIAL_NAMES = (
    "bos_token",
    "eos_token",
    "unk_token",
    "sep_token",
    "pad_token",
    "cls_token",
    "mask_token",
)
_SENTENCEPIECE_FILES = ("tokenizer.model", "spiece.model", "sentencepiece.bpe.model", "vocab.txt")


@dataclass(frozen=True, slots=True)
class TokenizerFiles:
    """What a folder says.

    Attributes:
        library: The tokenizer itself, with the added tokens of the configuration.
        special_tokens: Texts by name, such as ``bos_token``.
        eos_token_ids: Tokens that end a completion.
        chat_templates: Jinja sources by name; ``default`` is the one for all uses.
    """

    library: tokenizers.Tokenizer
    special_tokens: Mapping[str, str]
    eos_token_ids: frozenset[int]
    chat_templates: Mapping[str, str]


def read_tokenizer_files(folder: Path) -> TokenizerFiles:
    """Read a model's folder.

    Raises:
        ModelLoadError: No tokenizer is there, or a file is malformed.
    """
    config = read_json(folder / "tokenizer_config.json", dict, default={})
    library = _read_library(folder, config)
    _add_configured_tokens(library, config)
    special_tokens = _special_tokens(folder, config)
    return TokenizerFiles(
        library=library,
        special_tokens=special_tokens,
        eos_token_ids=_eos_token_ids(folder, library, special_tokens.get("eos_token")),
        chat_templates=read_chat_templates(folder, config),
    )


def _read_library(folder: Path, config: Mapping[str, Any]) -> tokenizers.Tokenizer:
    if (folder / "tokenizer.json").is_file():
        source = read_bytes(folder / "tokenizer.json", _MAX_TOKENIZER_BYTES)
        return read_tokenizer(source, "tokenizer.json")
    if tiktoken_files := sorted([*folder.glob("*.tiktoken"), *folder.glob("tiktoken.model")]):
        return _library_from_tiktoken(tiktoken_files[0], config)
    if any((folder / name).is_file() for name in _SENTENCEPIECE_FILES):
        return _library_from_transformers(folder)
    raise ModelLoadError(
        f"{folder} has no tokenizer: looked for tokenizer.json, *.tiktoken, tiktoken.model, "
        f"{', '.join(_SENTENCEPIECE_FILES)}."
    )


def _library_from_tiktoken(path: Path, config: Mapping[str, Any]) -> tokenizers.Tokenizer:
    name = config.get("tokenizer_class")
    family = FAMILIES.get(name) if isinstance(name, str) else None
    if family is None:
        raise ModelLoadError(
            f"{path.name} holds no splitting pattern, and tokenizer_config.json names the class "
            f"{name!r:.80}; known are {', '.join(FAMILIES)}. Convert the model to tokenizer.json."
        )
    ranks = load_tiktoken_file(path)
    names = {token_id: fields["content"] for token_id, fields in _configured_tokens(config)}
    content = tokenizer_json(ranks, family, names)
    return read_tokenizer(json.dumps(content).encode(), path.name)


def _library_from_transformers(folder: Path) -> tokenizers.Tokenizer:
    """Convert a SentencePiece or WordPiece vocabulary, which only transformers can do."""
    try:
        from transformers import AutoTokenizer

        loaded = AutoTokenizer.from_pretrained(
            folder, trust_remote_code=False, local_files_only=True
        )
        library = loaded.backend_tokenizer
    except Exception as error:  # whatever a malformed folder makes it raise
        raise ModelLoadError(
            f"{folder} has no tokenizer.json, and transformers could not convert its vocabulary: "
            f"{error}"
        ) from error
    # A copy, so that nothing that transformers keeps can change it.
    return read_tokenizer(library.to_str().encode(), "the converted vocabulary")


def _add_configured_tokens(library: tokenizers.Tokenizer, config: Mapping[str, Any]) -> None:
    """Add the tokens that only the configuration lists, as transformers does."""
    present = {token.content for token in library.get_added_tokens_decoder().values()}
    for token_id, fields in _configured_tokens(config):
        if fields["content"] in present:
            continue
        flags = ("single_word", "lstrip", "rstrip", "special")
        token = tokenizers.AddedToken(
            fields["content"],
            normalized=bool(fields.get("normalized", not fields.get("special"))),
            **{flag: bool(fields.get(flag)) for flag in flags},
        )
        library.add_tokens([token])
        if library.token_to_id(token.content) != token_id:
            raise ModelLoadError(
                f"tokenizer_config.json gives {token.content!r:.40} the id {token_id}; in the "
                f"vocabulary it gets {library.token_to_id(token.content)}."
            )


def _configured_tokens(config: Mapping[str, Any]) -> list[tuple[int, Mapping[str, Any]]]:
    """The ``added_tokens_decoder`` of the configuration, in the order of its ids."""
    where = "tokenizer_config.json: added_tokens_decoder"
    entries = config.get("added_tokens_decoder") or {}
    if not isinstance(entries, Mapping):
        raise ModelLoadError(f"{where} is not an object.")
    tokens: list[tuple[int, Mapping[str, Any]]] = []
    for key, fields in entries.items():
        is_token = isinstance(fields, Mapping) and isinstance(fields.get("content"), str)
        if not is_token or not key.isdecimal() or len(key) > 10:
            raise ModelLoadError(f"{where} has a malformed entry {key!r:.40}.")
        tokens.append((int(key), fields))
    return sorted(tokens, key=lambda token: token[0])


def _special_tokens(folder: Path, config: Mapping[str, Any]) -> dict[str, str]:
    name = "special_tokens_map.json"
    found: dict[str, str] = {}
    for source, fields in (
        (name, read_json(folder / name, dict, default={})),
        ("tokenizer_config.json", config),
    ):
        for key in _SPECIAL_NAMES:
            value = fields.get(key)
            text = value.get("content") if isinstance(value, Mapping) else value
            if text is not None and not isinstance(text, str):
                raise ModelLoadError(f"{source}: {key} is not a token: {value!r:.80}.")
            if text:
                found[key] = text
    return found


def _eos_token_ids(
    folder: Path, library: tokenizers.Tokenizer, eos_token: str | None
) -> frozenset[int]:
    """The ids of ``generation_config.json``, else of ``config.json``, and the tokenizer's own."""
    config = read_json(folder / "config.json", dict, default={})
    inner = config.get("text_config")
    candidates = (
        ("generation_config.json", read_json(folder / "generation_config.json", dict, default={})),
        ("config.json", config),
        ("config.json: text_config", inner if isinstance(inner, Mapping) else {}),
    )
    ids: frozenset[int] = frozenset()
    for source, fields in candidates:
        if fields.get("eos_token_id") is not None:
            ids = _as_token_ids(source, fields["eos_token_id"])
            break
    own_id = library.token_to_id(eos_token) if eos_token else None
    return ids if own_id is None else ids | {own_id}


def _as_token_ids(source: str, value: object) -> frozenset[int]:
    ids: list[Any] = value if isinstance(value, list) else [value]
    for token_id in ids:
        is_int = isinstance(token_id, int) and not isinstance(token_id, bool)
        if not is_int or not 0 <= token_id <= MAX_TOKEN_ID:
            raise ModelLoadError(f"{source}: eos_token_id is not a token id: {token_id!r:.80}.")
    return frozenset(ids)
