"""A Transformer in float32 and in 8 bits: weights and activations, the outputs compared."""

from typing import Any

import mlx.core as mx
import mlx.nn as nn
import numpy as np

from mlx_backends.quantization import quantize


class TransformerBlock(nn.Module):
    """Attention and two linear layers, each on the normed input and added to it."""

    def __init__(self, dim: int, num_heads: int):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.attention = nn.MultiHeadAttention(dim, num_heads)
        self.linear1, self.linear2 = nn.Linear(dim, dim * 4), nn.Linear(dim * 4, dim)

    def __call__(self, x: mx.array) -> mx.array:
        normed = self.norm1(x)
        x = x + self.attention(normed, normed, normed)
        return x + self.linear2(nn.relu(self.linear1(self.norm2(x))))


class Transformer(nn.Module):
    """Token ids (batch, length) to logits (batch, length, vocabulary)."""

    def __init__(self, num_layers: int, dim: int, num_heads: int, vocab_size: int):
        super().__init__()
        self.embedding = nn.Embedding(vocab_size, dim)
        self.layers = [TransformerBlock(dim, num_heads) for _ in range(num_layers)]
        self.norm = nn.LayerNorm(dim)
        self.linear = nn.Linear(dim, vocab_size)

    def __call__(self, ids: mx.array) -> mx.array:
        x = self.embedding(ids)
        for layer in self.layers:
            x = layer(x)
        return self.linear(self.norm(x))


def num_bytes(model: nn.Module) -> int:
    from mlx.utils import tree_flatten

    arrays: Any = tree_flatten(model.parameters())
    return sum(array.nbytes for _, array in arrays)


def main(num_layers: int = 6, dim: int = 512, vocab_size: int = 10_000) -> dict[str, float]:
    mx.random.seed(0)
    model = Transformer(num_layers, dim, num_heads=8, vocab_size=vocab_size)
    ids = mx.array(np.random.default_rng(0).integers(0, vocab_size, (1, 128)))
    exact = model(ids)
    quantized = quantize(model, {"weight_bits": 8, "activation_bits": 8, "method": "dynamic"})
    rounded = quantized(ids)
    result = {
        "relative error": float(mx.linalg.norm(rounded - exact) / mx.linalg.norm(exact)),
        "same likeliest token": float((rounded.argmax(-1) == exact.argmax(-1)).mean()),
        "size": num_bytes(quantized) / num_bytes(model),
    }
    print("FP32 output:", exact.shape, " INT8 output:", rounded.shape)
    for name, value in result.items():
        print(f"{name}: {value:.4f}")
    return result


if __name__ == "__main__":
    main()
