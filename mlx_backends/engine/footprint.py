"""What a model will take, before it is loaded: memory by parts, and bytes read for each token.

Nothing is computed and no weight is read: shapes are known before arrays are.
"""

from dataclasses import dataclass

import mlx.core as mx
import mlx.nn as nn
from mlx.utils import tree_flatten

from mlx_backends.config import CacheConfig, EngineConfig, memory_limit_from_environment
from mlx_backends.engine import build
from mlx_backends.engine.buffer_limit import bytes_to_hold
from mlx_backends.engine.host_runner import FIRST_BLOCKS
from mlx_backends.engine.memory_plan import (
    NUM_SCRATCH_BLOCKS,
    ModelShape,
    StepShape,
    bytes_of_activations,
    bytes_of_block,
    bytes_of_logits,
)
from mlx_backends.engine.model_files import read_model_files
from mlx_backends.models.loader import LoadedModel, pick_device, prepare_model, use_device
from mlx_backends.models.paging import plan_paging


@dataclass(frozen=True, slots=True, kw_only=True)
class Footprint:
    """A model's bytes for one workload. ``peak_bytes`` is what has to fit.

    Attributes:
        file_bytes: Weights on disk.
        weight_bytes: Weights as they run here: a CPU unpacks small quantized models.
        read_bytes_per_token: Weights that one token of one sequence reads: an embedding that is not
            the head counts as nothing, and of experts those that are chosen.
        kv_bytes_per_token: Keys and values of all layers.
        pool_bytes: KV pool once the workload has run.
        activation_bytes: Intermediate arrays of the largest step, logits and unpacked weights
            included.
        buffer_bytes: What MLX may hold back between steps; part of what the process takes.
        unpacking_bytes: Packed weights that are still there while they are unpacked.
    """

    file_bytes: int
    weight_bytes: int
    read_bytes_per_token: int
    kv_bytes_per_token: int
    pool_bytes: int
    activation_bytes: int
    buffer_bytes: int
    unpacking_bytes: int

    @property
    def peak_bytes(self) -> int:
        """Most bytes at once while the workload runs."""
        return self.weight_bytes + self.pool_bytes + self.activation_bytes

    @property
    def load_peak_bytes(self) -> int:
        """Most bytes at once while the model is loaded."""
        return self.weight_bytes + self.unpacking_bytes


def predict(
    config: EngineConfig, *, prompt_tokens: int, new_tokens: int, num_sequences: int = 1
) -> Footprint:
    """The footprint of a workload on this machine's device.

    Args:
        config: As the engine gets it.
        prompt_tokens: Of each sequence.
        new_tokens: Likewise.
        num_sequences: That run at once.

    Raises:
        ModelError: The model cannot be read.
        MemoryLimitError: It does not fit the memory limit.
        NotPageableError: It keeps mlx-lm's own caches, which are not planned.
    """
    files = read_model_files(config)
    device = pick_device(config.device)
    config = build.with_chunk_size(config, device)
    assert config.prefill_chunk_size is not None
    with use_device(device):
        loaded = prepare_model(files.folder, device, config.dtype, files.adapter)
        plan = plan_paging(loaded.model)
    limit = config.memory_limit_bytes or memory_limit_from_environment()
    memory = build.divide_memory(loaded, plan, files, config, limit)
    shape = build.model_shape(loaded, plan)
    tokens = prompt_tokens + new_tokens
    step = StepShape(
        max_num_seqs=num_sequences,
        prefill_chunk_size=min(config.prefill_chunk_size, prompt_tokens * num_sequences),
        context_window=tokens,
        has_fused_attention=device != mx.Device(mx.cpu),
        layers_in_flight=build.layers_in_flight(device),
    )
    file_bytes = sum(file.stat().st_size for file in files.folder.glob("model*.safetensors"))
    is_unpacked = loaded.weight_bytes > 1.5 * file_bytes
    return Footprint(
        file_bytes=file_bytes,
        weight_bytes=loaded.weight_bytes,
        read_bytes_per_token=_read_bytes(loaded.model),
        kv_bytes_per_token=bytes_of_block(shape, config.cache) // config.cache.block_size,
        pool_bytes=_pool_bytes(
            shape, config.cache, memory.num_blocks, loaded, tokens, num_sequences
        ),
        activation_bytes=bytes_of_activations(shape, step) + bytes_of_logits(shape, step),
        buffer_bytes=bytes_to_hold(memory),
        unpacking_bytes=file_bytes if is_unpacked else 0,
    )


def _pool_bytes(
    shape: ModelShape,
    cache: CacheConfig,
    most_blocks: int,
    loaded: LoadedModel,
    tokens: int,
    num_sequences: int,
) -> int:
    """The pool that holds some sequences: a CPU's doubles as it fills, a GPU's is whole."""
    num_blocks = most_blocks
    if loaded.device == mx.Device(mx.cpu):
        num_blocks = min(FIRST_BLOCKS, most_blocks)
        needed = num_sequences * (-(-tokens // cache.block_size) + 1)  # one ahead of each
        while num_blocks < needed and num_blocks < most_blocks:
            num_blocks = min(2 * num_blocks, most_blocks)
    return (num_blocks + NUM_SCRATCH_BLOCKS) * bytes_of_block(shape, cache)


def _read_bytes(model: nn.Module) -> int:
    """Weights that one token reads."""
    arguments = getattr(model, "args", None)
    is_tied = bool(getattr(arguments, "tie_word_embeddings", False))
    chosen = _share_of_experts(arguments)
    total = 0.0
    for name, array in tree_flatten(model.parameters()):
        if not isinstance(array, mx.array):
            continue
        is_table = "embed_tokens" in name or ".wte." in name
        share = 0.0 if is_table and not is_tied else chosen if ".switch_mlp." in name else 1.0
        total += share * array.nbytes
    return int(total)


def _share_of_experts(arguments: object) -> float:
    """Experts of a layer that one token runs through, as a share of all."""
    for of_all in ("num_experts", "num_local_experts", "n_routed_experts"):
        count = getattr(arguments, of_all, None)
        if isinstance(count, int) and count > 0:
            return min(1.0, getattr(arguments, "num_experts_per_tok", count) / count)
    return 1.0
