"""Where the paged cache enters mlx-lm's models, which otherwise run as they are.

Every model module of mlx-lm imports ``scaled_dot_product_attention`` from ``mlx_lm.models.base`` by
name and calls it with what the cache returned for keys and values. In the modules of a model that
is to be paged, that one name is bound to a function which looks at the type of the keys: rows of a
``PagedCache`` go to the pass that runs, anything else to mlx-lm. So mlx-lm's own generation works
on beside it, on the same modules. (A cache with ``bits`` would reach the quantized attention that
``base`` looks up at each call, but that route refuses attention sinks.)
"""

import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import mlx.core as mx
import mlx.nn as nn
from mlx_lm.models import base

from mlx_backends.cache.paged_cache import CausalMask, NewRows

_NAME = "scaled_dot_product_attention"
_upstream = getattr(base, _NAME)


def install(model: nn.Module) -> None:
    """Let the model's attention reach paged caches; idempotent, and undone by nothing."""
    for module in _modules_of(model):
        if getattr(module, _NAME, None) is _upstream:
            setattr(module, _NAME, attention)


def attention(
    queries: mx.array,
    keys: Any,
    values: Any,
    cache: Any,
    scale: float,
    mask: Any,
    sinks: mx.array | None = None,
) -> mx.array:
    """Attention as in ``mlx_lm.models.base``, for keys of either kind.

    Raises:
        TypeError: A model built a mask of its own, which a paged pass cannot apply.
    """
    if not isinstance(keys, NewRows):
        return _upstream(queries, keys, values, cache, scale=scale, mask=mask, sinks=sinks)
    if mask is not None and not isinstance(mask, CausalMask):
        raise TypeError(f"The model masks with {type(mask).__name__}, not with its cache's mask.")
    return keys.cache.attend(queries, keys, values, scale=scale, mask=mask, sinks=sinks)


def _modules_of(model: nn.Module) -> Iterator[ModuleType]:
    """Python modules in which the classes of the model's layers are defined."""
    names = {cls.__module__ for layer in model.modules() for cls in type(layer).__mro__}
    return (sys.modules[name] for name in names if name.startswith("mlx_lm.models."))
