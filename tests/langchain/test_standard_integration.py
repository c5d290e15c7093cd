"""LangChain's own conformance suites on the bundled models, through the real engine.

Nothing is overridden and nothing is marked as expected to fail. What the suites assert weakly is
asserted strongly in ``test_chat_models.py`` and ``test_constrained.py``.
"""

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import AIMessage
from langchain_tests.integration_tests import ChatModelIntegrationTests, EmbeddingsIntegrationTests

from mlx_backends import bundled, registry
from mlx_backends.langchain import ChatMLX, MLXEmbeddings

LM = str(bundled.path("lm"))


class ChatMLXStandard(ChatModelIntegrationTests):
    """What holds for each of the three methods of structured output."""

    @pytest.fixture(autouse=True)
    def _reasoning_model(self, reasoning_lm: Path) -> None:
        self.reasoning_lm = str(reasoning_lm)

    @property
    def chat_model_class(self) -> type[ChatMLX]:
        return ChatMLX

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {"model": LM, "max_tokens": 64}

    @property
    def supports_json_mode(self) -> bool:
        return True

    @property
    def supports_anthropic_inputs(self) -> bool:
        return True

    @property
    def model_override_value(self) -> str:
        return "bundled"

    @property
    def init_from_env_params(self) -> tuple[dict[str, str], dict[str, Any], dict[str, Any]]:
        return {"MLX_BACKENDS_MODEL": "from/env"}, {}, {"model": "from/env"}

    @property
    def supported_usage_metadata_details(self) -> dict[str, list[Any]]:
        details = ["reasoning_output", "cache_read_input", "cache_creation_input"]
        return {"invoke": details, "stream": details}

    def invoke_with_reasoning_output(self, *, stream: bool = False) -> AIMessage:
        llm = ChatMLX(model=self.reasoning_lm, max_tokens=12)
        message = _answered(llm, "Why?", stream=stream)
        assert message.usage_metadata is not None
        assert message.usage_metadata["output_token_details"]["reasoning"] > 0
        assert any(block["type"] == "reasoning" for block in message.content_blocks)
        return message

    def invoke_with_cache_read_input(self, *, stream: bool = False) -> AIMessage:
        llm = ChatMLX(**self.chat_model_params)
        question = f"{'The sky is blue and the sea is deep. ' * 20} What is deep?"
        _answered(llm, question, stream=stream)
        message = _answered(llm, question, stream=stream)
        assert message.usage_metadata is not None
        assert message.usage_metadata["input_token_details"]["cache_read"] > 0
        return message

    def invoke_with_cache_creation_input(self, *, stream: bool = False) -> AIMessage:
        question = f"{uuid.uuid4()} {'Something new. ' * 30}"
        message = _answered(ChatMLX(**self.chat_model_params), question, stream=stream)
        assert message.usage_metadata is not None
        assert message.usage_metadata["input_token_details"]["cache_creation"] > 0
        return message


class TestJsonSchema(ChatMLXStandard):
    @property
    def structured_output_kwargs(self) -> dict[str, Any]:
        return {"method": "json_schema"}


class TestFunctionCalling(ChatMLXStandard):
    @property
    def structured_output_kwargs(self) -> dict[str, Any]:
        return {"method": "function_calling"}


class TestJsonMode(ChatMLXStandard):
    @property
    def structured_output_kwargs(self) -> dict[str, Any]:
        return {"method": "json_mode"}


class TestMLXEmbeddings(EmbeddingsIntegrationTests):
    @property
    def embeddings_class(self) -> type[MLXEmbeddings]:
        return MLXEmbeddings

    @property
    def embedding_model_params(self) -> dict[str, Any]:
        return {"model": "bundled"}


def _answered(llm: ChatMLX, question: str, *, stream: bool) -> AIMessage:
    if not stream:
        return llm.invoke(question)
    chunks = list(llm.stream(question))
    message = chunks[0]
    for chunk in chunks[1:]:
        message += chunk
    return message


@pytest.fixture(autouse=True, scope="module")
def _closed_engines() -> Iterator[None]:
    yield
    registry.close_all()
