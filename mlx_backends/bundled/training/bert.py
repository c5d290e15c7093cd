"""BERT for training (torch). Weight names and arithmetic are those of Hugging Face's BERT."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mlx_backends.bundled.training.shapes import EncoderConfig


class Bert(nn.Module):
    """Token ids to token states, without a pooler."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.embeddings = Embeddings(config)
        self.encoder = group(layer=nn.ModuleList(Layer(config) for _ in range(config.num_layers)))
        for parameter in self.parameters():
            if parameter.dim() == 2:
                nn.init.normal_(parameter, std=0.04)

    def forward(self, ids: Tensor, present: Tensor, segments: Tensor | None = None) -> Tensor:
        """Encode a padded batch.

        Shapes: ids, present and segments (B, L); present is True at tokens, segments says which
            of the two texts a token is of. Returns (B, L, D).
        """
        x = self.embeddings(ids, segments)
        for layer in self.encoder.layer:
            x = layer(x, present[:, None, None, :])
        return x


class Embeddings(nn.Module):
    """Words, positions and segments, normalised."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.word_embeddings = nn.Embedding(config.vocab_size, config.hidden_size)
        self.position_embeddings = nn.Embedding(config.max_positions, config.hidden_size)
        self.token_type_embeddings = nn.Embedding(2, config.hidden_size)
        self.LayerNorm = nn.LayerNorm(config.hidden_size, eps=config.eps)

    def forward(self, ids: Tensor, segments: Tensor | None) -> Tensor:
        x = self.word_embeddings(ids) + self.position_embeddings.weight[: ids.shape[1]]
        kinds = self.token_type_embeddings
        return self.LayerNorm(x + (kinds.weight[0] if segments is None else kinds(segments)))


class Layer(nn.Module):
    """One post-norm layer."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        size, ffn = config.hidden_size, config.ffn_size
        self.num_heads = config.num_heads
        attention = group(
            query=nn.Linear(size, size), key=nn.Linear(size, size), value=nn.Linear(size, size)
        )
        output = group(dense=nn.Linear(size, size), LayerNorm=nn.LayerNorm(size, eps=config.eps))
        self.attention = group(self=attention, output=output)
        self.intermediate = group(dense=nn.Linear(size, ffn))
        self.output = group(
            dense=nn.Linear(ffn, size), LayerNorm=nn.LayerNorm(size, eps=config.eps)
        )

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        rows, length, size = x.shape
        heads = self.attention.self
        q, k, v = (
            module(x).view(rows, length, self.num_heads, -1).transpose(1, 2)
            for module in (heads.query, heads.key, heads.value)
        )
        attended = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        attended = attended.transpose(1, 2).reshape(rows, length, size)
        x = self.attention.output.LayerNorm(x + self.attention.output.dense(attended))
        return self.output.LayerNorm(x + self.output.dense(F.gelu(self.intermediate.dense(x))))


def group(**modules: nn.Module) -> nn.Module:
    """Put modules under given names, to get BERT's weight names."""
    parent = nn.Module()
    for name, module in modules.items():
        parent.add_module(name, module)
    return parent


def presence(ids: Tensor, lengths: Tensor) -> Tensor:
    """True at the tokens of right-padded rows. Shapes: ids (B, L); lengths (B,); returns (B, L)."""
    return torch.arange(ids.shape[1], device=ids.device) < lengths[:, None]
