"""Write hugging_face_outputs.json: what transformers computes for tiny models of random weights.

Needs torch and transformers; run as ``python -m tests.pooling.make_hugging_face_outputs``.
"""

import json
import random
import tempfile
from pathlib import Path

import numpy as np
import torch
import transformers as hf
from safetensors import safe_open

from tests.pooling.hugging_face import STORED, padded, summary, write_model

LENGTHS = (1, 3, 20, 45, 128)
BERT = {
    "vocab_size": 99,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "max_position_embeddings": 130,
}
DECODER = {**BERT, "num_key_value_heads": 2, "head_dim": 16, "rms_norm_eps": 1e-6}
ROBERTA = {**BERT, "max_position_embeddings": 132, "pad_token_id": 1, "type_vocab_size": 1}
ENCODERS = {
    "bert": (hf.BertModel, hf.BertConfig(**BERT)),
    "roberta": (hf.RobertaModel, hf.RobertaConfig(**ROBERTA)),
    "xlm-roberta": (hf.XLMRobertaModel, hf.XLMRobertaConfig(**ROBERTA)),
    "modernbert": (
        hf.ModernBertModel,
        hf.ModernBertConfig(
            **{**BERT, "num_hidden_layers": 4},
            local_attention=16,
            pad_token_id=0,
            bos_token_id=1,
            eos_token_id=2,
            cls_token_id=1,
            sep_token_id=2,
        ),
    ),
    "nomic_bert": (hf.NomicBertModel, hf.NomicBertConfig(**BERT)),
    "qwen3": (hf.Qwen3Model, hf.Qwen3Config(**DECODER, tie_word_embeddings=True)),
    "gemma3_text": (
        hf.Gemma3TextModel,
        hf.Gemma3TextConfig(
            **{**DECODER, "num_hidden_layers": 6, "num_key_value_heads": 1},
            use_bidirectional_attention=True,
            sliding_window=16,
            query_pre_attn_scalar=16,
        ),
    ),
}
RERANKERS = {
    "xlm-roberta reranker": (
        hf.XLMRobertaForSequenceClassification,
        hf.XLMRobertaConfig(**ROBERTA, num_labels=1),
    ),
    "qwen3 reranker": (hf.Qwen3ForCausalLM, hf.Qwen3Config(**DECODER, tie_word_embeddings=True)),
    "qwen3 reranker with a head of its own": (
        hf.Qwen3ForCausalLM,
        hf.Qwen3Config(**DECODER, tie_word_embeddings=False),
    ),
}
ANSWERS = (7, 11)


def main() -> None:
    stored = {}
    for name, (model_class, config) in {**ENCODERS, **RERANKERS}.items():
        draw = random.Random(name)
        rows = [[draw.randrange(3, 99) for _ in range(length)] for length in LENGTHS]
        config_dict, shapes, model = made(model_class, config)
        hidden = output(model, rows, config.pad_token_id or 0, is_reranker=name in RERANKERS)
        stored[name] = {
            "config": config_dict,
            "shapes": shapes,
            "rows": rows,
            "outputs": np.round(hidden, 7).tolist(),
        }
    text = json.dumps(stored, separators=(",", ":")).replace('},"', '},\n"')
    STORED.write_text(text + "\n", encoding="utf-8")


def made(model_class, config):
    """A model of random weights: its config.json, the shapes in its file, and itself."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model_class(config).save_pretrained(folder)
        config_dict = json.loads((folder / "config.json").read_text("utf-8"))
        with safe_open(folder / "model.safetensors", "np") as file:
            shapes = {key: file.get_slice(key).get_shape() for key in file.keys()}  # noqa: SIM118
        write_model(folder, config_dict, shapes)
        model, info = model_class.from_pretrained(folder, output_loading_info=True)
        assert not any(info.values()), info
        return config_dict, shapes, model.eval()


def output(model, rows, padding_id, *, is_reranker):
    ids, mask = (torch.tensor(array) for array in padded(rows, padding_id))
    with torch.no_grad():
        outputs = model(input_ids=ids, attention_mask=mask.long())
    if not is_reranker:
        return summary(outputs.last_hidden_state.numpy(), rows)
    logits = outputs.logits.numpy()
    if logits.ndim == 2:
        return logits[:, 0]
    no, yes = ANSWERS
    last = np.array([logits[i, len(row) - 1] for i, row in enumerate(rows)])
    return last[:, yes] - last[:, no]


if __name__ == "__main__":
    main()
