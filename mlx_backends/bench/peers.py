"""The systems that are compared: each generates for a list of prompts and says when what came."""

import gc
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import mlx.core as mx
import mlx.nn as nn

from mlx_backends.bench.llama_cpp import LlamaCpp
from mlx_backends.bench.run import Run, Timing
from mlx_backends.config import CacheConfig, Device, EngineConfig
from mlx_backends.core import SamplingParams
from mlx_backends.engine.engine import Engine
from mlx_backends.engine.graph_size import num_operations


class System(Protocol):
    """Something that serves a model. Lives in a process of its own."""

    def start_round(self) -> None:
        """Give freed memory back, so that every round starts as the first one did."""
        ...

    def generate(self, prompts: Sequence[Sequence[int]], num_tokens: int) -> Run:
        """Continue all prompts greedily, each by exactly so many tokens."""
        ...

    def close(self) -> None:
        """Free the memory of the model."""
        ...


class MLXBackends:
    """This package, through its public interface: text is made of the tokens too."""

    def __init__(self, folder: Path, device: Device, pool_bytes: int | None) -> None:
        cache = CacheConfig(pool_bytes=pool_bytes)
        self._engine = Engine(EngineConfig(model=str(folder), device=device, cache=cache))
        self._engine.load()

    def start_round(self) -> None:
        """As in ``System``."""
        _forget_memory()

    def generate(self, prompts: Sequence[Sequence[int]], num_tokens: int) -> Run:
        """As in ``System``."""
        params = SamplingParams(temperature=0.0, max_tokens=num_tokens, ignore_eos=True)
        mx.reset_peak_memory()
        before = self._engine.stats()
        handles = [self._engine.submit(prompt, params) for prompt in prompts]
        results = [handle.result() for handle in handles]
        after = self._engine.stats()
        timings = []
        for result in results:
            assert result.metrics is not None  # the last output has them
            count = len(result.token_ids)
            metrics = result.metrics
            timings.append(Timing(metrics.time_to_first_token_s, metrics.total_s, count))
        num_steps = max(after.steps - before.steps, 1)
        details = {
            "host time a step, ms": 1e3 * (after.host_s - before.host_s) / num_steps,
            "cached prompt tokens": after.cached_tokens - before.cached_tokens,
            "decode steps compiled": after.traces - before.traces,
            "operations a decode step": after.operations,
            "planned memory, GiB": after.planned_bytes / 2**30,
        }
        peak = mx.get_peak_memory()
        details["peak by plan"] = peak / after.planned_bytes
        return Run(timings, _num_tokens(prompts), peak, details)

    def close(self) -> None:
        """As in ``System``."""
        self._engine.close()


class MLXLM:
    """mlx-lm's own loops: ``generate_step`` for one prompt, ``BatchGenerator`` for more."""

    def __init__(self, folder: Path, device: Device) -> None:
        from mlx_lm.utils import load_model

        if device == "cpu":
            mx.set_default_device(mx.cpu)
        self._model = load_model(folder)[0]
        self._operations = _operations_of_a_step(self._model)

    def start_round(self) -> None:
        """As in ``System``."""
        _forget_memory()

    def generate(self, prompts: Sequence[Sequence[int]], num_tokens: int) -> Run:
        """As in ``System``."""
        mx.reset_peak_memory()
        serve = self._stream if len(prompts) == 1 else self._batch
        timings = serve(prompts, num_tokens)
        details = {"operations a decode step": self._operations}
        return Run(timings, _num_tokens(prompts), mx.get_peak_memory(), details)

    def close(self) -> None:
        """As in ``System``."""
        del self._model
        gc.collect()  # a model's modules refer to each other
        mx.clear_cache()

    def _stream(self, prompts: Sequence[Sequence[int]], num_tokens: int) -> list[Timing]:
        from mlx_lm.generate import generate_step

        start = time.perf_counter()
        steps = generate_step(mx.array(list(prompts[0])), self._model, max_tokens=num_tokens)
        times = [time.perf_counter() - start for _ in steps]
        return [Timing(times[0], times[-1], len(times))]

    def _batch(self, prompts: Sequence[Sequence[int]], num_tokens: int) -> list[Timing]:
        from mlx_lm.generate import BatchGenerator

        start = time.perf_counter()
        generator = BatchGenerator(self._model, max_tokens=num_tokens)
        times: dict[int, list[float]] = {
            uid: [] for uid in generator.insert([list(prompt) for prompt in prompts])
        }
        while responses := generator.next_generated():
            now = time.perf_counter() - start
            for response in responses:
                times[response.uid].append(now)
        generator.close()
        return [Timing(each[0], each[-1], len(each)) for each in times.values()]


def make_system(kind: str, folder: Path, options: Mapping[str, Any]) -> System:
    """The system of a kind: ``mlx-backends``, ``mlx-lm`` or ``llama.cpp``."""
    if kind == "llama.cpp":
        return LlamaCpp(folder, **options)
    device = options["device"]
    if kind == "mlx-lm":
        return MLXLM(folder, device)
    return MLXBackends(folder, device, options["pool_bytes"])


def _operations_of_a_step(model: nn.Module) -> int:
    """Operations of one token's logits with mlx-lm's cache."""
    from mlx_lm.models.cache import make_prompt_cache

    cache = make_prompt_cache(model)
    mx.eval(model(mx.zeros((1, 2), mx.int32), cache=cache))
    return num_operations(model(mx.zeros((1, 1), mx.int32), cache=cache))


def _forget_memory() -> None:
    gc.collect()  # what the last run left in cycles still holds arrays
    mx.clear_cache()


def _num_tokens(prompts: Sequence[Sequence[int]]) -> int:
    return sum(map(len, prompts))
