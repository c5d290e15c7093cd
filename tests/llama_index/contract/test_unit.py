"""The rows of langchain-tests' unit suites, under their names, for the LlamaIndex classes."""

import json

import pytest
from llama_index.core.base.llms.base import BaseLLM
from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.llms.function_calling import FunctionCallingLLM
from llama_index.core.tools import FunctionTool
from pydantic import BaseModel, ValidationError

from mlx_backends.engine.mock import MockEngine
from mlx_backends.llama_index import MLXLLM, MLXEmbedding
from mlx_backends.llama_index._tools import openai_tools

STANDARD = {"temperature": 0.2, "max_tokens": 64, "stop": ["\n"], "seed": 1}


def test_no_overrides_DO_NOT_OVERRIDE():
    """What LlamaIndex builds on the nine abstract methods is its own."""
    own = {name for cls in MLXLLM.__mro__ for name in vars(cls) if "mlx_backends" in cls.__module__}
    assert len(BaseLLM.__abstractmethods__) == 9
    assert own >= BaseLLM.__abstractmethods__ | {"get_tool_calls_from_response"}
    kept = {"predict", "apredict", "stream", "astream", "as_structured_llm"}
    kept |= {name for name in vars(FunctionCallingLLM) if "call" in name or "with_tools" in name}
    kept -= {"get_tool_calls_from_response", "_prepare_chat_with_tools"}
    assert len(kept) > 10
    assert not own & kept


def test_init():
    assert MLXLLM(**STANDARD).temperature == 0.2
    assert MLXEmbedding(embed_batch_size=7).embed_batch_size == 7


def test_init_from_env(monkeypatch):
    monkeypatch.setenv("MLX_BACKENDS_MODEL", "an/lm")
    monkeypatch.setenv("MLX_BACKENDS_EMBED_MODEL", "an/encoder")
    assert MLXLLM().model == "an/lm"
    assert MLXEmbedding().model == MLXEmbedding().model_name == "an/encoder"


def test_init_streaming():
    """There is no switch: each method streams or does not."""
    with pytest.raises(ValidationError, match="streaming"):
        MLXLLM(streaming=True)


def test_bind_tool_pydantic():
    """A function, a coroutine, a pydantic class and a schema are the same tool."""

    class Adder(BaseModel):
        """Add."""

        a: int

    async def adder(a: int) -> int:
        """Add."""
        return a

    def blocking(a: int) -> int:
        """Add."""
        return a

    tools = [
        FunctionTool.from_defaults(blocking, name="adder", description="Add."),
        FunctionTool.from_defaults(async_fn=adder, description="Add."),
        FunctionTool.from_defaults(blocking, name="adder", description="Add.", fn_schema=Adder),
    ]
    written = openai_tools(tools)
    assert openai_tools(written) == written
    for tool in written:
        assert tool["function"]["name"] == "adder"
        assert tool["function"]["parameters"]["properties"]["a"]["type"] == "integer"
        assert tool["function"]["parameters"]["required"] == ["a"]


@pytest.mark.parametrize("mode", ["default", "function", "llm"])
def test_with_structured_output(mode):
    """A structured model is made without asking the engine."""

    class Joke(BaseModel):
        setup: str

    llm = MLXLLM(model="does/not-exist", pydantic_program_mode=mode)
    assert llm.as_structured_llm(Joke).output_cls is Joke


def test_standard_params(events):
    """Observers see the model and its options."""
    llm = MLXLLM(engine=MockEngine(), **STANDARD)
    llm.chat([ChatMessage("Hi")])
    start = events.events[0].model_dict
    assert start["class_name"] == "MLXLLM"
    assert STANDARD.items() <= start.items()
    assert MLXLLM(model="a/b").to_payload()["model"] == "a/b"


def test_standard_params_model_override(events, monkeypatch):
    """A call's own options are in its events."""
    llm = MLXLLM(engine=MockEngine())
    monkeypatch.setattr(type(llm), "_engine", lambda self, model=None: self.engine)
    llm.chat([ChatMessage("Hi")], model="another/model", temperature=0.9)
    expected = {"model": "another/model", "temperature": 0.9}
    assert events.events[0].additional_kwargs == expected


@pytest.mark.parametrize("component", [MLXLLM(model="a/b", **STANDARD), MLXEmbedding(model="a/b")])
def test_serdes(component):
    data = json.loads(component.to_json())
    again = type(component).from_dict(data)
    assert again.to_dict() == component.to_dict() == data
    assert type(component).from_json(component.to_json()).to_dict() == data


def test_init_time():
    """Nothing is loaded: a thousand models of a folder that does not exist."""
    models = [MLXLLM(model="does/not-exist", **STANDARD) for _ in range(1_000)]
    assert len(models) == 1_000
