"""Write hugging_face_logits.json: what transformers computes for the tests' tiny cross-encoder.

Needs torch and transformers; run as ``python -m tests.pooling.make_hugging_face_logits``.
"""

import json
import tempfile
from pathlib import Path

import torch
from transformers import BertForSequenceClassification, PreTrainedTokenizerFast

from tests.pooling.conftest import write_cross_encoder

PAIRS = [
    ("the cat ran ?", "the cat sat on the mat ."),
    ("the cat ran ?", ""),
    ("a", "old tree , new river and a small bright cat under the mat"),
    ("query old and new", "passage"),
    ("x9 z", "cat-dog 42"),
]


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        write_cross_encoder(Path(folder))
        tokenizer = PreTrainedTokenizerFast(
            tokenizer_file=f"{folder}/tokenizer.json", pad_token="[PAD]"
        )
        model = BertForSequenceClassification.from_pretrained(folder).eval()
    queries, documents = (list(texts) for texts in zip(*PAIRS, strict=True))
    inputs = tokenizer(
        queries,
        documents,
        padding=True,
        truncation=False,
        return_token_type_ids=True,
        return_tensors="pt",
    )
    with torch.no_grad():
        logits = model(**inputs).logits[:, 0].tolist()
    text = json.dumps({"pairs": PAIRS, "logits": logits}, indent=1)
    (Path(__file__).parent / "hugging_face_logits.json").write_text(text + "\n", "utf-8")


if __name__ == "__main__":
    main()
