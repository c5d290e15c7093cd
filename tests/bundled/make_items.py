"""Write the fixed items of `test_bundled_models.py` from the evaluation side of the generator.

Run once after a change of the generator: ``python tests/bundled/make_items.py``.
"""

import json
from pathlib import Path

from mlx_backends.bundled.training import measure

COUNTS = {
    "4 facts": 8,
    "8 facts": 3,
    "real prose, 3 passages": 5,
    "unanswerable, refused": 4,
    "tool call, unseen schema": 3,
    "JSON answer": 2,
}


def main() -> None:
    rows = measure.lm_rows(Path("build/bundled"))
    items = []
    for name, count in COUNTS.items():
        for conversation in measure.draw(*rows[name], count):
            *prompt, answer = conversation.messages
            items.append(
                {
                    "row": name,
                    "messages": prompt,
                    "tools": conversation.tools,
                    "answer": answer["content"],
                }
            )
    target = Path(__file__).with_name("items.json")
    target.write_text(json.dumps(items, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
