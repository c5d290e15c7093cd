"""``bench agreement``: whether this engine and mlx-lm choose the same tokens on the same weights.

Greedy tokens for prompts of several lengths: by this engine one at a time and all together, and by
mlx-lm. In float32 they are equal but for a tie; in 16 bits they part where two tokens are nearly
as likely, which random weights make frequent.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import mlx.core as mx

from mlx_backends.bench.workload import Workload
from mlx_backends.config import Device, DType, EngineConfig
from mlx_backends.core import SamplingParams
from mlx_backends.engine.engine import Engine

_WORKLOAD = Workload("agreement", (20, 100, 260, 700, 1_500), 24)


def measure(folder: Path, vocab_size: int, device: Device, dtype: DType) -> dict[str, Any]:
    """Leading tokens that agree, of all that were generated."""
    prompts = _WORKLOAD.prompts(0, vocab_size)
    with Engine(EngineConfig(model=str(folder), device=device, dtype=dtype)) as engine:
        alone = [_generate(engine, [prompt])[0] for prompt in prompts]
        together = _generate(engine, prompts)
        again = _generate(engine, prompts)
    theirs = _of_mlx_lm(folder, prompts, device, dtype)
    return {
        "tokens": sum(map(len, alone)),
        "together as alone": _num_agreeing(together, alone),
        "from the prefix cache as alone": _num_agreeing(again, alone),
        "mlx-lm as alone": _num_agreeing(theirs, alone),
    }


def _generate(engine: Engine, prompts: Sequence[Sequence[int]]) -> list[tuple[int, ...]]:
    params = SamplingParams(max_tokens=_WORKLOAD.num_tokens, ignore_eos=True)
    handles = [engine.submit(prompt, params) for prompt in prompts]
    return [tuple(handle.result().token_ids) for handle in handles]


def _of_mlx_lm(
    folder: Path, prompts: Sequence[Sequence[int]], device: Device, dtype: DType
) -> list[tuple[int, ...]]:
    from mlx_lm.generate import generate_step
    from mlx_lm.utils import load_model

    if device == "cpu":
        mx.set_default_device(mx.cpu)
    model = load_model(folder)[0]
    if dtype != "auto":
        model.set_dtype(getattr(mx, dtype))
    answers = []
    for prompt in prompts:
        steps = generate_step(mx.array(list(prompt)), model, max_tokens=_WORKLOAD.num_tokens)
        answers.append(tuple(int(token) for token, _ in steps))
    return answers


def _num_agreeing(some: Sequence[Sequence[int]], others: Sequence[Sequence[int]]) -> int:
    """Tokens before the first that differs, over all answers."""
    total = 0
    for one, other in zip(some, others, strict=True):
        pairs = list(zip(one, other, strict=True))
        total += next((i for i, (a, b) in enumerate(pairs) if a != b), len(pairs))
    return total
