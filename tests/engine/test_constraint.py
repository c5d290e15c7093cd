"""A grammar in the loop: its mask holds at every draw, and its end is the completion's end."""

import numpy as np
import pytest

from mlx_backends import Engine, EngineConfig, FinishReason, SamplingParams
from mlx_backends.engine import engine as engine_module

from .conftest import collect


class Script:
    """Allows one token at a time, those of a script."""

    def __init__(self, token_ids, width):
        self._left = list(token_ids)
        self._width = width
        self.accepted = []

    @property
    def is_finished(self):
        return not self._left

    def allowed_bitmask(self):
        words = np.zeros(-(-self._width // 32), dtype=np.uint32)
        token = self._left[0]
        words[token // 32] |= np.uint32(1) << np.uint32(token % 32)
        return words

    def accept(self, token_id):
        assert token_id == self._left.pop(0)
        self.accepted.append(token_id)
        return token_id


@pytest.mark.parametrize("temperature", [0.0, 5.0])
def test_the_script_is_followed_beside_a_free_request(tiny_lm, monkeypatch, temperature):
    script = Script([40, 7, 311, 9], 512)
    original = engine_module.new_sequence

    def constrained(request, files, grammar):
        sequence = original(request, files, grammar)
        if request.request_id == "held":
            sequence.constraint = script
        return sequence

    monkeypatch.setattr(engine_module, "new_sequence", constrained)
    with Engine(EngineConfig(model=str(tiny_lm))) as engine:
        params = SamplingParams(max_tokens=20, temperature=temperature, seed=3, ignore_eos=True)
        free = engine.submit([5, 6, 7], params)
        held = engine.submit([5, 6, 7], params, request_id="held")
        ids, text, last = collect(engine, held)
        alone = collect(engine, engine.submit([5, 6, 7], params))[0]
        assert collect(engine, free)[0] == alone
        assert text == engine.tokenizer.decode(ids)
    assert ids == script.accepted == [40, 7, 311, 9]
    assert last.finish_reason is FinishReason.STOP
