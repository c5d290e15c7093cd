"""llama.cpp as a peer, if ``xllamacpp`` and ``gguf`` are installed: the same weights, as GGUF.

Nothing of them is a dependency of this package: ``pip install xllamacpp gguf``. Only llama models
in float32 are written, which is what the benchmark makes for a CPU.
"""

import importlib
import importlib.util
import json
import os
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np

from mlx_backends.bench.random_model import Shape
from mlx_backends.bench.run import Run, Timing

_NAMES = {
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
}
_NUM_SLOTS = 8
_SLOT_TOKENS = 1_024


def can_serve(shape: Shape) -> bool:
    """Whether llama.cpp is installed and the model is one that can be written for it."""
    is_installed = all(importlib.util.find_spec(name) for name in ("xllamacpp", "gguf"))
    return is_installed and shape.config["model_type"] == "llama" and shape.bits is None


class LlamaCpp:
    """llama.cpp's server inside this process, with as many threads as OpenBLAS has here.

    Args:
        folder: The model.
        is_quantized: Whether its matrices are rounded to q8_0; else they stay float32.
    """

    def __init__(self, folder: Path, is_quantized: bool) -> None:
        library: Any = importlib.import_module("xllamacpp")
        self._scratch = tempfile.TemporaryDirectory(prefix="mlx-backends-gguf-")
        file = Path(self._scratch.name) / "model.gguf"
        _write_gguf(folder, file, is_quantized)
        params = library.CommonParams()
        params.model.path = str(file)
        params.n_parallel, params.n_ctx = _NUM_SLOTS, _NUM_SLOTS * _SLOT_TOKENS
        threads = int(os.environ.get("OPENBLAS_NUM_THREADS") or os.cpu_count() or 1)
        params.cpuparams.n_threads = params.cpuparams_batch.n_threads = threads
        params.verbosity = 0
        self._server = library.Server(params)

    def start_round(self) -> None:
        """As in ``peers.System``: it keeps what it has."""

    def generate(self, prompts: Sequence[Sequence[int]], num_tokens: int) -> Run:
        """As in ``peers.System``."""
        start = time.perf_counter()
        times: list[list[float]] = [[] for _ in prompts]

        def serve(index: int) -> None:
            request = {
                "prompt": list(prompts[index]),
                "n_predict": num_tokens,
                "temperature": 0,
                "ignore_eos": True,
                "stream": True,
            }
            self._server.handle_completions(
                request, lambda _: times[index].append(time.perf_counter() - start)
            )

        threads = [threading.Thread(target=serve, args=(i,)) for i in range(len(prompts))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        # The last message of a stream says only that it ends.
        timings = [Timing(each[0], each[num_tokens - 1], num_tokens) for each in times]
        return Run(timings, sum(map(len, prompts)), 0)

    def close(self) -> None:
        """As in ``peers.System``."""
        del self._server


def _write_gguf(folder: Path, file: Path, is_quantized: bool) -> None:
    gguf: Any = importlib.import_module("gguf")
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    writer = gguf.GGUFWriter(str(file), "llama")
    _write_settings(writer, config)
    q8 = gguf.GGMLQuantizationType.Q8_0
    weights = mx.load(str(folder / "model.safetensors"))
    assert isinstance(weights, dict)
    for name, array in weights.items():
        rows = np.ascontiguousarray(_turned(name, np.array(array), config))
        if is_quantized and rows.ndim == 2:
            writer.add_tensor(_gguf_name(name), gguf.quants.quantize(rows, q8), raw_dtype=q8)
        else:
            writer.add_tensor(_gguf_name(name), rows)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _write_settings(writer: Any, config: Mapping[str, Any]) -> None:
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_rope_freq_base(config["rope_theta"])
    for add in (writer.add_rope_dimension_count, writer.add_key_length, writer.add_value_length):
        add(config["head_dim"])
    count = config["vocab_size"]
    writer.add_vocab_size(count)
    writer.add_tokenizer_model("llama")
    writer.add_token_list([f"w{index}" for index in range(count)])
    writer.add_token_scores([0.0] * count)
    writer.add_token_types([1] * count)
    writer.add_unk_token_id(0)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)


def _gguf_name(name: str) -> str:
    layer = name.removeprefix("model.").removesuffix(".weight")
    if not layer.startswith("layers."):
        return {"embed_tokens": "token_embd", "norm": "output_norm"}[layer] + ".weight"
    _, index, part = layer.split(".", 2)
    return f"blk.{index}.{_NAMES[part]}.weight"


def _turned(name: str, weight: np.ndarray, config: Mapping[str, Any]) -> np.ndarray:
    """Rows of queries and keys in GGUF's order: the two of a rotary pair side by side."""
    heads = {"q_proj": "num_attention_heads", "k_proj": "num_key_value_heads"}
    part = name.removesuffix(".weight").rpartition(".")[2]
    if part not in heads:
        return weight
    rows, columns = weight.shape
    halves = weight.reshape(config[heads[part]], 2, -1, columns)
    return halves.swapaxes(1, 2).reshape(rows, columns)
