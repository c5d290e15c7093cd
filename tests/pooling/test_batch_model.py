"""How batches are padded for a device, and that buckets and compiling change nothing."""

import mlx.core as mx
import numpy as np
import pytest

from mlx_backends import EmbedderConfig
from mlx_backends.pooling.batch_model import limits_of
from mlx_backends.pooling.batching import BatchLimits
from mlx_backends.pooling.encoder import Encoder
from mlx_backends.pooling.padded_forward import PaddedForward


def test_a_gpu_gets_large_batches_in_buckets():
    cpu, gpu = (limits_of(mx.Device(kind), EmbedderConfig()) for kind in (mx.cpu, mx.gpu))
    assert gpu.max_tokens > cpu.max_tokens
    assert (cpu.has_buckets, gpu.has_buckets) == (False, True)
    assert limits_of(mx.Device(mx.gpu), EmbedderConfig(max_batch_tokens=9)).max_tokens == 9


@pytest.mark.usefixtures("_mlx_computes")
def test_buckets_and_compiling_change_no_vector(encoder, make_embedder):
    """What a GPU does, on a CPU: rows and lengths rounded up, one compiled forward pass."""
    embedder = make_embedder(encoder.folder)
    model = Encoder(embedder._description, embedder.config, 0)
    rows = [[2, 5, 6, 3], [2, 9, 3], [2, *range(4, 20), 3], [2, 3], [2, 7, 3]]
    traced = []

    def forward(*inputs):
        traced.append(inputs[0].shape)
        return model._vectors(*inputs)

    run = PaddedForward(
        forward,
        mx.Device(mx.cpu),
        BatchLimits(1_000, 1_000, has_buckets=True),
        embedder._description.architecture.config,
    )
    expected = model(rows).result()
    np.testing.assert_allclose(run(rows).result(), expected, atol=1e-6)
    np.testing.assert_allclose(run(rows[1:]).result(), expected[1:], atol=1e-6)
    for _ in range(6):
        run(rows)
    assert set(traced) == {(5, 20), (4, 20)}
    assert len(traced) <= 2 * run.num_streams  # once for each shape and stream


def test_segments_are_padded_too(encoder, make_embedder):
    embedder = make_embedder(encoder.folder)
    run = PaddedForward(
        lambda ids, mask, segments: segments.sum(axis=1),
        mx.Device(mx.cpu),
        BatchLimits(1_000, 1_000, has_buckets=True),
        embedder._description.architecture.config,
    )
    assert run([[2, 5, 3], [2, 3]], [[0, 1, 1], [0, 0]]).result().tolist() == [2, 0]
