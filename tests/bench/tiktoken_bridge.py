"""Bulk tokenization: the tiktoken bridge against the tokenizers library, on the bundled vocabulary.

Run: python tests/bench/tiktoken_bridge.py [--json]
Medians of interleaved runs on about one megabyte of this project's own text; the ids are compared.
"""

import json
import statistics
import sys
import time
from pathlib import Path

import tokenizers

from mlx_backends import bundled
from mlx_backends.text.tokenizer import Tokenizer

ROOT = Path(__file__).parents[2]
RUNS = 9


def one_megabyte() -> str:
    text = "".join(path.read_text("utf-8") for path in sorted(ROOT.glob("docs/*.md")))
    return (text * (1_000_000 // len(text) + 1))[:1_000_000]


def seconds(function) -> float:
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def main() -> dict:
    folder, text = bundled.path("lm"), one_megabyte()
    library = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer = Tokenizer.from_folder(folder)
    if tokenizer.encoding is None:
        sys.exit(f"no tiktoken encoding: {tokenizer.encoding_reason}")
    assert tokenizer.encode(text) == library.encode(text, add_special_tokens=False).ids
    pairs = [
        (
            seconds(lambda: tokenizer.encode(text)),
            seconds(lambda: library.encode(text, add_special_tokens=False)),
        )
        for _ in range(RUNS)
    ]
    ours, theirs = (statistics.median(column) for column in zip(*pairs, strict=True))
    return {
        "characters": len(text),
        "tiktoken_bridge_s": round(ours, 4),
        "tokenizers_s": round(theirs, 4),
        "ratio": round(statistics.median(b / a for a, b in pairs), 2),
    }


if __name__ == "__main__":
    figures = main()
    print(json.dumps(figures) if "--json" in sys.argv else figures)
