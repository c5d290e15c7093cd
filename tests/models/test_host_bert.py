"""BERT in C on texts laid end to end, against its readable twin on padded ones."""

import mlx.core as mx
import numpy as np
import pytest

from mlx_backends.kernels import host_encoder
from mlx_backends.models.encoders.bert import Bert, BertConfig
from mlx_backends.models.encoders.host_bert import host_bert
from mlx_backends.models.encoders.xlm_roberta import XLMRoberta, XLMRobertaConfig
from mlx_backends.pooling.batching import pad, token_mask

SHAPE = {
    "vocab_size": 50,
    "hidden_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 3,
    "intermediate_size": 40,
    "max_position_embeddings": 64,
    "type_vocab_size": 2,
    "hidden_act": "gelu",
}
CPU = mx.Device(mx.cpu)
LENGTHS = [1, 60, 13, 2, 33]

needs_functions = pytest.mark.skipif(
    host_encoder.status().encoder is None, reason=host_encoder.status().reason
)


def make(kind, config, **changes):
    mx.random.seed(3)
    model = kind(config.from_dict({**SHAPE, **changes}))
    mx.eval(model.parameters())
    return model


@needs_functions
@pytest.mark.parametrize("kind", [(Bert, BertConfig), (XLMRoberta, XLMRobertaConfig)])
@pytest.mark.parametrize("has_segments", [False, True])
def test_the_same_vectors_as_the_twin(kind, has_segments):
    rng = np.random.default_rng(1)
    rows = [rng.integers(0, 50, length).astype(np.int32) for length in LENGTHS]
    kinds = [rng.integers(0, 2, length).astype(np.int32) for length in LENGTHS]
    with mx.stream(mx.cpu):
        model = make(*kind)
        segments = mx.array(pad(kinds)) if has_segments else None
        padded = np.array(model(mx.array(pad(rows)), mx.array(token_mask(rows)), segments))
    expected = np.concatenate([row[:length] for row, length in zip(padded, LENGTHS, strict=True)])
    host = host_bert(model, CPU)
    assert host is not None
    starts = np.concatenate([[0], np.cumsum(LENGTHS)])
    found = host(np.concatenate(rows), np.concatenate(kinds) if has_segments else None, starts)
    np.testing.assert_allclose(found, expected, atol=2e-6)


@needs_functions
def test_a_text_gives_the_same_bits_in_any_batch():
    rng = np.random.default_rng(2)
    rows = [rng.integers(0, 50, length).astype(np.int32) for length in LENGTHS]
    host = host_bert(make(Bert, BertConfig), CPU)
    assert host is not None
    starts = np.concatenate([[0], np.cumsum(LENGTHS)])
    together = host(np.concatenate(rows), None, starts)
    for row, first in zip(rows, starts, strict=False):
        alone = host(row, None, np.array([0, len(row)]))
        np.testing.assert_array_equal(alone, together[first : first + len(row)])


@needs_functions
def test_the_model_cannot_run_without_its_layers():
    model = make(Bert, BertConfig)
    assert host_bert(model, CPU) is not None
    with pytest.raises(AttributeError):
        model(mx.array([[1]]), mx.array([[True]]))


def test_what_it_does_not_compute_is_left_to_mlx():
    in_16_bits = make(Bert, BertConfig)
    in_16_bits.set_dtype(mx.float16)
    assert host_bert(in_16_bits, CPU) is None
    assert host_bert(make(Bert, BertConfig, hidden_act="relu"), CPU) is None
    assert host_bert(make(Bert, BertConfig), mx.Device(mx.gpu)) is None
    assert host_bert(object(), CPU) is None
