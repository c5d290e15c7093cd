"""Tiny models that Hugging Face's code computed the expected outputs of.

``hugging_face_outputs.json`` holds, for each: ``config.json``, names and shapes of the weights in
the file, token ids, and what transformers makes of them. The weights are drawn again from their
names.
"""

import hashlib
import json
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

STORED = Path(__file__).parent / "hugging_face_outputs.json"


def stored_models() -> dict[str, dict]:
    return json.loads(STORED.read_text(encoding="utf-8"))


def random_weight(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Numbers that depend on the name and the shape only, of a size that keeps outputs near 1."""
    seed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "little")
    draws = np.random.default_rng(seed).standard_normal(shape)
    if len(shape) == 1:
        # Between what scales mean in Gemma, where 1 is added to them, and everywhere else.
        scale = 0.5 if name.endswith("weight") else 0.0
        return (scale + 0.2 * draws).astype(np.float32)
    return (draws / shape[1] ** 0.5).astype(np.float32)


def write_model(folder: Path, config: dict, shapes: dict[str, list[int]]) -> None:
    """Write ``config.json`` and ``model.safetensors``."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    weights = {name: random_weight(name, tuple(shape)) for name, shape in shapes.items()}
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def padded(rows: list[list[int]], padding_id: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Token ids and mask, padded on the right."""
    longest = max(map(len, rows))
    ids = np.array([row + [padding_id] * (longest - len(row)) for row in rows])
    return ids, np.arange(longest) < np.array([len(row) for row in rows])[:, None]


def summary(hidden: np.ndarray, rows: list[list[int]]) -> np.ndarray:
    """First token, last token and mean of each row: (rows, 3, D)."""
    parts = [h[: len(row)] for h, row in zip(hidden, rows, strict=True)]
    return np.stack([np.stack([part[0], part[-1], part.mean(0)]) for part in parts])
