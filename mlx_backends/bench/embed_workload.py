"""What ``bench embed`` embeds: texts of very different lengths, and a model of MiniLM's shape."""

import json
import random
import shutil
from pathlib import Path

import mlx.core as mx
from mlx.utils import tree_flatten

from mlx_backends import bundled
from mlx_backends.models.encoders.bert import Bert, BertConfig
from mlx_backends.models.source import model_folder

# The commonest words of English, so that any tokenizer has them.
_WORDS = """
the of and to in is that it was for on are as with his they at be this have from or one had by word
but not what all were we when your can said there use an each which she do how their if will up
other about out many then them these so some her would make like him into time has look two more
write go see number no way could people my than first water been call who oil its now find long
down day did get come made may part
"""
_SHORTEST, _LONGEST = 4, 250
_MINILM = {
    "architectures": ["BertModel"],
    "model_type": "bert",
    "vocab_size": 30_522,
    "hidden_size": 384,
    "num_hidden_layers": 6,
    "num_attention_heads": 12,
    "intermediate_size": 1_536,
    "max_position_embeddings": 512,
    "type_vocab_size": 2,
    "layer_norm_eps": 1e-12,
    "hidden_act": "gelu",
}


def mixed_texts(count: int) -> list[str]:
    """Texts of 4 to 250 words, as many from 4 to 8 as from 125 to 250; the same each time."""
    draw, words = random.Random(count), _WORDS.split()
    lengths = [round(_SHORTEST * (_LONGEST / _SHORTEST) ** draw.random()) for _ in range(count)]
    return [" ".join(draw.choices(words, k=length)) for length in lengths]


def model_or_random(name: str | None, scratch: Path) -> Path:
    """The folder of a model; without a name, of random weights with MiniLM's shape."""
    if name is not None:
        return model_folder(name, "encoder")
    folder = scratch / "minilm"
    shutil.copytree(bundled.path("encoder"), folder)
    (folder / "config.json").write_text(json.dumps(_MINILM), encoding="utf-8")
    with mx.stream(mx.cpu):
        mx.random.seed(0)
        model = Bert(BertConfig.from_dict(_MINILM))
        mx.save_safetensors(
            str(folder / "model.safetensors"),
            dict(tree_flatten(model.parameters())),
            metadata={"format": "pt"},
        )
    return folder
