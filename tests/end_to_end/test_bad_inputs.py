"""What callers and model folders can do wrong: a typed error within 2 seconds, and life goes on."""

import json
import time
from contextlib import contextmanager

import pytest

from mlx_backends import Engine, EngineConfig, SamplingParams, bundled
from mlx_backends.errors import (
    ChatTemplateError,
    ConfigError,
    ContextLengthError,
    MLXBackendsError,
    ModelLoadError,
    ModelNotFoundError,
    RequestError,
    UnsupportedModelError,
)
from mlx_backends.langchain import ChatMLX
from mlx_backends.llama_index import MLXLLM

LIMIT_S = 2.0
ONE_TOKEN = SamplingParams(max_tokens=1)


@pytest.fixture(scope="module")
def engine():
    with Engine(EngineConfig(model=str(bundled.path("lm")))) as engine:
        engine.submit([5], ONE_TOKEN).result()  # the limits below measure the fault alone
        yield engine


@contextmanager
def fails_fast(error: type[MLXBackendsError]):
    start = time.perf_counter()
    with pytest.raises(error):
        yield
    assert time.perf_counter() - start < LIMIT_S


@pytest.fixture(autouse=True)
def _still_serves(engine):
    yield
    assert engine.submit([5], ONE_TOKEN).result().finish_reason is not None


def chat_template(folder, template):
    path = folder / "tokenizer_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "chat_template": template}))
    return folder


def test_an_unknown_option(engine):
    with fails_fast(ConfigError):
        ChatMLX(engine=engine).invoke("Hello", temprature=1)
    with fails_fast(ConfigError):
        MLXLLM(engine=engine).complete("Hello", temprature=1)


@pytest.mark.parametrize("unit", ["word ", "a", " ", "\n", "é", "你好", "🙂", "<|im_end|>", "1"])
def test_a_prompt_of_10_megabytes(engine, unit):
    text = unit * (10_000_000 // len(unit.encode()))
    with fails_fast(RequestError):
        ChatMLX(engine=engine).invoke(text)


def test_a_prompt_over_the_context_window(engine):
    with fails_fast(ContextLengthError):
        ChatMLX(engine=engine).invoke("word " * 6_000)


def test_an_empty_prompt(engine):
    with fails_fast(RequestError):
        ChatMLX(engine=engine).invoke([])
    with fails_fast(RequestError):
        MLXLLM(engine=engine).complete("", formatted=True)


def test_a_missing_folder(tmp_path):
    with fails_fast(ModelNotFoundError):
        ChatMLX(model=str(tmp_path / "none")).invoke("Hello")


def test_a_gguf_file(tmp_path):
    (tmp_path / "model.gguf").write_bytes(b"GGUF\x03\x00\x00\x00" + b"\xff" * 100)
    with fails_fast(UnsupportedModelError):
        ChatMLX(model=str(tmp_path / "model.gguf")).invoke("Hello")


@pytest.mark.parametrize(
    "text", ["{", "[]", '{"model_type": "llama", "num_hidden_layers": 1000000}']
)
def test_a_malformed_config(make_lm, text):
    folder = make_lm()
    (folder / "config.json").write_text(text)
    with fails_fast(ModelLoadError):
        ChatMLX(model=str(folder)).invoke("Hello")


@pytest.mark.parametrize(
    "entry",
    [
        {"dtype": "F32", "shape": [-4, -8], "data_offsets": [0, 128]},
        {"dtype": "F32", "shape": [4, 8], "data_offsets": [64, 192]},
        {"dtype": "F32", "shape": [4, 800], "data_offsets": [0, 12800]},
    ],
)
def test_malformed_weights(make_lm, entry):
    folder = make_lm()
    header = json.dumps({"model.norm.weight": entry}).encode()
    data = len(header).to_bytes(8, "little") + header + bytes(128)
    (folder / "model.safetensors").write_bytes(data)
    with fails_fast(ModelLoadError):
        ChatMLX(model=str(folder)).invoke("Hello")


@pytest.mark.parametrize(
    "template",
    [
        "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ lipsum.__globals__['os'].system('true') }}",
        "{{ 'a' * 10**10 }}",
        "{% set ns = namespace(x='aaaa') %}{% for _ in range(60) %}{% set ns.x = ns.x ~ ns.x %}"
        "{% endfor %}{{ ns.x }}",
        "{{ raise_exception('no') }}",
        "{% if %}",
    ],
)
def test_a_hostile_chat_template(make_lm, template):
    with fails_fast(ChatTemplateError):
        ChatMLX(model=str(chat_template(make_lm(), template))).invoke("Hello")
