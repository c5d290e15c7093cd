"""Whether a model that no test knows gives the same logits with paged caches as with its own.

Families of ``models.paging.TESTED_FAMILIES`` are held to mlx-lm token by token in the tests. Any
other that looks pageable is compared here once, when it is loaded, on a few tokens: a wrong mask or
a misread position shows at once.
"""

from collections.abc import Sequence as Seq

import mlx.core as mx
import mlx.nn as nn
from mlx_lm.models.cache import make_prompt_cache

from mlx_backends.cache.kv_pool import KVPool
from mlx_backends.engine.device_pass import DecodePass, PrefillPass
from mlx_backends.engine.launched import values_of
from mlx_backends.engine.pool_access import PlainAccess
from mlx_backends.models.paging import NotPageableError, PagingPlan
from mlx_backends.models.rounded_inputs import exact_inputs

_BLOCK_SIZE = 8
_PROMPT_LENS = (21, 10)
_SPLIT = 6  # prefill in two chunks
# Share of the logits' norm by which they may differ. The 16-bit types round every layer.
_TOLERANCE = {mx.float32: 1e-3, mx.float16: 2e-2, mx.bfloat16: 8e-2}


def check_against_own_caches(model: nn.Module, plan: PagingPlan) -> None:
    """Compare one decode step of two rows of different lengths, after chunked prefill.

    Inputs of layers are not rounded meanwhile: to round is to make a hair's difference a step of
    the grid, which then hides what a wrong position would do.

    Raises:
        NotPageableError: The logits differ by more than rounding.
    """
    prompts = [[(7 * i + 3) % plan.vocab_size for i in range(length)] for length in _PROMPT_LENS]
    with exact_inputs(model):
        expected = mx.concatenate([_own_logits(model, prompt) for prompt in prompts])
        got = _paged_logits(model, plan, prompts)
    error = mx.linalg.norm(got - expected, axis=-1) / mx.linalg.norm(expected, axis=-1)
    worst = max(values_of(error))
    if not worst <= _TOLERANCE[plan.dtype]:
        raise NotPageableError(f"its logits differ by {worst:.2g} from those with its own caches")


def _own_logits(model: nn.Module, prompt: Seq[int]) -> mx.array:
    """Logits after the prompt, its last token by itself. Shapes: returns (1, V)."""
    cache = make_prompt_cache(model)
    model(mx.array([prompt[:-1]]), cache=cache)
    return model(mx.array([prompt[-1:]]), cache=cache)[:, -1].astype(mx.float32)


def _paged_logits(model: nn.Module, plan: PagingPlan, prompts: Seq[Seq[int]]) -> mx.array:
    """The same of all prompts, in one step. Shapes: returns (B, V)."""
    per_row = -(-max(_PROMPT_LENS) // _BLOCK_SIZE)
    pool = KVPool(plan.layers, per_row * len(prompts), _BLOCK_SIZE, plan.dtype)
    access = PlainAccess(pool)
    tables = [list(range(row * per_row, (row + 1) * per_row)) for row in range(len(prompts))]
    for prompt, block_ids in zip(prompts, tables, strict=True):
        for start, stop in ((0, _SPLIT), (_SPLIT, len(prompt) - 1)):
            forward_pass = PrefillPass(access, pool, block_ids, start, stop)
            model(mx.array([prompt[start:stop]]), cache=plan.caches(forward_pass))
    lens = mx.array([len(prompt) for prompt in prompts], dtype=mx.int32)
    forward_pass = DecodePass(access, mx.array(tables, dtype=mx.int32), lens)
    last = mx.array([prompt[-1:] for prompt in prompts])
    return model(last, cache=plan.caches(forward_pass))[:, -1].astype(mx.float32)
