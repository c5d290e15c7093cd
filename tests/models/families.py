"""A tiny random model of every family, in the smallest shapes that keep its features."""

import importlib
from typing import Any

import mlx.core as mx
import mlx.nn as nn
from mlx.utils import tree_map_with_path

VOCAB = 96
_BASE = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "intermediate_size": 48,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "rms_norm_eps": 1e-5,
    "vocab_size": VOCAB,
}
_QWEN3 = {
    "head_dim": 16,
    "max_position_embeddings": 512,
    "rope_theta": 1e4,
    "tie_word_embeddings": False,
}
_MOE = {
    "num_experts": 4,
    "num_experts_per_tok": 2,
    "decoder_sparse_step": 1,
    "mlp_only_layers": [],
    "moe_intermediate_size": 24,
    "norm_topk_prob": True,
}
_GRANITE = {
    "logits_scaling": 2.0,
    "attention_multiplier": 0.3,
    "embedding_multiplier": 1.5,
    "residual_multiplier": 0.7,
    "max_position_embeddings": 512,
    "attention_bias": True,
    "mlp_bias": False,
    "rope_theta": 1e4,
}
_YARN = {
    "llama_4_scaling_beta": 0.1,
    "original_max_position_embeddings": 16,
    "rope_theta": 1e4,
    "type": "yarn",
    "factor": 2.0,
}
_LATENT = {
    "kv_lora_rank": 16,
    "q_lora_rank": None,
    "qk_rope_head_dim": 8,
    "qk_nope_head_dim": 8,
    "v_head_dim": 8,
    "num_key_value_heads": 4,
}
_MAMBA = {
    "num_heads": 4,
    "head_dim": 16,
    "state_size": 8,
    "layer_norm_epsilon": 1e-5,
    "conv_kernel": 4,
    "n_groups": 1,
    "use_bias": False,
    "use_conv_bias": True,
    "tie_word_embeddings": True,
    "time_step_limit": (0.001, 100.0),
    "time_step_rank": 4,
}
_HYBRID = {
    "linear_num_value_heads": 2,
    "linear_num_key_heads": 2,
    "linear_key_head_dim": 16,
    "linear_value_head_dim": 16,
    "linear_conv_kernel_dim": 4,
    "num_experts": 0,
    "num_experts_per_tok": 0,
    "decoder_sparse_step": 1,
    "shared_expert_intermediate_size": 0,
    "mlp_only_layers": [0, 1],
    "moe_intermediate_size": 24,
    "norm_topk_prob": True,
    "head_dim": 16,
    "max_position_embeddings": 512,
    "rope_theta": 1e4,
    "partial_rotary_factor": 0.5,
    "tie_word_embeddings": False,
    "full_attention_interval": 2,
    "attention_bias": False,
}

PAGED: dict[str, dict[str, Any]] = {
    "llama": {},
    "ministral3": {
        "head_dim": 16,
        "rope_parameters": _YARN,
        "max_position_embeddings": 512,
        "layer_types": ["full_attention", "sliding_attention"],
        "sliding_window": 8,
    },
    "qwen2": {"tie_word_embeddings": True},
    "qwen3": _QWEN3,
    "qwen3_moe": _QWEN3 | _MOE,
    "phi3": {"partial_rotary_factor": 0.5},
    "olmo2": {},
    "smollm3": {"no_rope_layer_interval": 2},
    "granite": _GRANITE,
    "gemma": {"head_dim": 16},
    "starcoder2": {"norm_epsilon": 1e-5},
    "cohere": {"num_key_value_heads": 4, "logit_scale": 0.5, "use_qk_norm": True},
    "gemma2": {"head_dim": 16, "attn_logit_softcapping": 2.0, "query_pre_attn_scalar": 16.0},
    "gemma3_text": {
        "head_dim": 16,
        "num_hidden_layers": 4,
        "sliding_window": 8,
        "sliding_window_pattern": 2,
        "query_pre_attn_scalar": 16.0,
    },
    "gpt2": {
        "n_ctx": 512,
        "n_positions": 512,
        "n_embd": 32,
        "n_head": 4,
        "n_layer": 2,
        "layer_norm_epsilon": 1e-5,
        "num_key_value_heads": 4,
    },
    "gpt_oss": {
        "head_dim": 16,
        "sliding_window": 8,
        "num_local_experts": 4,
        "num_experts_per_tok": 2,
    },
}
UNPAGED: dict[str, dict[str, Any]] = {
    "mamba2": _MAMBA,
    "deepseek_v3": _LATENT,
    "qwen3_next": _HYBRID,
    "mamba": {
        "intermediate_size": 64,
        "state_size": 8,
        "conv_kernel": 4,
        "use_bias": False,
        "use_conv_bias": True,
        "time_step_rank": 4,
    },
    "rwkv7": {
        "head_dim": 8,
        "norm_eps": 1e-5,
        "intermediate_size": 64,
        "a_low_rank_dim": 8,
        "v_low_rank_dim": 8,
        "gate_low_rank_dim": 8,
        "decay_low_rank_dim": 8,
    },
    "recurrent_gemma": {
        "num_hidden_layers": 3,
        "attention_bias": False,
        "conv1d_width": 4,
        "logits_soft_cap": 30.0,
        "rope_theta": 1e4,
        "attention_window_size": 8,
        "block_types": ["recurrent", "recurrent", "attention"],
    },
    "jamba": {
        "num_hidden_layers": 4,
        "attn_layer_offset": 1,
        "attn_layer_period": 2,
        "expert_layer_offset": 1,
        "expert_layer_period": 2,
        "mamba_d_conv": 4,
        "mamba_d_state": 8,
        "mamba_expand": 2,
        "num_experts": 2,
        "num_experts_per_tok": 1,
        "max_position_embeddings": 512,
    },
    "falcon_h1": {
        "head_dim": 16,
        "mamba_d_head": 16,
        "mamba_d_ssm": 64,
        "mamba_d_state": 16,
        "mamba_n_heads": 4,
        "max_position_embeddings": 512,
        "rope_theta": 1e4,
        "lm_head_multiplier": 1.0,
    },
    "lfm2": {
        "norm_eps": 1e-5,
        "conv_bias": False,
        "conv_L_cache": 3,
        "block_dim": 32,
        "block_multiple_of": 8,
        "block_ffn_dim_multiplier": 1.0,
        "block_auto_adjust_ff_dim": False,
        "block_ff_dim": 48,
        "max_position_embeddings": 512,
        "full_attn_idxs": [1],
    },
    "granitemoehybrid": _GRANITE
    | {
        "layer_types": ["mamba", "attention"],
        "shared_intermediate_size": 48,
        "mamba_n_heads": 4,
        "mamba_d_head": 16,
        "mamba_proj_bias": False,
        "mamba_d_state": 16,
        "mamba_d_conv": 4,
        "mamba_n_groups": 1,
        "mamba_conv_bias": True,
    },
    "nemotron_h": {
        "head_dim": 16,
        "num_hidden_layers": 3,
        "max_position_embeddings": 512,
        "attention_bias": False,
        "mamba_num_heads": 4,
        "mamba_head_dim": 16,
        "mamba_proj_bias": False,
        "ssm_state_size": 16,
        "conv_kernel": 4,
        "n_groups": 1,
        "mlp_bias": False,
        "layer_norm_epsilon": 1e-5,
        "use_bias": False,
        "use_conv_bias": True,
        "hybrid_override_pattern": ["M", "*", "-"],
    },
}
# mlx-lm has no batch form of their caches.
UNMERGED: dict[str, dict[str, Any]] = {
    "llama4": {
        "text_config": _BASE
        | {
            "model_type": "llama4_text",
            "num_hidden_layers": 4,
            "head_dim": 16,
            "attention_bias": False,
            "attention_chunk_size": 8,
            "interleave_moe_layer_step": 1,
            "intermediate_size_mlp": 48,
            "max_position_embeddings": 512,
            "num_experts_per_tok": 1,
            "num_local_experts": 2,
            "rope_scaling": None,
            "rope_theta": 1e4,
            "use_qk_norm": True,
        }
    },
}


def tiny_model(family: str) -> nn.Module:
    """A float32 model whose greedy tokens vary: random weights, large where they would vanish."""
    module = importlib.import_module(f"mlx_lm.models.{family}")
    options = {**_BASE, "model_type": family, **(PAGED | UNPAGED | UNMERGED)[family]}
    mx.random.seed(7)
    model = module.Model(module.ModelArgs.from_dict(options))
    model.set_dtype(mx.float32)
    model.update(tree_map_with_path(_lively, model.parameters()))
    mx.eval(model.parameters())
    return model


def _lively(path: str, array: mx.array) -> mx.array:
    if "embed_tokens" in path or path.endswith("wte.weight"):
        return mx.random.normal(array.shape)
    if path.endswith("sinks"):
        return mx.random.normal(array.shape)
    if array.ndim >= 2:
        return array * 3
    return array
