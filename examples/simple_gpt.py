"""A GPT-2 of random weights: recomputing everything for each token, the engine, and 8 bits.

The plain loop gives the model all tokens again for every new one. The engine keeps keys and values,
and writes the same tokens many times faster. Then weights and activations go to 8 bits, and the two
sequences are compared.
"""

import tempfile
import time
from pathlib import Path
from typing import Any

# Before mlx.core: on Linux the package puts a faster BLAS in front of MLX's own.
from mlx_backends import Engine, EngineConfig, QuantizationConfig, SamplingParams, quantize_model

# isort: split
import mlx.core as mx
import numpy as np

from mlx_backends.bench.random_model import Shape, make_model
from mlx_backends.models.loader import read_model

CONTEXT = 1_024


def gpt2(num_layers: int, dim: int, vocab_size: int) -> Shape:
    config = {
        "model_type": "gpt2",
        "n_ctx": CONTEXT,
        "n_positions": CONTEXT,
        "n_embd": dim,
        "n_head": dim // 64,
        "n_layer": num_layers,
        "layer_norm_epsilon": 1e-5,
        "vocab_size": vocab_size,
    }
    return Shape("gpt2", config)


def generate_by_recomputing(model, ids: list[int], max_new_tokens: int) -> list[int]:
    """Greedy tokens, each from all that came before, the last 1,024 of them."""
    ids = list(ids)
    for _ in range(max_new_tokens):
        logits = model(mx.array([ids[-CONTEXT:]]))
        token: Any = mx.argmax(logits[0, -1]).item()
        ids.append(token)
    return ids[-max_new_tokens:]


def generate(folder: Path, ids: list[int], max_new_tokens: int) -> tuple[list[int], float]:
    """The engine's greedy tokens, and the seconds from the request to the last one."""
    with Engine(EngineConfig(model=str(folder), dtype="float32")) as engine:
        engine.load()
        params = SamplingParams(temperature=0.0, max_tokens=max_new_tokens, ignore_eos=True)
        start = time.perf_counter()
        outputs = list(engine.stream(engine.submit(ids, params)))
        seconds = time.perf_counter() - start
    return [token for output in outputs for token in output.token_ids], seconds


def main(
    num_layers: int = 12,
    dim: int = 768,
    vocab_size: int = 50_257,
    prompt_tokens: int = 512,
    max_new_tokens: int = 50,
) -> dict[str, float]:
    ids = np.random.default_rng(0).integers(0, vocab_size, prompt_tokens).tolist()
    with tempfile.TemporaryDirectory() as scratch:
        folder, small = Path(scratch) / "gpt2", Path(scratch) / "gpt2-int8"
        make_model(gpt2(num_layers, dim, vocab_size), folder)
        model, _ = read_model(folder)
        start = time.perf_counter()
        slow = generate_by_recomputing(model, ids, max_new_tokens)
        slow_s = time.perf_counter() - start
        fast, fast_s = generate(folder, ids, max_new_tokens)
        config = {"weight_bits": 8, "activation_bits": 8, "method": "dynamic"}
        quantize_model(folder, small, QuantizationConfig.from_dict(config))
        rounded, rounded_s = generate(small, ids, max_new_tokens)
    equal = [a == b for a, b in zip(fast, rounded, strict=True)]
    result = {
        "recomputing, s": slow_s,
        "engine, s": fast_s,
        "factor": slow_s / fast_s,
        "same tokens": float(slow == fast),
        "8 bits, s": rounded_s,
        "8 bits: share of equal tokens": sum(equal) / len(equal),
        "8 bits: equal at the start": equal.index(False) if False in equal else len(equal),
    }
    print(f"{num_layers} layers of {dim}, {prompt_tokens} tokens of prompt, {max_new_tokens} new")
    for name, value in result.items():
        print(f"{name}: {value:.3f}")
    return result


if __name__ == "__main__":
    main()
