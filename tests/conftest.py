"""Fixtures shared by all tests: tiny models in HF layout, written in milliseconds."""

import asyncio
import inspect
import json
import os
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

# Two threads of OpenBLAS wait for each other whenever something else uses the other core.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import mlx_backends  # noqa: F401 -- before any test imports MLX, which keeps its first BLAS

CHAT_TEMPLATE = (
    "{%- for message in messages %}<|im_start|>{{ message.role }}\n"
    "{{ message.content }}<|im_end|>\n"
    "{%- endfor %}{%- if add_generation_prompt %}<|im_start|>assistant\n{%- endif %}"
)
LLAMA = {
    "model_type": "llama",
    "architectures": ["LlamaForCausalLM"],
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "rms_norm_eps": 1e-5,
    "rope_theta": 10000.0,
    "max_position_embeddings": 512,
    "tie_word_embeddings": True,
    "vocab_size": 512,
}


def write_tokenizer(folder: Path, vocab_size: int = 512) -> Tokenizer:
    """A byte-level BPE trained on a few sentences, with ChatML's special tokens."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    corpus = [
        f"The {a} of the {b} is {n} tokens, and the {b} answers the question about the {a}."
        for n, (a, b) in enumerate(
            (a, b)
            for a in ("size", "capital", "colour", "price", "weight", "name", "engine", "block")
            for b in ("model", "river", "library", "cache", "prompt", "batch", "kernel", "answer")
        )
    ]
    tokenizer.train_from_iterator(corpus, trainer)
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {"eos_token": "<|im_end|>", "chat_template": CHAT_TEMPLATE}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    return tokenizer


def llama_weights(config: dict, seed: int = 0) -> dict[str, np.ndarray]:
    """Random float32 weights under their HF names, scaled so that logits differ clearly."""
    rng = np.random.default_rng(seed)

    def matrix(rows: int, columns: int) -> np.ndarray:
        return (rng.standard_normal((rows, columns)) / columns**0.5).astype(np.float32)

    width, inner = config["hidden_size"], config["intermediate_size"]
    heads = config["num_attention_heads"] * config["head_dim"]
    kv_heads = config["num_key_value_heads"] * config["head_dim"]
    weights = {
        "model.embed_tokens.weight": matrix(config["vocab_size"], width) * 8,
        "model.norm.weight": np.ones(width, np.float32),
    }
    for layer in range(config["num_hidden_layers"]):
        prefix = f"model.layers.{layer}."
        weights |= {
            f"{prefix}self_attn.q_proj.weight": matrix(heads, width),
            f"{prefix}self_attn.k_proj.weight": matrix(kv_heads, width),
            f"{prefix}self_attn.v_proj.weight": matrix(kv_heads, width) * 4,
            f"{prefix}self_attn.o_proj.weight": matrix(width, heads) * 4,
            f"{prefix}mlp.gate_proj.weight": matrix(inner, width),
            f"{prefix}mlp.up_proj.weight": matrix(inner, width) * 2,
            f"{prefix}mlp.down_proj.weight": matrix(width, inner) * 2,
            f"{prefix}input_layernorm.weight": np.ones(width, np.float32),
            f"{prefix}post_attention_layernorm.weight": np.ones(width, np.float32),
        }
    return weights


def write_llama(folder: Path, seed: int = 0, **changes: object) -> Path:
    """A random Llama with its tokenizer; ``changes`` go into its config.json."""
    folder.mkdir(parents=True, exist_ok=True)
    config = {**LLAMA, **changes}
    write_tokenizer(folder, config["vocab_size"])
    (folder / "config.json").write_text(json.dumps(config))
    save_file(llama_weights(config, seed), folder / "model.safetensors")
    return folder


@pytest.fixture(scope="session")
def tiny_lm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_llama(tmp_path_factory.mktemp("models") / "tiny-llama")


@pytest.fixture
def make_lm(tmp_path: Path):
    """Function that writes a fresh tiny Llama: ``make_lm(num_hidden_layers=4)``."""
    return lambda **changes: write_llama(tmp_path / "model", **changes)


@pytest.fixture
def event_loop_of_blocking_calls(request: pytest.FixtureRequest) -> Iterator[None]:
    """LlamaIndex's blocking query engine makes an event loop to count tokens and leaves it open."""
    if inspect.iscoroutinefunction(request.function):
        yield
        return
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    yield
    asyncio.set_event_loop(None)
    loop.close()


@pytest.fixture
def hold_until_submitted():
    """Function that keeps an engine from its next step until so many more requests are in.

    What it does with them then does not depend on how fast the machine submits.
    """
    from mlx_backends.worker import shared_worker

    def hold(engine, count: int) -> None:
        goal, deadline = engine.stats().submitted + count, time.monotonic() + 60

        def wait() -> None:
            while engine.stats().submitted < goal and time.monotonic() < deadline:
                time.sleep(0.001)

        shared_worker().post(wait)

    return hold


@pytest.fixture
def worst_loop_gap():
    """Function that runs work on the loop and returns the longest pause between two ticks, in s.

    The best of three tries: a busy machine can pause any thread, blocking code pauses every time.
    """

    async def worst_gap(work: Callable[[], Awaitable[object]]) -> float:
        return min([await _worst_gap(work()) for _ in range(3)])

    return worst_gap


async def _worst_gap(work: Awaitable[object]) -> float:
    gaps, is_running = [], True

    async def heartbeat() -> None:
        last = time.perf_counter()
        while is_running:
            await asyncio.sleep(0.001)
            now = time.perf_counter()
            gaps.append(now - last)
            last = now

    beat = asyncio.create_task(heartbeat())
    await work
    is_running = False
    await beat
    return max(gaps)
