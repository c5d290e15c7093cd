"""LlamaIndex: an agent that calls a tool, and prints each step."""

import asyncio

from llama_index.core.agent.workflow import FunctionAgent, ToolCallResult

from mlx_backends.llama_index import MLXLLM


def get_weather(city: str) -> str:
    """Get the weather of a city."""
    return {"Oslo": "rain, 12 degrees"}.get(city, "unknown")


async def ask(model: str, question: str) -> str:
    llm = MLXLLM(model=model, temperature=0, max_tokens=64)
    handler = FunctionAgent(tools=[get_weather], llm=llm).run(question)
    async for event in handler.stream_events():
        if isinstance(event, ToolCallResult):
            print(f"{event.tool_name}({event.tool_kwargs}) -> {event.tool_output}")
    return str(await handler)


def main(model: str = "bundled") -> str:
    answer = asyncio.run(ask(model, "What is the weather in Oslo?"))
    print(answer)
    return answer


if __name__ == "__main__":
    main()
