"""Options are checked when they are made, with messages that name them."""

import pickle

import pytest

from mlx_backends.config import EmbedderConfig, EngineConfig, parse_bytes
from mlx_backends.core import SamplingParams, Usage
from mlx_backends.errors import ConfigError


@pytest.mark.parametrize(
    "options",
    [
        {"max_tokens": 0},
        {"max_tokens": 1.5},
        {"max_tokens": True},
        {"max_tokens": "12"},
        {"temperature": -0.1},
        {"temperature": float("nan")},
        {"temperature": float("inf")},
        {"temperature": "hot"},
        {"top_p": 1.1},
        {"top_p": -1},
        {"top_k": -1},
        {"min_p": 2},
        {"repetition_penalty": 0},
        {"presence_penalty": 3},
        {"seed": -1},
        {"seed": 2**64},
        {"stop": ("",)},
        {"stop": (1,)},
        {"stop": ("x" * 5_000,)},
        {"stop": tuple(map(str, range(65)))},
        {"stop": 5},
        {"stop_token_ids": (-1,)},
        {"stop_token_ids": 5},
        {"logprobs": "yes"},
        {"ignore_eos": 1},
        {"top_logprobs": 101},
    ],
)
def test_values_out_of_range_are_refused_by_name(options):
    with pytest.raises(ConfigError, match=next(iter(options))):
        SamplingParams(**options)


def test_unknown_options_are_errors_that_list_the_known_ones():
    with pytest.raises(ConfigError, match=r"'temprature'.*temperature"):
        SamplingParams.from_options(temprature=1.0)


def test_none_stands_for_the_default():
    assert SamplingParams.from_options(temperature=None, stop=None) == SamplingParams()


def test_one_stop_string_may_stand_alone():
    assert SamplingParams(stop="END").stop == ("END",)


def test_params_are_values():
    params = SamplingParams(stop=["a", "b"], seed=3)
    assert pickle.loads(pickle.dumps(params)) == params
    assert hash(params) == hash(SamplingParams(stop=("a", "b"), seed=3))


def test_usage_adds_up():
    assert Usage(prompt_tokens=3, completion_tokens=4).total_tokens == 7


@pytest.mark.parametrize(
    "options",
    [
        {"device": "tpu"},
        {"dtype": "int8"},
        {"max_model_len": 0},
        {"max_num_seqs": -1},
        {"prefill_chunk_size": "512"},
        {"memory_limit_bytes": 0},
    ],
)
def test_engine_config_refuses_what_it_cannot_be(options):
    with pytest.raises(ConfigError, match=next(iter(options))):
        EngineConfig(**options)


def test_embedder_config_refuses_an_unknown_overflow_policy():
    with pytest.raises(ConfigError, match="on_overflow"):
        EmbedderConfig(on_overflow="cut")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "size"),
    [("6GB", 6 * 10**9), ("512 MiB", 2**29), ("1000", 1000), ("1.5k", 1500), (" 2tib ", 2**41)],
)
def test_sizes_are_read_in_both_kinds_of_units(text, size):
    assert parse_bytes(text) == size


@pytest.mark.parametrize("text", ["", "GB", "-1GB", "6XB", "1e9", "5 i b"])
def test_a_text_that_is_no_size_is_an_error(text):
    with pytest.raises(ConfigError):
        parse_bytes(text)
