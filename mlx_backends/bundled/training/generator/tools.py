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
        count = rng.randint(1, 4)
        tools = [InventedTool(self.names) for _ in range(count)]
        schemas = [tool.schema for tool in tools]
        messages: list[Message] = []
        if rng.random() < 0.4:
            messages.append({"role": "system", "content": rng.choice(PLAIN_SYSTEMS)})
        draw = rng.random()
        if draw < 0.12:
            question, *_ = InventedTool(self.names).call()
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
