"""LangChain's own conformance suites, without a model."""

import importlib
from typing import Any

import pytest
from langchain_tests.unit_tests import ChatModelUnitTests, EmbeddingsUnitTests

from mlx_backends import MockEngine
from mlx_backends.langchain import ChatMLX, MLXEmbeddings


class TestChatMLX(ChatModelUnitTests):
    @property
    def chat_model_class(self) -> type[ChatMLX]:
        return ChatMLX

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {"model": "some/model"}

    @property
    def init_from_env_params(self) -> tuple[dict[str, str], dict[str, Any], dict[str, Any]]:
        return {"MLX_BACKENDS_MODEL": "from/env"}, {}, {"model": "from/env"}

    @property
    def model_override_value(self) -> str:
        return "another/model"


class TestChatMLXOnOwnEngine(TestChatMLX):
    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {"engine": MockEngine(model_name="some/model")}


class TestMLXEmbeddings(EmbeddingsUnitTests):
    @property
    def embeddings_class(self) -> type[MLXEmbeddings]:
        return MLXEmbeddings

    @property
    def embedding_model_params(self) -> dict[str, Any]:
        return {"model": "some/encoder"}

    @property
    def init_from_env_params(self) -> tuple[dict[str, str], dict[str, Any], dict[str, Any]]:
        return {"MLX_BACKENDS_EMBED_MODEL": "from/env"}, {}, {"model": "from/env"}


@pytest.fixture(autouse=True)
def _listed_by_langchain(monkeypatch: pytest.MonkeyPatch) -> None:
    """Put ``ChatMLX`` on the list of classes that ``load(allowed_objects="all")`` admits.

    The suite's ``test_serdes`` loads so, and the list, a part of langchain-core, names packages of
    LangChain's own only. How a user loads, without any of this, is tested in test_options.py.
    """
    # By its name, because the package hides this module behind the function ``load``.
    langchain_load = importlib.import_module("langchain_core.load.load")
    path = tuple(ChatMLX.lc_id())
    listed = {**langchain_load.ALL_SERIALIZABLE_MAPPINGS, path: path}
    monkeypatch.setattr(langchain_load, "ALL_SERIALIZABLE_MAPPINGS", listed)
    monkeypatch.setattr(langchain_load, "_default_class_paths_cache", {})
