"""What ``ChatMLX`` adds to the engine for each streamed token, and what making one costs.

Run: ``python tests/bench/langchain_overhead.py``. The engine recites, so all of the difference is
the adapter's; LangChain's own share (its callbacks and run tracking) is shown apart.
"""

import statistics
import time
from collections.abc import Callable, Iterable

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessageChunk, HumanMessage
from langchain_core.outputs import ChatGenerationChunk

from mlx_backends import MockEngine
from mlx_backends.langchain import ChatMLX

NUM_TOKENS = 2_000
ROUNDS = 9


class Reciter(BaseChatModel):
    """The least that a chat model can be: LangChain's own cost."""

    @property
    def _llm_type(self) -> str:
        return "reciter"

    def _generate(self, *args, **kwargs):
        raise NotImplementedError

    def _stream(self, *args, **kwargs):
        for _ in range(NUM_TOKENS):
            yield ChatGenerationChunk(message=AIMessageChunk(content="word "))


def drain(stream: Iterable[object]) -> None:
    for _ in stream:
        pass


def median_us(run: Callable[[], object], count: int) -> float:
    """Median time of a run in microseconds, divided by ``count``."""
    times = []
    for _ in range(ROUNDS):
        begun = time.process_time()
        run()
        times.append((time.process_time() - begun) / count * 1e6)
    return statistics.median(times)


def main() -> dict[str, float]:
    engine = MockEngine(["word " * NUM_TOKENS])
    llm = ChatMLX(engine=engine)
    messages = [HumanMessage("Hi")]
    alone = median_us(lambda: drain(engine.stream(engine.submit([1]))), NUM_TOKENS)
    adapter = median_us(lambda: drain(llm._stream(messages)), NUM_TOKENS)
    whole = median_us(lambda: drain(llm.stream(messages)), NUM_TOKENS)
    framework = median_us(lambda: drain(Reciter().stream(messages)), NUM_TOKENS)
    made = median_us(lambda: ChatMLX(model="some/model", temperature=0), 1)
    figures = {
        "adapter over engine, us a token": adapter - alone,
        "LangChain itself, us a token": framework,
        "stream() in all, us a token": whole,
        "constructor, us": made,
    }
    for name, value in figures.items():
        print(f"{name:34} {value:8.1f}")
    return figures


if __name__ == "__main__":
    main()
