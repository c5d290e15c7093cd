"""What the adapters add to the engine: time for each streamed token, and for making one.

The engine recites, so that a stream costs what the code above it costs. Times are of the processor,
and the ways to read a stream take turns, so that other work on the machine matters little.
"""

import asyncio
import statistics
import time
from collections.abc import AsyncIterable, Callable, Iterable, Mapping
from dataclasses import dataclass

from mlx_backends import MockEngine

Work = Callable[[], object]

# What a streamed token may cost above the engine, and what a constructor may cost.
MAX_TOKEN_US = 30.0
MAX_CONSTRUCTOR_US = 1_000.0
_CONSTRUCTIONS = 200


@dataclass(frozen=True, slots=True)
class Cost:
    """One row of the report.

    Attributes:
        name: What is measured.
        us: Microseconds of processor time, of a token or of one construction.
        limit_us: What it should not exceed; None if that is not this project's to say.
    """

    name: str
    us: float
    limit_us: float | None = None

    def line(self) -> str:
        limit = "" if self.limit_us is None else f"   (at most {self.limit_us:,.0f})"
        return f"{self.name:<62} {self.us:9.1f}{limit}"


def measure(*, rounds: int, num_tokens: int) -> list[Cost]:
    """Costs of both frameworks' adapters, medians over the rounds."""
    engine = MockEngine(["word " * num_tokens])
    readers = {**_engine_alone(engine), **_langchain(engine, num_tokens), **_llama_index(engine)}
    read = _medians_us(readers, rounds, count=num_tokens)
    made = _medians_us(_constructors(), rounds, count=_CONSTRUCTIONS)
    alone, alone_async = read.pop("engine alone"), read.pop("engine alone, async")
    return [
        Cost("engine that recites, a token", alone),
        Cost("ChatMLX over the engine, a token", read["ChatMLX"] - alone, MAX_TOKEN_US),
        Cost(
            "ChatMLX over the engine, async, a token",
            read["ChatMLX, async"] - alone_async,
            MAX_TOKEN_US,
        ),
        Cost("LangChain around a model that does nothing, a token", read["LangChain"]),
        Cost("ChatMLX.stream() in all, a token", read["ChatMLX.stream"]),
        Cost("LlamaIndex MLXLLM over the engine, a token", read["MLXLLM"] - alone),
        Cost("LlamaIndex MLXLLM.stream_chat() in all, a token", read["MLXLLM.stream_chat"]),
        *(Cost(f"{name}, constructor", us, MAX_CONSTRUCTOR_US) for name, us in made.items()),
    ]


def _engine_alone(engine: MockEngine) -> dict[str, Work]:
    return {
        "engine alone": lambda: _drain(engine.stream(engine.submit([1]))),
        "engine alone, async": lambda: _adrain(engine.astream(engine.submit([1]))),
    }


def _langchain(engine: MockEngine, num_tokens: int) -> dict[str, Work]:
    from langchain_core.language_models import BaseChatModel
    from langchain_core.messages import AIMessageChunk, BaseMessage, HumanMessage
    from langchain_core.outputs import ChatGenerationChunk

    from mlx_backends.langchain import ChatMLX

    class Reciter(BaseChatModel):
        """The least that a chat model can be."""

        @property
        def _llm_type(self) -> str:
            return "reciter"

        def _generate(self, *args, **kwargs):  # noqa: ANN002, ANN003, ANN202
            raise NotImplementedError

        def _stream(self, *args, **kwargs):  # noqa: ANN002, ANN003, ANN202
            for _ in range(num_tokens):
                yield ChatGenerationChunk(message=AIMessageChunk(content="word "))

    llm = ChatMLX(engine=engine)
    messages: list[BaseMessage] = [HumanMessage("Hi")]
    return {
        "ChatMLX": lambda: _drain(llm._stream(messages)),
        "ChatMLX, async": lambda: _adrain(llm._astream(messages)),
        "ChatMLX.stream": lambda: _drain(llm.stream(messages)),
        "LangChain": lambda: _drain(Reciter().stream(messages)),
    }


def _llama_index(engine: MockEngine) -> dict[str, Work]:
    from llama_index.core.base.llms.types import ChatMessage

    from mlx_backends.llama_index import MLXLLM
    from mlx_backends.llama_index._completion import Completion

    llm, messages = MLXLLM(engine=engine), [ChatMessage("Hi")]
    return {
        "MLXLLM": lambda: _drain(llm._ask_chat(messages, {}).stream(Completion.to_chat_response)),
        "MLXLLM.stream_chat": lambda: _drain(llm.stream_chat(messages)),
    }


def _constructors() -> dict[str, Work]:
    from mlx_backends import langchain, llama_index

    classes = {
        "ChatMLX": langchain.ChatMLX,
        "LangChain MLXLLM": langchain.MLXLLM,
        "MLXEmbeddings": langchain.MLXEmbeddings,
        "LangChain MLXRerank": langchain.MLXRerank,
        "LlamaIndex MLXLLM": llama_index.MLXLLM,
        "MLXEmbedding": llama_index.MLXEmbedding,
        "LlamaIndex MLXRerank": llama_index.MLXRerank,
    }
    return {
        name: lambda made=made: [made(model="bundled") for _ in range(_CONSTRUCTIONS)]
        for name, made in classes.items()
    }


def _medians_us(works: Mapping[str, Work], rounds: int, *, count: int) -> dict[str, float]:
    """Microseconds of each work, divided by ``count``; one round before the measured ones."""
    times: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(rounds + 1):
        for name, work in works.items():
            begun = time.process_time()
            work()
            times[name].append((time.process_time() - begun) / count * 1e6)
    return {name: statistics.median(taken[1:]) for name, taken in times.items()}


def _drain(items: Iterable[object]) -> None:
    for _ in items:
        pass


def _adrain(items: AsyncIterable[object]) -> None:
    async def drain() -> None:
        async for _ in items:
            pass

    asyncio.run(drain())
