"""What a configuration takes and refuses."""

import subprocess
import sys

import pytest

from mlx_backends import QuantizationConfig
from mlx_backends.errors import ConfigError


def test_the_lectures_dictionary_is_read():
    data = [[1, 2, 3]]
    config = QuantizationConfig.from_dict(
        {
            "weight_bits": 8,
            "activation_bits": 8,
            "method": "static",
            "calibration_data": data,
        }
    )
    assert (config.method, config.bits, config.activation_bits) == ("static", 8, 8)
    assert config.calibration_data is data
    assert config.group == 64


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"weight_bits": 7}, "weight_bits must be one of 2, 3, 4, 5, 6, 8; got 7"),
        ({"weight_bits": True}, "weight_bits"),
        ({"weight_bits": "4"}, "weight_bits"),
        ({"group_size": 48}, "group_size must be one of 32, 64, 128; got 48"),
        ({"method": "magic"}, "method must be one of ptq, dynamic, static, qat"),
        ({"mode": "mxfp4", "weight_bits": 8}, "has 4 bits in groups of 32"),
        ({"mode": "mxfp8", "group_size": 64}, "has 8 bits in groups of 32"),
        ({"activation_bits": 8}, "rounds weights only"),
        ({"method": "dynamic", "activation_bits": 4}, "takes 8"),
        ({"method": "dynamic", "mode": "mxfp4"}, "no form for activations"),
        ({"method": "static", "mode": "nvfp4"}, "scales at run time"),
        ({"algorithm": "awq", "method": "dynamic"}, "goes with method='ptq'"),
        ({"algorithm": "mixed", "weight_bits": 4}, "target_bits must lie between 4.5 and 5.5"),
        ({"algorithm": "mixed", "weight_bits": 4, "target_bits": 9.0}, "between"),
        ({"target_bits": 4.7}, "go with algorithm='mixed'"),
        ({"percentile": 0}, "percentile"),
        ({"bit": 4}, "Unknown quantization options: 'bit'"),
    ],
)
def test_bad_options_are_refused_with_what_is_allowed(options, said):
    with pytest.raises(ConfigError, match=said):
        QuantizationConfig.from_dict(options)


def test_defaults_follow_the_mode_and_the_method():
    assert QuantizationConfig(mode="nvfp4").group == 16
    assert QuantizationConfig(mode="mxfp8").bits == 8
    assert QuantizationConfig(method="dynamic", weight_bits=8).activation_bits == 8
    assert QuantizationConfig(method="dynamic", mode="nvfp4").activation_bits == 4
    assert QuantizationConfig(method="qat").activation_bits is None
    assert QuantizationConfig(weight_bits=2).bits_of_embeddings == 2


def test_the_configuration_imports_no_mlx():
    code = (
        "from mlx_backends import QuantizationConfig; QuantizationConfig(weight_bits=4); "
        "import sys; assert 'mlx.core' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
