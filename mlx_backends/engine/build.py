"""Puts an engine's loop together: loads the model, sees how it can run, and divides the memory."""

import warnings
from dataclasses import replace

import mlx.core as mx

from mlx_backends.cache.kv_pool import KVPool
from mlx_backends.cache.prefix_cache import PrefixCache
from mlx_backends.config import EngineConfig
from mlx_backends.engine.buffer_limit import limit_buffers
from mlx_backends.engine.device_runner import DeviceRunner
from mlx_backends.engine.fallback_runner import FallbackRunner
from mlx_backends.engine.host_runner import HostRunner
from mlx_backends.engine.layer_pace import LAYERS_IN_FLIGHT
from mlx_backends.engine.loop import Loop
from mlx_backends.engine.memory_plan import MemoryPlan, ModelShape, StepShape, plan_memory
from mlx_backends.engine.model_files import ModelFiles
from mlx_backends.engine.packed_pass import TILES_A_SEGMENT
from mlx_backends.engine.pool_access import KernelAccess
from mlx_backends.engine.runner import Runner
from mlx_backends.engine.scheduler import Scheduler
from mlx_backends.engine.self_check import check_against_own_caches
from mlx_backends.kernels.pool import MAX_HEAD_DIM
from mlx_backends.models import device_layers
from mlx_backends.models.last_logits import keep_last_position
from mlx_backends.models.loader import LoadedModel, load_language_model, use_device
from mlx_backends.models.paging import NotPageableError, PagingPlan, plan_paging

# Larger chunks keep a GPU busy; on a CPU they gain nothing, and the others wait longer.
_CPU_CHUNK, _METAL_CHUNK, _CUDA_CHUNK = 512, 2_048, 8_192
# MLX has cuDNN prepare attention for each pair of lengths, so on CUDA it sees lengths of this unit.
_CUDA_TILE = 256
# Up to so many new tokens, reading the context in place beats preparing and gathering.
_CUDA_MAX_SHORT = 128


def build_loop(files: ModelFiles, config: EngineConfig, limit: int | None) -> Loop:
    """Load a model and make what serves it. Runs on the MLX thread.

    Args:
        files: The model's small files.
        config: How it is to run.
        limit: Bytes that weights, KV pool and the largest step may hold; None is no limit.

    Raises:
        ModelError: The model cannot be loaded.
        MemoryLimitError: Weights and a useful KV pool do not fit the memory limit.
        ConfigError: The model's heads do not fit quantized KV entries.
    """
    loaded = load_language_model(
        files.folder,
        device=config.device,
        dtype=config.dtype,
        memory_limit_bytes=limit,
        adapter=files.adapter,
    )
    config = with_chunk_size(config, loaded.device)
    keep_last_position(loaded.model)
    try:
        with use_device(loaded.device):
            plan = _plan(loaded)
    except NotPageableError as error:
        return _fallback_loop(loaded, files, config, reason=str(error))
    return _paged_loop(loaded, plan, files, config, limit)


def with_chunk_size(config: EngineConfig, device: mx.Device) -> EngineConfig:
    """The configuration with the prefill chunk size that it means on a device."""
    on_gpu = _CUDA_CHUNK if mx.cuda.is_available() else _METAL_CHUNK
    default = _CPU_CHUNK if device == mx.Device(mx.cpu) else on_gpu
    return replace(config, prefill_chunk_size=config.prefill_chunk_size or default)


def divide_memory(
    loaded: LoadedModel,
    plan: PagingPlan,
    files: ModelFiles,
    config: EngineConfig,
    limit: int | None,
) -> MemoryPlan:
    """The KV pool that a model gets; ``config`` comes from ``with_chunk_size``.

    Raises:
        MemoryLimitError: Weights and a useful KV pool do not fit the memory limit.
    """
    return plan_memory(
        model_shape(loaded, plan),
        _step_shape(loaded, files, config),
        config.cache,
        weight_bytes=loaded.weight_bytes,
        limit_bytes=limit,
    )


def _plan(loaded: LoadedModel) -> PagingPlan:
    plan = plan_paging(loaded.model)
    if loaded.device != mx.Device(mx.cpu):
        check_kernels(plan)
    if not plan.is_tested:
        check_against_own_caches(loaded.model, plan)
    return plan


def check_kernels(plan: PagingPlan) -> None:
    """See that the GPU's kernels can hold what a model stores.

    Raises:
        NotPageableError: They cannot.
    """
    for layer in plan.layers:
        if layer.key_dim != layer.value_dim:
            raise NotPageableError(
                f"its keys have {layer.key_dim} numbers and its values {layer.value_dim}"
            )
        if layer.key_dim % 8 or layer.key_dim > MAX_HEAD_DIM:
            raise NotPageableError(f"its heads have {layer.key_dim} numbers")


def _paged_loop(
    loaded: LoadedModel,
    plan: PagingPlan,
    files: ModelFiles,
    config: EngineConfig,
    limit: int | None,
) -> Loop:
    memory = divide_memory(loaded, plan, files, config, limit)
    limit_buffers(memory)
    if config.warm_up:
        with use_device(loaded.device):
            device_layers.compile_products(loaded.model, plan.dtype)
    blocks = PrefixCache(
        memory.num_blocks,
        memory.block_size,
        prefix_caching=config.cache.prefix_caching,
        namespace=(
            str(files.folder),
            str(files.adapter),
            str(plan.dtype),
            str(config.cache.kv_bits),
        ),
    )
    runner = make_runner(loaded, plan, memory, config.cache.kv_bits, files.tokenizer.eos_token_ids)
    if config.warm_up:
        runner.warm_up(config.max_num_seqs, files.context_window)
    tile, planned_bytes = _tile(loaded.device), memory.total_bytes
    return _loop(blocks, runner, files, config, tile=tile, planned_bytes=planned_bytes)


def make_runner(
    loaded: LoadedModel,
    plan: PagingPlan,
    memory: MemoryPlan,
    kv_bits: int | None,
    eos_token_ids: frozenset[int],
) -> Runner:
    """What runs a paged model on the device it was loaded to."""
    if loaded.device == mx.Device(mx.cpu):
        return HostRunner(
            loaded,
            plan,
            num_blocks=memory.num_blocks,
            block_size=memory.block_size,
            kv_bits=kv_bits,
            eos_token_ids=eos_token_ids,
        )
    with use_device(loaded.device):
        pool = KVPool(
            plan.layers, memory.num_blocks, memory.block_size, plan.dtype, kv_bits=kv_bits
        )
        tile = _tile(loaded.device)
        return DeviceRunner(
            loaded,
            plan,
            pool,
            KernelAccess(pool),
            eos_token_ids,
            tile=tile,
            max_short=_CUDA_MAX_SHORT if tile > 1 else 0,
            smallest_batch=device_layers.smallest_batch(loaded.model, plan.dtype),
        )


def _fallback_loop(
    loaded: LoadedModel, files: ModelFiles, config: EngineConfig, *, reason: str
) -> Loop:
    """A loop whose blocks only count: any number of full context windows fits."""
    warnings.warn(
        f"{files.folder.name} cannot use the paged KV cache ({reason}). It runs on mlx-lm's own "
        "caches, without reuse of prompts.",
        stacklevel=2,
    )
    per_window = -(-files.context_window // config.cache.block_size)
    blocks = PrefixCache(
        config.max_num_seqs * per_window, config.cache.block_size, prefix_caching=False
    )
    runner = FallbackRunner(loaded, files.tokenizer.eos_token_ids)
    return _loop(blocks, runner, files, config, planned_bytes=loaded.weight_bytes)


def _tile(device: mx.Device) -> int:
    return _CUDA_TILE if device != mx.Device(mx.cpu) and mx.cuda.is_available() else 1


def _loop(
    blocks: PrefixCache,
    runner: Runner,
    files: ModelFiles,
    config: EngineConfig,
    *,
    tile: int = 1,
    planned_bytes: int = 0,
) -> Loop:
    assert config.prefill_chunk_size is not None
    scheduler = Scheduler(
        blocks,
        max_num_seqs=config.max_num_seqs,
        prefill_chunk_size=config.prefill_chunk_size,
        tile=tile,
        stretch=TILES_A_SEGMENT * tile if tile > 1 else 1,
    )
    return Loop(scheduler, runner, files.tokenizer, planned_bytes=planned_bytes)


def model_shape(loaded: LoadedModel, plan: PagingPlan) -> ModelShape:
    """Sizes for the memory plan, of the largest layer where layers differ."""
    num_kv_heads = max(layer.num_kv_heads for layer in plan.layers)
    head_dim = max(-(-(layer.key_dim + layer.value_dim) // 2) for layer in plan.layers)
    args = getattr(loaded.model, "args", None)
    hidden_size = getattr(args, "hidden_size", plan.num_heads * head_dim)
    return ModelShape(
        num_layers=len(plan.layers),
        num_heads=plan.num_heads,
        num_kv_heads=num_kv_heads,
        head_dim=head_dim,
        hidden_size=hidden_size,
        intermediate_size=getattr(args, "intermediate_size", 4 * hidden_size),
        vocab_size=plan.vocab_size,
        activation_bytes=plan.dtype.size,
        unpacked_layer_bytes=device_layers.unpacked_layer_bytes(loaded.model, plan.dtype),
        unpacked_head_bytes=device_layers.unpacked_head_bytes(loaded.model, plan.dtype),
    )


def _step_shape(loaded: LoadedModel, files: ModelFiles, config: EngineConfig) -> StepShape:
    assert config.prefill_chunk_size is not None
    return StepShape(
        max_num_seqs=config.max_num_seqs,
        prefill_chunk_size=config.prefill_chunk_size,
        context_window=files.context_window,
        has_fused_attention=loaded.device != mx.Device(mx.cpu),
        layers_in_flight=layers_in_flight(loaded.device),
    )


def layers_in_flight(device: mx.Device) -> int | None:
    """As in ``StepShape``."""
    return None if device == mx.Device(mx.cpu) else LAYERS_IN_FLIGHT
