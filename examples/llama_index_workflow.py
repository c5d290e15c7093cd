"""LlamaIndex: a workflow of an agent, whose steps are printed as they happen."""

import asyncio

from llama_index.core.agent.workflow import AgentStream, AgentWorkflow, ToolCall, ToolCallResult

from mlx_backends.llama_index import MLXLLM


def get_port(name: str) -> str:
    """Get the port of a server."""
    return {"Harlow": "8080", "Venmor": "9200"}.get(name, "unknown")


def get_weather(city: str) -> str:
    """Get the weather of a city."""
    return {"Oslo": "rain, 12 degrees"}.get(city, "unknown")


async def ask(model: str, questions: list[str]) -> list[str]:
    llm = MLXLLM(model=model, temperature=0, max_tokens=64)
    answers = []
    for question in questions:
        # It takes a function agent, because the model's metadata say that it calls tools.
        workflow = AgentWorkflow.from_tools_or_functions([get_port, get_weather], llm=llm)
        handler = workflow.run(question)
        async for event in handler.stream_events():
            match event:
                case AgentStream():
                    print(event.delta, end="")
                case ToolCallResult():
                    print(f" -> {event.tool_output}")
                case ToolCall():
                    print(f"{event.tool_name}({event.tool_kwargs})", end="")
        answers.append(str(await handler))
        print()
    return answers


def main(model: str = "bundled") -> list[str]:
    return asyncio.run(ask(model, ["What is the port of Harlow?", "What is the weather in Oslo?"]))


if __name__ == "__main__":
    main()
