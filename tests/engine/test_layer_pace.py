"""Layers of a prompt are handed over one by one, and waited for."""

import mlx.core as mx

from mlx_backends.bench.graph_counter import counted_graphs
from mlx_backends.engine.layer_pace import LAYERS_IN_FLIGHT, LayerPace


def test_every_layer_is_started_when_it_is_built():
    pace, x = LayerPace(), mx.ones(4)
    with counted_graphs() as counts:
        for layer in range(1, 5):
            x, order = x * 2, mx.zeros(1) + layer
            pace.start(x, [order])
            assert counts.starts == layer
    assert x.tolist() == [16] * 4


def test_it_holds_no_more_layers_than_are_in_flight():
    pace, kept = LayerPace(), []
    for _ in range(5):
        kept.append(mx.ones(1 << 20) * 1)
        pace.start(kept[-1], [])
    before = mx.get_active_memory()
    kept.clear()
    assert before - mx.get_active_memory() >= (5 - LAYERS_IN_FLIGHT + 1) * (4 << 20)
