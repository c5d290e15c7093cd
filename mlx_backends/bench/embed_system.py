"""One embedding system in a process of its own; a script that needs nothing but what it measures.

Run by the interpreter of the system's environment: ``python embed_system.py KIND FOLDER OPTIONS``.
Each line of the standard input names a JSON file of texts and where to put the vectors; each line
of the standard output is a JSON object: first what was loaded, then the seconds of each request.
"""

import importlib.metadata
import json
import os
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

Embed = Callable[[list[str]], np.ndarray]
Options = dict[str, Any]
# What sentence-transformers takes by default, and its ONNX users with it.
_BATCH = 32


def mlx_backends(folder: str, options: Options) -> Embed:
    """This package, through its public interface."""
    from mlx_backends import Embedder, EmbedderConfig

    known = ("device", "dtype", "max_batch_tokens", "max_length", "weight_bits")
    config = {name: options[name] for name in known if options.get(name) is not None}
    embedder = Embedder(EmbedderConfig(model=folder, on_overflow="truncate", **config))
    return embedder.embed


def sentence_transformers(folder: str, options: Options) -> Embed:
    """sentence-transformers on torch, with its defaults."""
    import torch  # pyright: ignore[reportMissingImports]
    from sentence_transformers import (  # pyright: ignore[reportMissingImports]
        SentenceTransformer,
    )

    device = "cuda" if options["device"] == "gpu" else "cpu"
    if device == "cpu":
        torch.set_num_threads(options["cores"])
    model = SentenceTransformer(folder, device=device)
    if options.get("max_length") is not None:
        model.max_seq_length = options["max_length"]
    return lambda texts: np.asarray(model.encode(texts))


def onnxruntime(folder: str, options: Options) -> Embed:
    """ONNX Runtime on ``model.onnx``, batched as sentence-transformers does."""
    import onnxruntime as ort  # pyright: ignore[reportMissingImports]
    from tokenizers import Tokenizer

    settings = ort.SessionOptions()
    settings.intra_op_num_threads = options["cores"]
    session = ort.InferenceSession(
        options["onnx"], settings, providers=ort.get_available_providers()
    )
    tokenizer = Tokenizer.from_file(f"{folder}/tokenizer.json")
    tokenizer.enable_truncation(options.get("max_length") or 256)
    tokenizer.enable_padding()
    names = [entry.name for entry in session.get_inputs()]

    def embed(texts: list[str]) -> np.ndarray:
        order = sorted(range(len(texts)), key=lambda index: -len(texts[index]))
        rows: list[np.ndarray | None] = [None] * len(texts)
        for start in range(0, len(order), _BATCH):
            batch = order[start : start + _BATCH]
            encoded = tokenizer.encode_batch([texts[index] for index in batch])
            mask = np.array([row.attention_mask for row in encoded], np.int64)
            ids = np.array([row.ids for row in encoded], np.int64)
            every = {
                "input_ids": ids,
                "attention_mask": mask,
                "token_type_ids": np.zeros_like(ids),
            }
            hidden = np.asarray(session.run(None, {name: every[name] for name in names})[0])
            mean = (hidden * mask[..., None]).sum(1) / mask.sum(1, keepdims=True)
            for index, row in zip(batch, mean, strict=True):
                rows[index] = row / np.linalg.norm(row)
        return np.stack([row for row in rows if row is not None])

    return embed


SYSTEMS: dict[str, tuple[Callable[[str, Options], Embed], tuple[str, ...]]] = {
    "mlx-backends": (mlx_backends, ("mlx", "numpy", "tokenizers")),
    "sentence-transformers": (sentence_transformers, ("sentence-transformers", "torch")),
    "onnxruntime": (onnxruntime, ("onnxruntime",)),
}


def main(kind: str, folder: str, options: Options) -> None:
    """Load the system and answer until the input ends."""
    make, packages = SYSTEMS[kind]
    try:
        embed = make(folder, options)
        embed(["The first text loads what loads late."])
    except Exception as error:
        _answer({"error": f"{type(error).__name__}: {error!s:.300}"})
        return
    _answer({"versions": {name: _version(name) for name in packages}, "blas": _blas()})
    for line in sys.stdin:
        request = json.loads(line)
        texts = json.loads(Path(request["texts"]).read_text("utf-8"))
        started, spent = time.perf_counter(), time.process_time()
        vectors = embed(texts)
        seconds, processor_s = time.perf_counter() - started, time.process_time() - spent
        if request.get("vectors"):
            np.save(request["vectors"], vectors)
        _answer({"seconds": seconds, "processor_s": processor_s, "peak_bytes": _peak_bytes()})


def _answer(content: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(content) + "\n")
    sys.stdout.flush()


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def _blas() -> str:
    core = os.environ.get("OPENBLAS_CORETYPE", "chosen by itself")
    return f"OPENBLAS_CORETYPE {core}"


def _peak_bytes() -> int:
    """Largest resident memory of the process so far; kilobytes on Linux, bytes on macOS."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], json.loads(sys.argv[3]))
