"""Write the fixed items of `test_bundled_models.py` from the evaluation side of the generator.

Run after a change of the shipped chat model: ``python tests/bundled/make_items.py``. The file also
holds how many of the items the model answers, which the test compares with.
"""

import json
from pathlib import Path

from mlx_backends import bundled
from mlx_backends.bundled.evaluation.chat import prompt_of
from mlx_backends.bundled.evaluation.chat_model import ChatModel
from mlx_backends.bundled.evaluation.held_out_prose import HeldOutProse
from mlx_backends.bundled.evaluation.rows import LM_ROWS, TOOL_CALL

COUNTS = {
    "4 facts": 6,
    "8 facts": 3,
    "4 facts, unseen families, same words": 3,
    "4 facts, unseen relations, reworded": 3,
    "near miss refused": 4,
    "follow-up that leaves words out": 3,
    "JSON answer": 3,
    TOOL_CALL: 4,
    "answer from a tool's result": 2,
    "real prose, sources never seen": 5,
}


def main() -> None:
    prose = HeldOutProse.load(Path("build/bundled/prose.json.gz"))
    model = ChatModel(bundled.path("lm"))
    items, num_right = [], 0
    for row in LM_ROWS:
        asked = row.draw(prose, COUNTS[row.name]) if row.name in COUNTS else []
        answers = model.generate([prompt_of(item, model.count) for item in asked])
        for conversation, got in zip(asked, answers, strict=True):
            *messages, answer = conversation.messages
            num_right += row.grade(got, answer["content"])
            entry = {"row": row.name, "messages": messages, "tools": conversation.tools}
            items.append({**entry, "answer": answer["content"]})
    target = Path(__file__).with_name("items.json")
    text = json.dumps({"num_right": num_right, "items": items}, indent=1, ensure_ascii=False)
    target.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
