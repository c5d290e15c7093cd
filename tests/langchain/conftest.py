import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer

from mlx_backends import (
    EngineConfig,
    FinishReason,
    MockEngine,
    OverloadedError,
    Request,
    SamplingParams,
    TokenOutput,
    Usage,
    registry,
)
from mlx_backends.engine.handle import OutputChannel, RequestHandle


class HeldEngine(MockEngine):
    """Says one word to each request, then waits for the test; holds ``capacity`` requests."""

    def __init__(self) -> None:
        super().__init__(model_name="held")
        self.capacity = 100
        self.channels: list[OutputChannel] = []
        self.handles: list[RequestHandle] = []  # so that no garbage collection aborts a request

    def submit(
        self,
        prompt_token_ids: Sequence[int],
        sampling_params: SamplingParams | None = None,
        **options: Any,
    ) -> RequestHandle:
        if len(self.channels) == self.capacity:
            raise OverloadedError("full")
        request = Request(request_id="held", prompt_token_ids=tuple(prompt_token_ids))
        channel = OutputChannel()
        channel.put(TokenOutput(request_id="held", token_ids=(0,), text="Once "))
        self.channels.append(channel)
        self.handles.append(RequestHandle(request, channel))
        return self.handles[-1]

    def finish(self, text: str) -> None:
        """End all requests with this text."""
        for channel in self.channels:
            channel.put(
                TokenOutput(
                    request_id="held",
                    token_ids=(1,),
                    text=text,
                    finish_reason=FinishReason.STOP,
                    usage=Usage(prompt_tokens=1, completion_tokens=2),
                )
            )


@pytest.fixture
def held_engine() -> HeldEngine:
    return HeldEngine()


@pytest.fixture
def shared_engines(monkeypatch: pytest.MonkeyPatch) -> dict[EngineConfig, MockEngine]:
    """Mock engines in place of the registry's, by the configuration that asked for them."""
    engines: dict[EngineConfig, MockEngine] = {}

    def get_engine(config: EngineConfig) -> MockEngine:
        name = config.model or "the bundled model"
        return engines.setdefault(config, MockEngine([f"I am {name}."], model_name=name))

    monkeypatch.setattr(registry, "get_engine", get_engine)
    return engines


REASONING_TEMPLATE = (
    "{%- for message in messages %}<|im_start|>{{ message.role }}\n"
    "{%- if message.reasoning_content %}<think>{{ message.reasoning_content }}</think>{%- endif %}"
    "{{ message.content }}<|im_end|>\n{%- endfor %}"
    "{%- if add_generation_prompt %}<|im_start|>assistant\n<think>\n{%- endif %}"
)


@pytest.fixture(scope="session")
def reasoning_lm(tiny_lm: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny Llama with marks of reasoning, which its template opens; the end of its text."""
    folder = tmp_path_factory.mktemp("models") / "reasoning-llama"
    shutil.copytree(tiny_lm, folder)
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    names = iter(("<think>", "</think>"))
    data = json.loads(tokenizer.to_str())
    # The last two merged tokens give their ids up, so that the weights still fit.
    by_id = sorted(data["model"]["vocab"], key=data["model"]["vocab"].__getitem__)
    for token in by_id[-2:]:
        token_id = data["model"]["vocab"].pop(token)
        data["model"]["merges"] = [m for m in data["model"]["merges"] if "".join(m) != token]
        flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized", "special"), False)
        data["added_tokens"].append({"id": token_id, "content": next(names), **flags})
    (folder / "tokenizer.json").write_text(json.dumps(data))
    config = {"eos_token": "<|im_end|>", "chat_template": REASONING_TEMPLATE}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    return folder


@pytest.fixture(autouse=True)
def _no_model_in_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLX_BACKENDS_MODEL", raising=False)
    monkeypatch.delenv("MLX_BACKENDS_EMBED_MODEL", raising=False)
    monkeypatch.delenv("MLX_BACKENDS_RERANK_MODEL", raising=False)
