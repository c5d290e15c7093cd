"""Tiny random BERTs in the layout of the Hub, and a plain NumPy one to compare with."""

import json
import math
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from safetensors.numpy import save_file
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

from mlx_backends import Embedder, EmbedderConfig
from mlx_backends.pooling import row_model
from mlx_backends.worker import Worker

WORDS = "the a cat dog sat ran on under mat tree river old new small bright and . , query passage"
CONFIG = {
    "model_type": "bert",
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "max_position_embeddings": 24,
    "type_vocab_size": 2,
    "layer_norm_eps": 1e-12,
    "hidden_act": "gelu",
}


def write_encoder(folder: Path, *, prefix: str = "", dtype=np.float32, **config) -> SimpleNamespace:
    """Write an encoder's folder; returns its weights under their plain names, and its config."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = _tokenizer()
    config = {**CONFIG, "vocab_size": tokenizer.get_vocab_size(), **config}
    tokenizer.save(str(folder / "tokenizer.json"))
    weights = {name: array.astype(dtype) for name, array in _random_weights(config).items()}
    extra = {
        "embeddings.position_ids": np.arange(config["max_position_embeddings"])[None],
        "pooler.dense.weight": np.zeros((2, 2), np.float32),
    }
    save_file(
        {prefix + name: array for name, array in {**weights, **extra}.items()},
        folder / "model.safetensors",
    )
    write_json(folder / "config.json", config)
    return SimpleNamespace(
        folder=folder, config=config, tokenizer=tokenizer, weights=weights, reference=reference
    )


def write_cross_encoder(
    folder: Path, *, num_labels: int = 1, head_scale: float = 1.0, bias: float = 0.0, **config
) -> SimpleNamespace:
    """Write a cross-encoder's folder; returns what to compare it with."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = _tokenizer()
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {
        **CONFIG,
        "vocab_size": tokenizer.get_vocab_size(),
        "architectures": ["BertForSequenceClassification"],
        "id2label": {"0": "LABEL_0"},
        "sentence_transformers": {"activation_fn": "torch.nn.modules.linear.Identity"},
        **config,
    }
    weights = _random_weights(config) | _random_head(config["hidden_size"], num_labels)
    weights["classifier.weight"] *= head_scale
    weights["classifier.bias"] += bias
    save_file(
        {
            name if name.startswith("classifier.") else f"bert.{name}": array.astype(np.float32)
            for name, array in weights.items()
        },
        folder / "model.safetensors",
    )
    write_json(folder / "config.json", config)

    def reference_score(ids: list[int], segments: list[int]) -> float:
        first = reference(weights, config, ids, segments)[0]
        return float(
            _linear(np.tanh(_linear(first, weights, "pooler.dense")), weights, "classifier")[0]
        )

    def pair_ids(query: str, document: str) -> tuple[list[int], list[int]]:
        tokenizer.no_truncation()
        tokenizer.no_padding()
        first, second = (
            tokenizer.encode(text, add_special_tokens=False).ids for text in (query, document)
        )
        cls, sep = (tokenizer.token_to_id(token) for token in ("[CLS]", "[SEP]"))
        ids = [cls, *first, sep, *second, sep]
        return ids, [0] * (len(first) + 2) + [1] * (len(second) + 1)

    return SimpleNamespace(
        folder=folder, config=config, pair_ids=pair_ids, reference_score=reference_score
    )


def write_modules(
    folder: Path, *steps: str, pooling: dict | None = None, max_length: int | None = None
) -> None:
    """Write the files by which sentence-transformers describes a model's steps."""
    modules = [
        {"idx": i, "name": str(i), "path": "" if i == 0 else f"{i}_{step}", "type": f"x.y.{step}"}
        for i, step in enumerate(steps)
    ]
    write_json(folder / "modules.json", modules)
    write_json(folder / "sentence_bert_config.json", {"max_seq_length": max_length})
    if "Pooling" in steps:
        (folder / "1_Pooling").mkdir(exist_ok=True)
        pooling = pooling if pooling is not None else {"pooling_mode_mean_tokens": True}
        write_json(folder / "1_Pooling" / "config.json", pooling)


def write_json(path: Path, value: object) -> None:
    path.write_text(json.dumps(value), encoding="utf-8")


def reference(
    weights: dict[str, np.ndarray],
    config: dict,
    ids: list[int],
    segments: list[int] | None = None,
) -> np.ndarray:
    """BERT for one unpadded text, written from the paper: (len(ids), hidden_size) in float64."""
    w = {name: array.astype(np.float64) for name, array in weights.items()}
    x = w["embeddings.word_embeddings.weight"][ids]
    x = x + w["embeddings.position_embeddings.weight"][: len(ids)]
    x = x + w["embeddings.token_type_embeddings.weight"][segments or [0] * len(ids)]
    x = _layer_norm(x, w, "embeddings.LayerNorm", config)
    for i in range(config["num_hidden_layers"]):
        x = _reference_layer(x, w, f"encoder.layer.{i}", config)
    return x


def _reference_layer(x, w, at, config):
    heads = config["num_attention_heads"]
    head_dim = x.shape[1] // heads
    q, k, v = (_linear(x, w, f"{at}.attention.self.{name}") for name in ("query", "key", "value"))
    attended = np.empty_like(x)
    for head in range(heads):
        span = slice(head * head_dim, (head + 1) * head_dim)
        scores = q[:, span] @ k[:, span].T / np.sqrt(head_dim)
        scores = np.exp(scores - scores.max(axis=1, keepdims=True))
        attended[:, span] = scores / scores.sum(axis=1, keepdims=True) @ v[:, span]
    inner = _linear(attended, w, f"{at}.attention.output.dense")
    x = _layer_norm(x + inner, w, f"{at}.attention.output.LayerNorm", config)
    inner = _linear(_gelu(_linear(x, w, f"{at}.intermediate.dense")), w, f"{at}.output.dense")
    return _layer_norm(x + inner, w, f"{at}.output.LayerNorm", config)


def _linear(x, w, at):
    return x @ w[f"{at}.weight"].T + w[f"{at}.bias"]


def _layer_norm(x, w, at, config):
    centered = x - x.mean(axis=-1, keepdims=True)
    scale = np.sqrt(x.var(axis=-1, keepdims=True) + config["layer_norm_eps"])
    return centered / scale * w[f"{at}.weight"] + w[f"{at}.bias"]


def _gelu(x):
    return x * 0.5 * (1 + np.vectorize(math.erf)(x / math.sqrt(2)))


def _random_weights(config: dict) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(7)
    size, inner = config["hidden_size"], config["intermediate_size"]
    shapes = {
        "embeddings.word_embeddings.weight": (config["vocab_size"], size),
        "embeddings.position_embeddings.weight": (config["max_position_embeddings"], size),
        "embeddings.token_type_embeddings.weight": (config["type_vocab_size"], size),
        "embeddings.LayerNorm.weight": (size,),
        "embeddings.LayerNorm.bias": (size,),
    }
    for i in range(config["num_hidden_layers"]):
        at = f"encoder.layer.{i}"
        for name, rows, columns in (
            ("attention.self.query", size, size),
            ("attention.self.key", size, size),
            ("attention.self.value", size, size),
            ("attention.output.dense", size, size),
            ("intermediate.dense", inner, size),
            ("output.dense", size, inner),
        ):
            shapes |= {f"{at}.{name}.weight": (rows, columns), f"{at}.{name}.bias": (rows,)}
        for name in ("attention.output", "output"):
            shapes |= {f"{at}.{name}.LayerNorm.{part}": (size,) for part in ("weight", "bias")}
    return {name: rng.normal(0.0, 0.5, shape) for name, shape in shapes.items()}


def _random_head(size: int, num_labels: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(8)
    return {
        "pooler.dense.weight": rng.normal(0.0, 0.3, (size, size)),
        "pooler.dense.bias": rng.normal(0.0, 0.3, size),
        "classifier.weight": rng.normal(0.0, 0.5, (num_labels, size)),
        "classifier.bias": np.zeros(num_labels),
    }


def _tokenizer() -> Tokenizer:
    letters = "abcdefghijklmnopqrstuvwxyz0123456789"
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *WORDS.split()]
    pieces += [c for c in letters if c not in pieces] + [f"##{c}" for c in letters]
    vocab = {piece: index for index, piece in enumerate(pieces)}
    tokenizer = Tokenizer(models.WordPiece(vocab, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", vocab["[CLS]"]), ("[SEP]", vocab["[SEP]"])],
    )
    # As on the Hub: the file asks for truncation and padding, which the embedder must not obey.
    tokenizer.enable_truncation(8)
    tokenizer.enable_padding(length=16)
    return tokenizer


@pytest.fixture
def worker():
    made = Worker("test")
    yield made
    made.close()


@pytest.fixture
def encoder(tmp_path) -> SimpleNamespace:
    return write_encoder(tmp_path / "encoder")


@pytest.fixture
def make_embedder(worker):
    def make(folder: Path, **options) -> Embedder:
        options = {"device": "cpu", **options}
        return Embedder(EmbedderConfig(model=str(folder), **options), worker=worker)

    return make


@pytest.fixture
def _mlx_computes(monkeypatch):
    """What a GPU, 16 bits and quantized weights get: batches that MLX computes."""
    monkeypatch.setattr(row_model, "host_bert", lambda *_: None)


@pytest.fixture
def files() -> SimpleNamespace:
    """The functions of this file that tests call."""
    return SimpleNamespace(
        write_encoder=write_encoder,
        write_cross_encoder=write_cross_encoder,
        write_modules=write_modules,
        write_json=write_json,
    )
