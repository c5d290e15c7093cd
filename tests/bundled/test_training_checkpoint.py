"""Going on from trained weights. Needs torch, which training alone uses."""

import mlx.core as mx
import numpy as np
import pytest

from mlx_backends.bundled.training.shapes import LmConfig

torch = pytest.importorskip("torch")
pytest.importorskip("safetensors.torch")

from mlx_backends.bundled.training import common  # noqa: E402
from mlx_backends.bundled.training.lm.checkpoint import grown, unpacked  # noqa: E402
from mlx_backends.bundled.training.lm.model import LanguageModel  # noqa: E402
from mlx_backends.bundled.training.lm.rounding import Rounding  # noqa: E402

_SMALL = {"vocab_size": 128, "hidden_size": 128, "num_heads": 2, "num_kv_heads": 1, "ffn_size": 128}


@pytest.mark.parametrize("layers", [4, 5, 8])
def test_a_model_that_grows_computes_the_same(layers: int) -> None:
    torch.manual_seed(0)
    small = LanguageModel(LmConfig(**_SMALL, num_layers=4, max_positions=64))
    large = LanguageModel(LmConfig(**_SMALL, num_layers=layers, max_positions=64))
    large.load_state_dict(grown(small.state_dict(), layers))
    ids = torch.randint(0, 128, (2, 20))
    with torch.no_grad():
        assert torch.equal(small.hidden(ids), large.hidden(ids))


def test_an_added_layer_learns() -> None:
    torch.manual_seed(0)
    small = LanguageModel(LmConfig(**_SMALL, num_layers=4, max_positions=64))
    large = LanguageModel(LmConfig(**_SMALL, num_layers=5, max_positions=64))
    large.load_state_dict(grown(small.state_dict(), 5))
    silent = [
        block for block in large.layers if not block.mlp.down_proj.weight.count_nonzero().item()
    ]
    large.hidden(torch.randint(0, 128, (2, 20))).square().sum().backward()
    assert len(silent) == 1
    assert silent[0].mlp.down_proj.weight.grad.count_nonzero()
    assert silent[0].self_attn.o_proj.weight.grad.count_nonzero()


def test_a_model_does_not_shrink() -> None:
    state = LanguageModel(LmConfig(**_SMALL, num_layers=4, max_positions=64)).state_dict()
    with pytest.raises(ValueError, match="4 layers, which do not fit into 3"):
        grown(state, 3)


@pytest.mark.parametrize("bits", [2, 3, 4, 6, 8])
def test_training_rounds_as_mlx_does(bits: int) -> None:
    torch.manual_seed(0)
    weights = torch.nn.Parameter((torch.randn(96, 256) * 0.1).bfloat16().float())
    exact = mx.array(weights.detach().numpy()).astype(mx.bfloat16)
    words, scales, biases = mx.quantize(exact, group_size=64, bits=bits)
    stored = (scales.astype(mx.float32), biases.astype(mx.float32))
    wanted = mx.dequantize(words, *stored, group_size=64, bits=bits)

    saved = common.fake_quantize([weights], bits=bits)
    assert np.array_equal(weights.detach().numpy(), np.array(wanted))
    common.restore([weights], saved)
    assert np.array_equal(weights.detach().numpy(), np.array(exact.astype(mx.float32)))


@pytest.mark.parametrize("bits", [3, 4, 6, 8])
def test_what_ships_can_be_trained_on(bits: int) -> None:
    exact = mx.random.normal((32, 128), key=mx.random.key(1))
    words, scales, biases = mx.quantize(exact, group_size=64, bits=bits)
    state = {"a.weight": words, "a.scales": scales, "a.biases": biases}
    found = unpacked({name: torch.from_numpy(np.array(array)) for name, array in state.items()})
    wanted = mx.dequantize(words, scales, biases, group_size=64, bits=bits)
    assert [*found] == ["a.weight"]
    assert np.allclose(found["a.weight"].numpy(), np.array(wanted), atol=1e-6)


def test_rounding_is_that_of_the_file_and_can_be_undone() -> None:
    torch.manual_seed(0)
    model = LanguageModel(LmConfig(**_SMALL, num_layers=2, max_positions=64)).bfloat16().float()
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    rounding = Rounding(model)
    rounding.apply()
    for name, parameter in model.named_parameters():
        levels = 64 if "embed" in name else 16
        groups = parameter.detach().reshape(-1, 64) if parameter.dim() == 2 else []
        assert all(len(group.unique()) <= levels for group in groups), name
        assert torch.equal(parameter.detach(), before[name]) == (parameter.dim() != 2), name
    rounding.undo()
    assert all(torch.equal(p.detach(), before[name]) for name, p in model.named_parameters())
