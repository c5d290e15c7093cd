"""The techniques of ``bench techniques``, each a generator of its rows."""

import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import mlx.core as mx

from mlx_backends.bench import step
from mlx_backends.bench.techniques_bench import ANSWER_TOKENS, Bench
from mlx_backends.bench.techniques_table import Row
from mlx_backends.models.loader import read_model
from mlx_backends.quantization.training_config import TrainingConfig


def _quantization(bench: Bench) -> Iterator[Row]:
    data = [bench.calibration]
    variants: dict[str, dict[str, Any]] = {
        "weights 8 bits": {"weight_bits": 8},
        "weights 4 bits": {"weight_bits": 4},
        "weights 4 bits, GPTQ": {
            "weight_bits": 4,
            "algorithm": "gptq",
            "calibration_data": data,
        },
        "weights and activations 8 bits, dynamic": {"weight_bits": 8, "method": "dynamic"},
        "weights and activations 8 bits, static": {
            "weight_bits": 8,
            "method": "static",
            "calibration_data": data,
        },
    }
    makes = {variant: bench.quantized(**options) for variant, options in variants.items()}
    return bench.rows("quantization", makes)


def _compilation(bench: Bench) -> Iterator[Row]:
    found = step.profile(
        str(bench.folder), device=bench.options.device, rounds=bench.options.rounds
    )
    for variant, side in (("mx.compile off", found.plain), ("mx.compile on", found.compiled)):
        yield Row(
            "compilation and fusion",
            variant,
            {
                "decode, tokens/s": 1e3 / side.step_ms,
                "operations a token": side.operations,
                "host time a token, ms": side.host_ms,
            },
        )


def _memory(bench: Bench) -> Iterator[Row]:
    with bench.engine(bench.folder) as engine:
        bench.answer(engine, bench.new_prompt(), 2)
        news, seens = [], []
        for _ in range(bench.options.rounds):
            prompt = bench.new_prompt()
            news.append(bench.answer(engine, prompt, 2)[0])
            seens.append(bench.answer(engine, prompt, 2)[0])
        for variant, times in (("a prompt that is new", news), ("the same prompt again", seens)):
            figures = {"first token, ms": 1e3 * statistics.median(times)}
            yield Row("memory", f"blocks of keys and values: {variant}", figures)
        held = mx.set_cache_limit(0)
        try:
            nothing = bench.speed_of(engine)
        finally:
            mx.set_cache_limit(held)
        yield Row("memory", "freed buffers: none held back", nothing)
        kept = bench.speed_of(engine)
        yield Row("memory", f"freed buffers: {held >> 20} MiB held back", kept)
    for bits in (None, 8, 4):
        how = f"in {bits} bits" if bits else "not rounded"
        yield Row("memory", f"keys and values {how}", _with_kv_bits(bench, bits))


def _with_kv_bits(bench: Bench, bits: int | None) -> dict[str, float]:
    with bench.engine(bench.folder, bits) as engine:
        figures = bench.speed_of(engine)
        return figures | {"bytes a token's keys and values take": bench.kv_token_bytes(engine)}


def _sparsity(bench: Bench) -> Iterator[Row]:
    patterns = {
        "half the weights, Wanda": "unstructured",
        "half in blocks of 32, Wanda": "block",
        "two of each four, Wanda": "2:4",
    }
    makes = {variant: bench.pruned("wanda", pattern) for variant, pattern in patterns.items()}
    return bench.rows("sparsity", makes)


def _kernels(bench: Bench) -> Iterator[Row]:
    is_gpu = bench.options.device != "cpu" and mx.is_available(mx.gpu)
    ours = "paged attention and fused steps" if is_gpu else "own layers and BLAS calls for a CPU"
    with bench.engine(bench.folder) as engine:
        yield Row("custom kernels", f"this engine: {ours}", bench.speed_of(engine))
    with _default_device(is_gpu):
        figures = _mlx_lm(bench, None if is_gpu else mx.float32)
    yield Row("custom kernels", "the same weights in mlx-lm's own loop", figures)


@contextmanager
def _default_device(is_gpu: bool) -> Iterator[None]:
    before = mx.default_device()
    mx.set_default_device(mx.Device(mx.gpu if is_gpu else mx.cpu))
    try:
        yield
    finally:
        mx.set_default_device(before)


def _mlx_lm(bench: Bench, dtype: mx.Dtype | None) -> dict[str, float]:
    """mlx-lm's ``generate_step`` on the plain model, in the type that the engine runs it in."""
    from mlx_lm.generate import generate_step

    model, _ = read_model(bench.folder)
    if dtype is not None:
        model.set_dtype(dtype)
    mx.eval(model.parameters())
    prefills, decodes = [], []
    for _ in range(bench.options.rounds + 1):
        prompt = mx.array(bench.new_prompt())
        started = time.perf_counter()
        steps = generate_step(prompt, model, max_tokens=ANSWER_TOKENS)
        times = [time.perf_counter() - started for _ in steps]
        prefills.append(prompt.size / times[0])
        decodes.append((len(times) - 1) / (times[-1] - times[0]))
    return {
        "prefill, tokens/s": statistics.median(prefills[1:]),
        "decode, tokens/s": statistics.median(decodes[1:]),
    }


def _training(bench: Bench) -> Iterator[Row]:
    name, steps = "quantization-aware training", bench.options.qat_steps
    rounded = {"weight_bits": 3, "embedding_bits": 4}
    if not steps:
        yield Row(name, "3 bits", note="not run: --qat-steps 200 trains on the text")
        return
    yield bench.row(name, "weights 3 bits, rounded", bench.quantized(**rounded))
    trained = bench.quantized(
        **rounded,
        method="qat",
        calibration_data=[bench.calibration],
        training=TrainingConfig(steps=steps),
    )
    yield bench.row(name, f"weights 3 bits, {steps} steps of training", trained)


TECHNIQUES: dict[str, Callable[[Bench], Iterator[Row]]] = {
    "quantization": _quantization,
    "compilation and fusion": _compilation,
    "memory": _memory,
    "sparsity": _sparsity,
    "custom kernels": _kernels,
    "quantization-aware training": _training,
}
