"""Turns trained weights into the folders that ship (MLX, CPU)."""

import json
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from mlx_backends import fast_blas
from mlx_backends.bundled.training import chatml, tokenizer
from mlx_backends.bundled.training.shapes import (
    EMBEDDING_BITS,
    GROUP_SIZE,
    LINEAR_BITS,
    EncoderConfig,
    LmConfig,
)


def export(inputs: Path, weights: Path, target: Path, *, bits: int = LINEAR_BITS) -> None:
    """Write the shipped folder of each model whose weights are in `weights`.

    Args:
        inputs: Holds `tokenizer.json`.
        weights: Holds some of `lm-*.safetensors`, `encoder.safetensors`, `reranker.safetensors`.
        target: Gets the folders `lm`, `encoder` and `reranker`.
        bits: Of the chat model's weights; the embedding has at least `EMBEDDING_BITS`.
    """
    if list(weights.glob("lm-*.safetensors")):
        with tempfile.TemporaryDirectory() as scratch:
            write_lm_bf16(inputs, weights, Path(scratch))
            quantize_lm(Path(scratch), target / "lm", bits=bits)
    if (weights / "encoder.safetensors").is_file():
        write_encoder(inputs, weights, target / "encoder")
    if (weights / "reranker.safetensors").is_file():
        write_reranker(inputs, weights, target / "reranker")


def write_lm_bf16(inputs: Path, weights: Path, folder: Path) -> None:
    """Write the chat model unquantized, in Hugging Face layout, with the layers that it has."""
    fast_blas.preload()
    import mlx.core as mx

    folder.mkdir(parents=True, exist_ok=True)
    state: dict[str, Any] = {}
    for path in sorted(weights.glob("lm-*.safetensors")):
        state |= mx.load(str(path))  # type: ignore[arg-type]
    mx.save_safetensors(str(folder / "model.safetensors"), state, {"format": "mlx"})
    ids = _copy_tokenizer(inputs, folder)
    end, pad = ids[chatml.IM_END], ids[chatml.END_OF_TEXT]
    layers = {name.split(".")[2] for name in state if name.startswith("model.layers.")}
    shape = replace(LmConfig(), num_layers=len(layers))
    config = shape.to_hf() | {"bos_token_id": None, "eos_token_id": end, "pad_token_id": pad}
    _write_json(folder / "config.json", config)
    generation = {
        "eos_token_id": [end, pad],
        "pad_token_id": pad,
        "do_sample": False,
        "max_new_tokens": 128,
    }
    _write_json(folder / "generation_config.json", generation)
    tokenizer.write_config(folder, max_length=shape.max_positions, chat=True)


def quantize_lm(source: Path, target: Path, *, bits: int) -> None:
    """Quantize with MLX's affine mode and write the result; see `export` for the bits."""
    import mlx.core as mx
    import mlx.nn as nn
    from mlx.utils import tree_flatten
    from mlx_lm.utils import load_model, quantize_model

    model, config = load_model(source)
    of_embedding = {"group_size": GROUP_SIZE, "bits": max(bits, EMBEDDING_BITS)}

    def quantized_as(name: str, module: nn.Module) -> bool | dict[str, Any]:
        return of_embedding if isinstance(module, nn.Embedding) else True

    model, config = quantize_model(
        model, config, group_size=GROUP_SIZE, bits=bits, quant_predicate=quantized_as
    )
    target.mkdir(parents=True, exist_ok=True)
    mx.save_safetensors(
        str(target / "model.safetensors"), dict(tree_flatten(model.parameters())), {"format": "mlx"}
    )
    config.pop("quantization_config", None)
    _write_json(target / "config.json", config)
    for name in ("tokenizer.json", "tokenizer_config.json", "generation_config.json"):
        shutil.copy(source / name, target / name)


def write_encoder(inputs: Path, weights: Path, folder: Path) -> None:
    """Write the encoder in the layout of sentence-transformers."""
    fast_blas.preload()
    import mlx.core as mx

    config = EncoderConfig()
    (folder / "1_Pooling").mkdir(parents=True, exist_ok=True)
    state = mx.load(str(weights / "encoder.safetensors"))
    mx.save_safetensors(str(folder / "model.safetensors"), state, {"format": "pt"})  # type: ignore[arg-type]
    _copy_tokenizer(inputs, folder)
    tokenizer.write_config(folder, max_length=config.max_positions, chat=False)
    _write_json(folder / "config.json", config.to_hf())
    pooling = {
        "word_embedding_dimension": config.hidden_size,
        "pooling_mode_cls_token": False,
        "pooling_mode_mean_tokens": True,
        "pooling_mode_max_tokens": False,
        "pooling_mode_mean_sqrt_len_tokens": False,
    }
    _write_json(folder / "1_Pooling" / "config.json", pooling)
    package = "sentence_transformers.models"
    modules = [
        {"idx": 0, "name": "0", "path": "", "type": f"{package}.Transformer"},
        {"idx": 1, "name": "1", "path": "1_Pooling", "type": f"{package}.Pooling"},
        {"idx": 2, "name": "2", "path": "2_Normalize", "type": f"{package}.Normalize"},
    ]
    _write_json(folder / "modules.json", modules)
    _write_json(
        folder / "sentence_bert_config.json",
        {"max_seq_length": config.max_positions, "do_lower_case": False},
    )
    _write_json(
        folder / "config_sentence_transformers.json",
        {"prompts": {}, "default_prompt_name": None, "similarity_fn_name": "cosine"},
    )


def write_reranker(inputs: Path, weights: Path, folder: Path) -> None:
    """Write the reranker as a `BertForSequenceClassification` with one label."""
    fast_blas.preload()
    import mlx.core as mx

    config = EncoderConfig()
    folder.mkdir(parents=True, exist_ok=True)
    state = mx.load(str(weights / "reranker.safetensors"))
    mx.save_safetensors(str(folder / "model.safetensors"), state, {"format": "pt"})  # type: ignore[arg-type]
    _copy_tokenizer(inputs, folder)
    tokenizer.mark_pairs(folder / "tokenizer.json")
    tokenizer.write_config(folder, max_length=config.max_positions, chat=False)
    activation = {"activation_fn": "torch.nn.modules.activation.Sigmoid"}
    reranker = {
        "architectures": ["BertForSequenceClassification"],
        "id2label": {"0": "relevance"},
        "label2id": {"relevance": 0},
        "sentence_transformers": activation,
    }
    _write_json(folder / "config.json", config.to_hf() | reranker)


def _copy_tokenizer(inputs: Path, folder: Path) -> dict[str, int]:
    shutil.copy(inputs / "tokenizer.json", folder / "tokenizer.json")
    data = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    return {item["content"]: item["id"] for item in data["added_tokens"]}


def _write_json(path: Path, data: Any) -> None:
    path.write_text(json.dumps(data, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
