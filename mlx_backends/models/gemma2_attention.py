"""Gemma 2's attention for paged caches.

mlx-lm writes this family's attention out in matrix products, because of the soft cap on its scores,
and so it never calls the function that ``attention_seam`` replaces. This is the same layer with the
call in it; with other caches it does what it did.
"""

from typing import Any

import mlx.core as mx
import mlx.nn as nn
from mlx_lm.models import gemma2

from mlx_backends.cache.paged_cache import PagedCache


def install(model: nn.Module) -> None:
    """Give the model's attention layers the paged route, if it is a Gemma 2; idempotent."""
    for layer in model.modules():
        if type(layer) is gemma2.Attention:
            layer.__class__ = Gemma2Attention


class Gemma2Attention(gemma2.Attention):
    """Source: ``mlx_lm/models/gemma2.py``; soft cap of Gemma Team 2024, arXiv:2408.00118."""

    def __call__(self, x: mx.array, mask: Any = None, cache: Any = None) -> mx.array:
        if not isinstance(cache, PagedCache):
            return super().__call__(x, mask, cache)
        offset: Any = cache.offset
        queries = self.rope(self._heads(self.q_proj(x), self.n_heads), offset=offset)
        keys = self.rope(self._heads(self.k_proj(x), self.n_kv_heads), offset=offset)
        values = self._heads(self.v_proj(x), self.n_kv_heads)
        out = cache.attend(
            queries,
            *cache.update_and_fetch(keys, values),
            scale=self.scale,
            mask=mask,
            soft_cap=self.attn_logit_softcapping,
        )
        return self.o_proj(out.transpose(0, 2, 1, 3).reshape(*x.shape[:2], -1))

    @staticmethod
    def _heads(x: mx.array, count: int) -> mx.array:
        return x.reshape(*x.shape[:2], count, -1).transpose(0, 2, 1, 3)
