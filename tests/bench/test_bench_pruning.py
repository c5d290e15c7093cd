"""What recovery trains on: answers count fully, the rest a little."""

from types import SimpleNamespace

import numpy as np
from mlx_lm.tokenizer_utils import load as load_tokenizer

from mlx_backends import bundled
from mlx_backends.bench.pruning import CASES, Recovery, _Batches
from mlx_backends.bundled.training import chatml
from mlx_backends.bundled.training.generator import Conversation


def test_only_the_assistants_words_count_fully():
    tokenizer = load_tokenizer(bundled.path("lm"))
    end = tokenizer.convert_tokens_to_ids(chatml.IM_END)
    conversation = Conversation(
        [
            {"role": "user", "content": "Which port?"},
            {"role": "assistant", "content": "8080"},
            {"role": "user", "content": "And the host?"},
            {"role": "assistant", "content": "example.org"},
        ]
    )
    generator = SimpleNamespace(conversation=lambda: conversation)
    batches = _Batches(
        SimpleNamespace(tokenizer=tokenizer, end=end), generator, Recovery(2, conversations=3)
    )
    assert len(batches) == len(list(batches)) == 2
    ids, weights = (np.array(array) for array in batches[0])
    answers = ids[0][weights[0] == 1].tolist()
    assert tokenizer.decode(answers) == f"8080{chatml.IM_END}example.org{chatml.IM_END}"
    assert (weights[ids == 0] == 0).all()


def test_every_method_and_pattern_is_measured():
    options = [case.options for case in CASES]
    assert {o.get("method") for o in options} == {None, "magnitude", "wanda"}
    assert {o.get("pattern", "unstructured") for o in options} == {"unstructured", "2:4", "block"}
