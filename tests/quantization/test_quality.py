"""Measuring: against the slow way, and the report of folders."""

import json
import math

import mlx.core as mx
import pytest

from mlx_backends import QuantizationConfig, quantize_model
from mlx_backends.errors import ConfigError, QuantizationError
from mlx_backends.quantization import quantize
from mlx_backends.quantization.quality import Item, measure, weight_errors
from mlx_backends.quantization.report import make_report
from mlx_backends.quantization.report_plot import draw


def greedy(model, ids, count):
    ids = list(ids)
    for _ in range(count):
        ids.append(int(mx.argmax(model(mx.array([ids]))[0, -1])))
    return ids


@pytest.fixture
def items(tiny):
    """Four answers that greedy decoding writes, and one with a wrong last token."""
    prompts = [[3, 5, 8], [13, 21, 34, 55], [1, 2], [144, 233, 377, 610, 987]]
    found = [Item(greedy(tiny, p, 4), len(p), "right") for p in prompts]
    wrong = greedy(tiny, [7, 7], 4)
    return [*found, Item([*wrong[:-1], (wrong[-1] + 1) % 1_000], 2, "wrong")]


def test_exact_match_is_what_generation_gives(tiny, items):
    quality = measure(tiny, items, reference=tiny)
    assert quality.by_group == {"right": 1.0, "wrong": 0.0}
    assert quality.exact_match == pytest.approx(0.8)
    assert quality.divergence == pytest.approx(0.0, abs=1e-6)
    assert quality.agreement == 1.0


def test_perplexity_and_divergence_are_those_of_each_item_alone(tiny, items):
    twin = quantize(tiny, {"weight_bits": 3})
    quality = measure(twin, items, reference=tiny)
    loss = divergence = 0.0
    tokens = 0
    for item in items:
        ids = mx.array([item.ids])
        got, wanted = (m(ids)[0, :-1] for m in (twin, tiny))
        got, wanted = (x - mx.logsumexp(x, -1, keepdims=True) for x in (got, wanted))
        loss -= float(mx.take_along_axis(got, ids[0, 1:, None], -1).sum())
        divergence += float((mx.exp(wanted) * (wanted - got)).sum())
        tokens += len(item.ids) - 1
    assert quality.perplexity == pytest.approx(math.exp(loss / tokens), rel=1e-4)
    assert quality.divergence == pytest.approx(divergence / tokens, rel=1e-3)


def test_bad_items_are_refused(tiny):
    with pytest.raises(ConfigError, match="no items"):
        measure(tiny, [])
    with pytest.raises(ConfigError, match="no prompt or no answer"):
        measure(tiny, [Item([1, 2], 2)])


def test_errors_of_layers_grow_with_fewer_bits(tiny):
    few, many = (weight_errors(quantize(tiny, {"weight_bits": bits}), tiny) for bits in (3, 8))
    assert few.keys() == many.keys()
    assert all(many[name] < 0.02 < few[name] for name in few)


def test_a_report_of_folders(tiny_folder, tmp_path, items):
    quantize_model(tiny_folder, tmp_path / "q4", QuantizationConfig(weight_bits=4))
    dynamic = QuantizationConfig(method="dynamic", weight_bits=8)
    quantize_model(tiny_folder, tmp_path / "w8a8", dynamic)
    report = make_report(tiny_folder, [tmp_path / "q4", tmp_path / "w8a8"], items)
    original, four, eight = report.entries
    assert original.quality.exact_match == pytest.approx(0.8)
    assert original.bits_per_weight == 32
    assert four.weight_bytes < eight.weight_bytes < original.weight_bytes
    assert eight.product == "simulated in floating point"
    assert len(list(report.table())) == 4
    report.write_json(tmp_path / "report.json")
    assert json.loads((tmp_path / "report.json").read_text())["entries"][1]["name"] == "q4"
    draw(report, tmp_path / "report.png")
    assert (tmp_path / "report.png").stat().st_size > 10_000
    with pytest.raises(QuantizationError, match="quantized itself"):
        make_report(tmp_path / "q4", [], items)
    with pytest.raises(ConfigError, match="token id 5000"):
        make_report(tiny_folder, [], [Item([1, 5_000], 1)])
