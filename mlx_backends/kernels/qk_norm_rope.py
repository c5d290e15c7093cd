"""Norm and rotary embedding of queries and keys in one launch rather than four."""

import mlx.core as mx

from mlx_backends.errors import ConfigError
from mlx_backends.kernels.kernel import Kernel, constants, element_constants

_SIMDGROUPS = 4
_MAX_HEAD_DIM = 256


def qk_norm_rope(
    q: mx.array,
    k: mx.array,
    q_weight: mx.array,
    k_weight: mx.array,
    frequencies: mx.array,
    offsets: mx.array,
    *,
    eps: float,
) -> tuple[mx.array, mx.array]:
    """RMS norm of each head of one new token a sequence, then rotary embedding.

    Pairs of numbers lie half a head apart, as in GPT-NeoX and mlx-lm's ``traditional=False``.

    Args:
        q: ``(batch, num_heads * head_dim)``, as a projection gives it.
        k: ``(batch, num_kv_heads * head_dim)``.
        q_weight: ``(head_dim,)`` of the queries' norm.
        k_weight: Likewise.
        frequencies: ``(head_dim / 2,)`` float32, radians a position.
        offsets: ``(batch,)`` int32, each sequence's position.
        eps: Of the norms.

    Returns:
        ``(batch, num_heads, 1, head_dim)`` and ``(batch, num_kv_heads, 1, head_dim)``.

    Raises:
        ConfigError: The arrays do not fit together.
    """
    head_dim = 2 * frequencies.size
    fits = (
        q.ndim == k.ndim == 2
        and q.shape[1] % head_dim == k.shape[1] % head_dim == 0
        and q.shape[0] == k.shape[0] == offsets.size
        and q_weight.size == k_weight.size == head_dim <= _MAX_HEAD_DIM
        and q.dtype == k.dtype == q_weight.dtype == k_weight.dtype
        and frequencies.dtype == mx.float32
        and offsets.dtype == mx.int32
    )
    if not fits:
        raise ConfigError(
            f"q {q.shape} {q.dtype}, k {k.shape} {k.dtype}, weights {q_weight.shape} and "
            f"{k_weight.shape}, frequencies {frequencies.shape} {frequencies.dtype} and offsets "
            f"{offsets.shape} {offsets.dtype} do not fit: rows of whole heads of one type, "
            "float32 frequencies for half a head, one int32 offset a row."
        )
    kernel = Kernel(
        name="qk_norm_rope",
        inputs=("q", "k", "q_weight", "k_weight", "frequencies", "offsets", "settings"),
        outputs=("q_out", "k_out"),
        constants=constants(
            element_constants(q.dtype),
            HEAD_DIM=head_dim,
            PAIRS=-(-head_dim // 64),
            SIMDGROUPS=_SIMDGROUPS,
        ),
    )
    batch = q.shape[0]
    heads, kv_heads = q.shape[1] // head_dim, k.shape[1] // head_dim
    queries, keys = kernel.launch(
        [q, k, q_weight, k_weight, frequencies, offsets, mx.array([eps], mx.float32)],
        groups=(-(-batch * (heads + kv_heads) // _SIMDGROUPS), 1, 1),
        group_size=32 * _SIMDGROUPS,
        output_shapes=[(batch, heads, 1, head_dim), (batch, kv_heads, 1, head_dim)],
        output_dtypes=[q.dtype, q.dtype],
    )
    return queries, keys
