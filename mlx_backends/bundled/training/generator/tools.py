"""Conversations that call tools, and answer from the results."""

import random

from mlx_backends.bundled.training import chatml
from mlx_backends.bundled.training.generator.everyday import EverydayTool
from mlx_backends.bundled.training.generator.invented_tool import InventedTool
from mlx_backends.bundled.training.generator.items import Conversation, Message
from mlx_backends.bundled.training.generator.small_talk import PLAIN_SYSTEMS, SMALL_TALK
from mlx_backends.bundled.training.lexicon import Names

NO_TOOL = "None of the tools can do this."

Tool = InventedTool | EverydayTool


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
        is_example = rng.random() < 0.15  # earlier calls show how, without an answer in words
        for tool in rng.choices(tools, k=min(count + 1, rng.choice((1, 1, 2, 3)))):
            question, arguments, result, answer = tool.call(tools)
            messages += [
                {"role": "user", "content": question},
                {"role": "assistant", "content": chatml.tool_call_text(tool.name, arguments)},
                {"role": "tool", "content": result},
            ]
            messages += [] if is_example else [{"role": "assistant", "content": answer}]
        return Conversation(messages, schemas)

    def _tools(self, count: int) -> list[Tool]:
        """Make tools with names of their own, some of them near misses of each other."""
        rng = self.rng
        tools: list[Tool] = []
        while len(tools) < count:
            tool = EverydayTool(self.names) if rng.random() < 0.35 else self._invented(tools, 0.4)
            if all(tool.purpose != other.purpose and tool.name != other.name for other in tools):
                tools.append(tool)
        return tools

    def _invented(self, tools: list[Tool], chance: float) -> InventedTool:
        """Make a tool, by chance a near miss of one that is there."""
        models = [tool for tool in tools if isinstance(tool, InventedTool)]
        like = self.rng.choice(models) if models and self.rng.random() < chance else None
        return InventedTool(self.names, like)

    def _beyond(self, tools: list[Tool]) -> str:
        """Ask for something that none of the tools does."""
        while True:
            tool = self._invented(tools, 0.3)
            if all(tool.purpose != other.purpose for other in tools):
                return tool.call()[0]
