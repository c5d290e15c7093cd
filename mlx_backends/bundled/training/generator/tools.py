"""Conversations that call tools, and answer from the results."""

import random

from mlx_backends.bundled.training import chatml
from mlx_backends.bundled.training.generator.invented_tool import InventedTool
from mlx_backends.bundled.training.generator.items import Conversation, Message
from mlx_backends.bundled.training.generator.small_talk import PLAIN_SYSTEMS, SMALL_TALK
from mlx_backends.bundled.training.lexicon import Names

NO_TOOL = "None of the tools can do this."


class Tools:
    """Makes conversations that call tools of invented schemas."""

    def __init__(self, names: Names) -> None:
        self.rng: random.Random = names.rng
        self.names = names

    def conversation(self) -> Conversation:
        """Call a tool of an invented schema, then answer from its result."""
        rng = self.rng
        tools = self._tools(rng.choice((1, 2, 2, 3, 4, 5, 6)))
        count = len(tools)
        schemas = [tool.schema for tool in tools]
        messages: list[Message] = []
        if rng.random() < 0.4:
            messages.append({"role": "system", "content": rng.choice(PLAIN_SYSTEMS)})
        draw = rng.random()
        if draw < 0.12:
            question = self._beyond(tools)
            messages += [
                {"role": "user", "content": question},
                {"role": "assistant", "content": NO_TOOL},
            ]
            return Conversation(messages, schemas)
        if draw < 0.17:
            asked, answer = rng.choice(SMALL_TALK)
            messages += [
                {"role": "user", "content": rng.choice(asked)},
                {"role": "assistant", "content": answer},
            ]
            return Conversation(messages, schemas)
        for tool in rng.sample(tools, min(count, rng.choice((1, 1, 2)))):
            question, arguments, result, answer = tool.call()
            name = tool.schema["function"]["name"]
            messages += [
                {"role": "user", "content": question},
                {"role": "assistant", "content": chatml.tool_call_text(name, arguments)},
                {"role": "tool", "content": result},
                {"role": "assistant", "content": answer},
            ]
        return Conversation(messages, schemas)

    def _tools(self, count: int) -> list[InventedTool]:
        """Make tools with names of their own, some of them near misses of each other."""
        rng = self.rng
        tools: list[InventedTool] = []
        while len(tools) < count:
            like = rng.choice(tools) if tools and rng.random() < 0.4 else None
            tool = InventedTool(self.names, like)
            if all(
                _purpose(tool) != _purpose(other) and tool.name != other.name for other in tools
            ):
                tools.append(tool)
        return tools

    def _beyond(self, tools: list[InventedTool]) -> str:
        """Ask for something that none of the tools does."""
        like = self.rng.choice(tools) if self.rng.random() < 0.3 else None
        while True:
            tool = InventedTool(self.names, like)
            if all(_purpose(tool) != _purpose(other) for other in tools):
                return tool.call()[0]


def _purpose(tool: InventedTool) -> tuple[str, ...]:
    return ("look up", tool.attribute) if tool.is_lookup else (tool.verb.base, tool.thing)
