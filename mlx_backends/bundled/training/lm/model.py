"""The chat model (torch). Weight names and arithmetic are those of Hugging Face's Qwen3."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mlx_backends.bundled.training.shapes import LmConfig

PAD, CONTEXT, ANSWER, PROSE = 0, 1, 2, 3  # kinds of tokens
_PROSE_WEIGHT = 0.3
_EPS = 1e-6


class Attention(nn.Module):
    """Projections and norms of grouped-query attention."""

    def __init__(self, config: LmConfig) -> None:
        super().__init__()
        width, kv_width = config.num_heads * config.head_dim, config.num_kv_heads * config.head_dim
        self.q_proj = nn.Linear(config.hidden_size, width, bias=False)
        self.k_proj = nn.Linear(config.hidden_size, kv_width, bias=False)
        self.v_proj = nn.Linear(config.hidden_size, kv_width, bias=False)
        self.o_proj = nn.Linear(width, config.hidden_size, bias=False)
        self.q_norm = nn.RMSNorm(config.head_dim, eps=_EPS)
        self.k_norm = nn.RMSNorm(config.head_dim, eps=_EPS)


class Mlp(nn.Module):
    """Weights of the gated feed-forward part."""

    def __init__(self, config: LmConfig) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(config.hidden_size, config.ffn_size, bias=False)
        self.up_proj = nn.Linear(config.hidden_size, config.ffn_size, bias=False)
        self.down_proj = nn.Linear(config.ffn_size, config.hidden_size, bias=False)


class Block(nn.Module):
    """Weights of one layer."""

    def __init__(self, config: LmConfig) -> None:
        super().__init__()
        self.self_attn = Attention(config)
        self.mlp = Mlp(config)
        self.input_layernorm = nn.RMSNorm(config.hidden_size, eps=_EPS)
        self.post_attention_layernorm = nn.RMSNorm(config.hidden_size, eps=_EPS)


def _rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    a, b = x.float().chunk(2, dim=-1)
    return torch.cat([a * cos - b * sin, b * cos + a * sin], dim=-1)


def before_attention(
    x: Tensor,
    cos: Tensor,
    sin: Tensor,
    norm: Tensor,
    wq: Tensor,
    wk: Tensor,
    wv: Tensor,
    q_norm: Tensor,
    k_norm: Tensor,
) -> tuple[Tensor, ...]:
    """Return queries, keys and values of flat tokens: (tokens, heads, head_dim)."""
    size = q_norm.shape[0]
    h = F.rms_norm(x, norm.shape, norm, _EPS)
    q = F.rms_norm(F.linear(h, wq).view(len(x), -1, size), q_norm.shape, q_norm, _EPS)
    k = F.rms_norm(F.linear(h, wk).view(len(x), -1, size), k_norm.shape, k_norm, _EPS)
    v = F.linear(h, wv).view(len(x), -1, size)
    return _rotate(q, cos, sin).to(v.dtype), _rotate(k, cos, sin).to(v.dtype), v


def after_attention(
    x: Tensor, attended: Tensor, wo: Tensor, norm: Tensor, gate: Tensor, up: Tensor, down: Tensor
) -> Tensor:
    """Add the attention output and the feed-forward part to the residual stream."""
    x = x + F.linear(attended, wo)
    h = F.rms_norm(x, norm.shape, norm, _EPS)
    return x + F.linear(F.silu(F.linear(h, gate)) * F.linear(h, up), down)


def token_loss(
    x: Tensor, weight: Tensor, targets: Tensor, kinds: Tensor, context_weight: Tensor
) -> tuple[Tensor, Tensor]:
    """Return the weighted loss and the plain loss on answer tokens."""
    logits = F.linear(x, weight)
    losses = F.cross_entropy(logits.float(), targets, reduction="none")
    answers = (kinds == ANSWER).float()
    weights = answers + context_weight * (kinds == CONTEXT).float()
    weights = weights + _PROSE_WEIGHT * (kinds == PROSE).float()
    loss = (losses * weights).sum() / weights.sum().clamp_min(1.0)
    return loss, (losses * answers).sum().detach() / answers.sum().clamp_min(1.0)


class LanguageModel(nn.Module):
    """Qwen3 in flat-token form; compiled parts see one shape whatever the batch."""

    def __init__(self, config: LmConfig) -> None:
        super().__init__()
        self.config = config
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size)
        self.layers = nn.ModuleList(Block(config) for _ in range(config.num_layers))
        self.norm = nn.RMSNorm(config.hidden_size, eps=_EPS)
        for parameter in self.parameters():
            if parameter.dim() == 2:
                nn.init.normal_(parameter, std=parameter.shape[1] ** -0.5)
        nn.init.normal_(self.embed_tokens.weight, std=0.03)
        half = config.head_dim // 2
        angles = torch.outer(
            torch.arange(config.max_positions).float(),
            config.rope_theta ** (-torch.arange(half).float() / half),
        )
        self.register_buffer("cos", angles.cos(), persistent=False)
        self.register_buffer("sin", angles.sin(), persistent=False)
        self.before, self.after, self.loss_of = before_attention, after_attention, token_loss

    def compile_parts(self) -> None:
        """Compile everything but the attention product."""
        self.before = torch.compile(before_attention, dynamic=False)
        self.after = torch.compile(after_attention, dynamic=False)
        self.loss_of = torch.compile(token_loss, dynamic=False)

    def hidden(self, ids: Tensor) -> Tensor:
        """Return the final hidden states, flat: (rows * length, hidden)."""
        rows, length = ids.shape
        config = self.config
        repeats = config.num_heads // config.num_kv_heads
        cos = self.cos[:length].repeat(rows, 1).unsqueeze(1)
        sin = self.sin[:length].repeat(rows, 1).unsqueeze(1)
        x = self.embed_tokens(ids.reshape(-1))
        for block in self.layers:
            heads, mlp = block.self_attn, block.mlp
            q, k, v = self.before(
                x, cos, sin, block.input_layernorm.weight, heads.q_proj.weight, heads.k_proj.weight,
                heads.v_proj.weight, heads.q_norm.weight, heads.k_norm.weight,
            )  # fmt: skip
            q, k, v = (t.view(rows, length, -1, config.head_dim).transpose(1, 2) for t in (q, k, v))
            k, v = k.repeat_interleave(repeats, 1), v.repeat_interleave(repeats, 1)
            attended = F.scaled_dot_product_attention(q, k, v, is_causal=True)
            attended = attended.transpose(1, 2).reshape(rows * length, -1)
            x = self.after(
                x, attended, heads.o_proj.weight, block.post_attention_layernorm.weight,
                mlp.gate_proj.weight, mlp.up_proj.weight, mlp.down_proj.weight,
            )  # fmt: skip
        return self.norm(x)

    def loss(self, ids: Tensor, kinds: Tensor, context_weight: Tensor) -> tuple[Tensor, Tensor]:
        targets = torch.roll(ids, -1, 1).reshape(-1)
        kinds = torch.roll(kinds, -1, 1)
        kinds[:, -1] = PAD
        return self.loss_of(
            self.hidden(ids), self.embed_tokens.weight, targets, kinds.reshape(-1), context_weight
        )

    def state_hf(self) -> dict[str, Tensor]:
        """Return the weights under their Hugging Face names, in bfloat16."""
        return {
            f"model.{name}": p.detach().bfloat16().cpu().contiguous()
            for name, p in self.named_parameters()
        }
