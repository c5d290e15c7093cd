"""Qwen3's decode step with fewer launches: fused norms, rotary embedding and residual sums.

The same layers as mlx-lm's, for one new token a sequence on a GPU; whatever else they are asked,
they do as they did.
"""

from typing import Any

import mlx.core as mx
import mlx.nn as nn
from mlx_lm.models import qwen3

from mlx_backends.cache.paged_cache import PagedCache
from mlx_backends.kernels.add_rms_norm import add_rms_norm
from mlx_backends.kernels.qk_norm_rope import qk_norm_rope
from mlx_backends.models import attention_seam


def install(model: nn.Module, *, attention: bool = True, residual: bool = True) -> int:
    """Give a Qwen3 its fused layers; returns how many. Idempotent."""
    count = 0
    for layer in model.modules():
        if attention and type(layer) is qwen3.Attention and _turns_plainly(layer):
            layer.__class__ = FusedAttention
            count += 1
        elif residual and type(layer) is qwen3.TransformerBlock:
            layer.__class__ = FusedBlock
            count += 1
    return count


def _turns_plainly(layer: qwen3.Attention) -> bool:
    return isinstance(layer.rope, nn.RoPE) and not layer.rope.traditional


class FusedAttention(qwen3.Attention):
    """Source: ``mlx_lm/models/qwen3.py``."""

    def __call__(self, x: mx.array, mask: Any = None, cache: Any = None) -> mx.array:
        if not isinstance(cache, PagedCache) or x.shape[1] != 1 or isinstance(cache.offset, int):
            return super().__call__(x, mask, cache)
        rows = x[:, 0]
        queries, keys = qk_norm_rope(
            self.q_proj(rows),
            self.k_proj(rows),
            self.q_norm.weight,
            self.k_norm.weight,
            self._frequencies(),
            cache.offset,
            eps=self.q_norm.eps,
        )
        values = self.v_proj(rows).reshape(x.shape[0], self.n_kv_heads, 1, -1)
        out = attention_seam.attention(
            queries, *cache.update_and_fetch(keys, values), cache, self.scale, mask
        )
        return self.o_proj(out.reshape(x.shape[0], 1, -1))

    def _frequencies(self) -> mx.array:
        """Radians a position, made once. Past the module's __setattr__: it is no parameter."""
        if "_frequency_array" not in self.__dict__:
            rope: Any = self.rope
            exponents = mx.arange(rope.dims // 2, dtype=mx.float32) / (rope.dims // 2)
            frequencies = rope.scale * mx.power(float(rope.base), -exponents)
            mx.eval(frequencies)
            self.__dict__["_frequency_array"] = frequencies
        return self.__dict__["_frequency_array"]


class FusedBlock(qwen3.TransformerBlock):
    """Source: ``mlx_lm/models/qwen3.py``."""

    def __call__(self, x: mx.array, mask: Any = None, cache: Any = None) -> mx.array:
        if not isinstance(cache, PagedCache) or x.shape[1] != 1:
            return super().__call__(x, mask, cache)
        attended = self.self_attn(self.input_layernorm(x), mask, cache)
        norm = self.post_attention_layernorm
        total, normed = add_rms_norm(x[:, 0], attended[:, 0], norm.weight, eps=norm.eps)
        return (total + self.mlp(normed))[:, None]
