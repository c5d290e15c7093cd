"""A step builds one graph and evaluates it once."""

import pytest

from mlx_backends.bench.graph_counter import counted_graphs

from .conftest import greedy, prompts_of, together

FEW, MORE = 4, 24
LAYERS = 2


@pytest.mark.parametrize(
    ("mode", "waits", "starts"),
    [
        # The graph is handed over, and the token is read a step later.
        pytest.param("device", 0, 1, id="device"),
        # Every layer is handed over while Python builds the next; the step is waited for once.
        pytest.param("host", 1, LAYERS, id="host"),
    ],
)
def test_evaluations_a_token(make_engine, mode, waits, starts):
    engine = make_engine(mode)
    prompts = prompts_of([10])
    together(engine, prompts, [greedy(MORE)])  # compiled, and the prompt is in the cache
    with counted_graphs() as counts:
        together(engine, prompts, [greedy(FEW)])
        few = counts.copy()
        together(engine, prompts, [greedy(MORE)])
    tokens = MORE - FEW
    assert counts.waits - 2 * few.waits == waits * tokens
    assert counts.starts - 2 * few.starts == starts * tokens
    assert counts.num_operations > 2 * few.num_operations
