"""Bytes, counted before anything is allocated: what a step needs, and what is left for the KV pool.

Plain integers; imports no MLX. A Metal allocation that fails ends the process, so nothing may rest
on catching an error (mlx-lm's issues tell of it).
"""

from dataclasses import dataclass

from mlx_backends.config import CacheConfig
from mlx_backends.errors import MemoryLimitError

# Without a limit, the pool takes no more than this.
DEFAULT_POOL_BYTES = 2**30
# A smaller pool serves nobody; a longer prompt than the pool is refused by itself.
MIN_POOL_TOKENS = 512
# Elements of a value that share a scale and a bias in 4 bits: the most that divide a row.
KV_GROUP_SIZES = (32, 16, 8, 1)
# Float32 arrays of (rows, vocabulary) alive at once in sampling: logits, log-probabilities, the
# sorted copy and its cumulative sum.
LOGITS_ARRAYS = 4
# The runner writes padding rows to one block that belongs to no sequence.
NUM_SCRATCH_BLOCKS = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelShape:
    """The sizes that memory depends on.

    Attributes:
        num_layers: Layers with KV entries.
        num_heads, num_kv_heads, head_dim: Of the attention.
        hidden_size, intermediate_size: Of the residual stream and of the MLP.
        vocab_size: Columns of the logits.
        activation_bytes: Bytes of one activation: 4 for float32, 2 for the 16-bit types.
        unpacked_layer_bytes: Quantized weights of one layer, where they are unpacked for a product.
        unpacked_head_bytes: Likewise, of the output head.
    """

    num_layers: int
    num_heads: int
    num_kv_heads: int
    head_dim: int
    hidden_size: int
    intermediate_size: int
    vocab_size: int
    activation_bytes: int
    unpacked_layer_bytes: int = 0
    unpacked_head_bytes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class StepShape:
    """The largest step.

    Attributes:
        max_num_seqs: Rows of a decode step.
        prefill_chunk_size: Tokens of prefill.
        context_window: Positions that one sequence may attend to.
        has_fused_attention: Whether attention works without a matrix of scores.
        layers_in_flight: Layers whose arrays are there at once, each until it is done; None where
            arrays are freed within a layer.
    """

    max_num_seqs: int
    prefill_chunk_size: int
    context_window: int
    has_fused_attention: bool
    layers_in_flight: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryPlan:
    """Where the memory goes. All in bytes but ``num_blocks`` and ``block_size``.

    Attributes:
        num_blocks: Blocks that sequences may use; the pool has ``NUM_SCRATCH_BLOCKS`` more.
        block_size: Tokens a block.
        block_bytes: A block over all layers, keys and values.
        weight_bytes: The model's weights.
        activation_bytes: Intermediate arrays of the largest step, logits aside; unpacked weights
            are among them.
        logits_bytes: Logits of the largest step and what sampling makes of them.
    """

    num_blocks: int
    block_size: int
    block_bytes: int
    weight_bytes: int
    activation_bytes: int
    logits_bytes: int

    @property
    def num_tokens(self) -> int:
        """Tokens that the blocks hold."""
        return self.num_blocks * self.block_size

    @property
    def pool_bytes(self) -> int:
        return (self.num_blocks + NUM_SCRATCH_BLOCKS) * self.block_bytes

    @property
    def total_bytes(self) -> int:
        return self.weight_bytes + self.activation_bytes + self.logits_bytes + self.pool_bytes


def plan_memory(
    shape: ModelShape,
    step: StepShape,
    cache: CacheConfig,
    *,
    weight_bytes: int,
    limit_bytes: int | None,
) -> MemoryPlan:
    """Give the KV pool what weights and the largest step leave of the limit.

    The pool is never larger than ``max_num_seqs`` full context windows. ``cache.pool_bytes`` sets
    its size; without it and without a limit it is ``DEFAULT_POOL_BYTES`` at most.

    Raises:
        MemoryLimitError: What is left holds less than ``MIN_POOL_TOKENS``, a prefill chunk or a
            context window, whichever is least, or less than ``cache.pool_bytes`` asks for.
    """
    block_bytes = bytes_of_block(shape, cache)
    activation_bytes = bytes_of_activations(shape, step)
    logits_bytes = bytes_of_logits(shape, step)
    fixed_bytes = weight_bytes + activation_bytes + logits_bytes
    pool_bytes = _pool_bytes(cache, limit_bytes, fixed_bytes)
    num_blocks = min(
        pool_bytes // block_bytes - NUM_SCRATCH_BLOCKS,
        step.max_num_seqs * -(-step.context_window // cache.block_size),
    )
    plan = MemoryPlan(
        num_blocks=num_blocks,
        block_size=cache.block_size,
        block_bytes=block_bytes,
        weight_bytes=weight_bytes,
        activation_bytes=activation_bytes,
        logits_bytes=logits_bytes,
    )
    _check_useful(plan, step, limit_bytes)
    return plan


def bytes_of_block(shape: ModelShape, cache: CacheConfig) -> int:
    """A block over all layers, keys and values, scales and biases included."""
    num_rows = shape.num_layers * shape.num_kv_heads * cache.block_size
    if cache.kv_bits is None:
        return num_rows * 2 * shape.head_dim * shape.activation_bytes
    # A key in 8 bits, a value in kv_bits; a row of 8 bits has a scale of 2 bytes, and each group
    # of 4 bits a scale and a bias.
    if cache.kv_bits == 8:
        return num_rows * 2 * (shape.head_dim + 2)
    group_size = next(size for size in KV_GROUP_SIZES if shape.head_dim % size == 0)
    num_groups = shape.head_dim // group_size
    return num_rows * (shape.head_dim + 2 + shape.head_dim // 2 + 4 * num_groups)


def bytes_of_activations(shape: ModelShape, step: StepShape) -> int:
    """Most bytes of intermediate arrays at once."""
    gathered = 2 * shape.num_kv_heads * shape.head_dim * step.context_window  # of one sequence
    if step.layers_in_flight is None:
        return _bytes_of_freed_layer(shape, step, gathered)
    # Every array of a layer: queries, keys and values as they are, normed, rotated and laid out
    # anew; the attention's output twice; the residual stream after each half, normed, and summed.
    num_rows = max(step.prefill_chunk_size, step.max_num_seqs)
    heads = (6 * shape.num_heads + 7 * shape.num_kv_heads) * shape.head_dim
    row = 6 * shape.hidden_size + heads + 3 * shape.intermediate_size
    layer = (num_rows * row + gathered) * shape.activation_bytes + shape.unpacked_layer_bytes
    return step.layers_in_flight * layer + shape.unpacked_head_bytes


def _bytes_of_freed_layer(shape: ModelShape, step: StepShape, gathered: int) -> int:
    """The arrays of one layer that are needed together, as a CPU frees the others."""
    num_rows = max(step.prefill_chunk_size, step.max_num_seqs)
    heads = (2 * shape.num_heads + 2 * shape.num_kv_heads) * shape.head_dim  # q, k, v and output
    row = 3 * shape.hidden_size + heads + 3 * shape.intermediate_size
    scores = 0
    if not step.has_fused_attention:  # and their softmax, both float32
        scores = 2 * 4 * shape.num_heads * step.prefill_chunk_size * step.context_window
    return (num_rows * row + gathered) * shape.activation_bytes + scores


def bytes_of_logits(shape: ModelShape, step: StepShape) -> int:
    """Logits of a decode step in float32; prefill computes them for the last token only."""
    return LOGITS_ARRAYS * 4 * step.max_num_seqs * shape.vocab_size


def _pool_bytes(cache: CacheConfig, limit_bytes: int | None, fixed_bytes: int) -> int:
    if limit_bytes is None:
        return cache.pool_bytes or DEFAULT_POOL_BYTES
    left = max(0, limit_bytes - fixed_bytes)
    if cache.pool_bytes is not None and cache.pool_bytes > left:
        raise MemoryLimitError(
            f"The KV pool is set to {cache.pool_bytes:,} bytes; weights and the largest step need "
            f"{fixed_bytes:,} of the limit of {limit_bytes:,}, which leaves {left:,}. Lower "
            "pool_bytes, or raise memory_limit_bytes or MLX_BACKENDS_MEMORY_LIMIT."
        )
    return cache.pool_bytes or left


def _check_useful(plan: MemoryPlan, step: StepShape, limit_bytes: int | None) -> None:
    num_needed = min(MIN_POOL_TOKENS, step.prefill_chunk_size, step.context_window)
    if plan.num_tokens >= num_needed:
        return
    limit = "" if limit_bytes is None else f" of the limit of {limit_bytes:,} bytes"
    raise MemoryLimitError(
        f"The KV pool would hold {max(0, plan.num_tokens):,} tokens at {plan.block_bytes:,} bytes "
        f"for {plan.block_size}; it must hold {num_needed:,} tokens. Weights "
        f"take {plan.weight_bytes:,} bytes, activations {plan.activation_bytes:,} and logits "
        f"{plan.logits_bytes:,}{limit}. Raise the limit or pool_bytes, lower prefill_chunk_size, "
        "max_num_seqs or max_model_len, or take a smaller or quantized model."
    )
