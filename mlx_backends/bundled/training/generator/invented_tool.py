"""A tool with an invented schema, and requests that need it."""

import json
from collections.abc import Sequence
from functools import cache
from typing import Any

from mlx_backends.bundled.training import grammar, lexicon
from mlx_backends.bundled.training.generator.code_call import asked_as_code
from mlx_backends.bundled.training.generator.parameter import Parameter
from mlx_backends.bundled.training.grammar import capitalize
from mlx_backends.bundled.training.lexicon import Names

# A request, its arguments, the result and the answer.
Call = tuple[str, dict[str, Any], str, str]


class InventedTool:
    """A tool that looks an attribute up, or does something with typed parameters.

    Args:
        names: Source of its words.
        like: A tool that it is easily taken for: the same verb, thing or kind of look-up.

    Attributes:
        name: Its name in the schema.
        schema: In OpenAI's form.
    """

    def __init__(self, names: Names, like: "InventedTool | None" = None) -> None:
        rng = names.rng
        self.rng, self.names = rng, names
        self.is_lookup = like.is_lookup if like else rng.random() < 0.4
        self.attribute = rng.choice(lexicon.ATTRIBUTES)
        self.verb = rng.choice(rng.choice(grammar.VERB_GROUPS))
        self.thing = grammar.thing_name(names)
        if like and rng.random() < 0.5:
            self.verb = like.verb
        elif like:
            self.thing = like.thing
        self.action = f"{self.verb.base} {grammar.indefinite(self.thing)}"
        parameters = [Parameter(names) for _ in range(rng.choice((0, 1, 1, 2, 2, 3, 4)))]
        self.parameters = list({item.name: item for item in parameters}.values())
        name, description, properties = self._lookup() if self.is_lookup else self._action()
        optional = {item.name for item in self.parameters if not item.required}
        self.required = [name for name in properties if self.is_lookup or name not in optional]
        self.name = name.replace("-", "_")
        self.schema = self._schema(self.name, description, properties)

    @property
    def purpose(self) -> tuple[str, ...]:
        """What no other tool of a conversation may share."""
        return ("look up", self.attribute) if self.is_lookup else (self.verb.base, self.thing)

    def call(self, others: Sequence[Any] = ()) -> Call:
        """Make a request that needs this tool and none of the others."""
        return self._call_lookup() if self.is_lookup else self._call_action(others)

    def _schema(self, name: str, description: str, properties: dict[str, Any]) -> dict[str, Any]:
        rng, required = self.rng, self.required
        order = rng.random() < 0.5
        body = (
            {"type": "object", "properties": properties, "required": required}
            if order
            else {"properties": properties, "required": required, "type": "object"}
        )
        if not required and rng.random() < 0.5:
            del body["required"]
        function = {"name": name, "description": description, "parameters": body}
        if rng.random() < 0.3:
            function = {"description": description, "name": name, "parameters": body}
        schema = {"type": "function", "function": function}
        if rng.random() < 0.2:
            schema = {"function": function, "type": "function"}
        return schema

    def _lookup(self) -> tuple[str, str, dict[str, Any]]:
        rng, names = self.rng, self.names
        name = rng.choice(
            (
                f"get_{self.attribute}",
                f"find_{self.attribute}",
                f"{self.attribute}_of",
                f"lookup_{self.attribute}",
                names.identifier(),
            )
        )
        name = name.replace(" ", "_").replace("-", "_")
        description = rng.choice(
            (
                "Return the {a} of {k}.",
                "Look up the {a} of {k}.",
                "Get the {a} for {k}.",
                "{a} of {k}",
            )
        )
        target = names.thing()
        description = capitalize(description.format(a=self.attribute, k=grammar.indefinite(target)))
        key = rng.choice(("name", target.replace(" ", "_"), "query", "entity", "subject", "id"))
        properties = {
            key: {
                "type": "string",
                "description": rng.choice(
                    (
                        f"Name of the {target}",
                        f"The {target}",
                        f"{target} name",
                        f"{target} to look up",
                    )
                ),
            }
        }
        return name, description, properties

    def _action(self) -> tuple[str, str, dict[str, Any]]:
        rng, names = self.rng, self.names
        name = rng.choice(
            (
                f"{self.verb.base}_{self.thing}",
                names.identifier(),
                f"{self.verb.base}_{self.thing.split()[-1]}",
            )
        ).replace(" ", "_")
        description = capitalize(self.action) + rng.choice(
            (".", "", f" of the {grammar.component_name(names)}.")
        )
        properties = {item.name: item.schema() for item in self.parameters}
        return name, description, properties

    def _call_lookup(self) -> Call:
        rng, names = self.rng, self.names
        entity, value = names.name(), names.value()
        question = rng.choice(
            (
                "What is the {a} of {e}?",
                "What is the {a} in {e}?",
                "What is the {a} for {e}?",
                "How is the {a} in {e}?",
                "{a} of {e}",
                "Show the {a} for {e}",
                "Tell me the {a} of {e}.",
                "Which {a} does {e} have?",
                "I need the {a} of {e}.",
                "Find the {a} for {e}.",
                "{e}: {a}?",
                "Use a tool to find the {a} of {e}.",
            )
        ).format(a=self.attribute, e=entity)
        result = rng.choice(
            (
                value,
                json.dumps({self.attribute: value}, ensure_ascii=False),
                json.dumps({"result": value}, ensure_ascii=False),
                f"The {self.attribute} of {entity} is {value}.",
                json.dumps({"name": entity, "value": value}, ensure_ascii=False),
            )
        )
        return capitalize(question), {self.required[0]: entity}, result, value

    def readings(self, values: Sequence[Any]) -> int:
        """Count the ways to give values to the parameters, in their order, without their names."""
        parameters = [] if self.is_lookup else self.parameters

        @cache
        def count(parameter: int, value: int) -> int:
            if parameter == len(parameters):
                return int(value == len(values))
            item = parameters[parameter]
            ways = 0 if item.required else count(parameter + 1, value)
            most = len(values) if item.type == "array" else value + 1
            for end in range(value, min(most, len(values))):
                if not item.takes(values[end]):
                    break
                ways += count(parameter + 1, end + 1)
            return ways

        return count(0, 0)

    def _is_told_by(self, values: dict[str, Any], rivals: Sequence["InventedTool"]) -> bool:
        """Whether values alone tell what is meant, of this tool and of its rivals."""
        said = [
            item
            for value in values.values()
            for item in (value if isinstance(value, list) else [value])
        ]
        return self.readings(said) == 1 and not any(tool.readings(said) for tool in rivals)

    def _call_action(self, others: Sequence[Any]) -> Call:
        rng, names = self.rng, self.names
        given = [item for item in self.parameters if item.required or rng.random() < 0.5]
        values = {item.name: item.value() for item in given}
        if not given:
            return self._call_bare()
        if rng.random() < 0.15:
            is_whole = len(given) == len(self.parameters)
            question = asked_as_code(rng, self.name, values, by_name=None if is_whole else True)
            status = rng.choice(("done", names.number(), names.quantity()))
            return question, values, status, status
        names_thing = rng.random() < 0.2
        rivals = [
            tool
            for tool in others
            if isinstance(tool, InventedTool)
            and tool is not self
            and tool.verb == self.verb
            and not (names_thing and tool.thing != self.thing)
        ]
        if rng.random() < 0.35 and self._is_told_by(values, rivals):
            said = [item.say(values[item.name]) for item in given]
            told = rng.choice((" and ", ", ", " with ", " to ", " for ", " by ")).join(said)
            lead = rng.choice(
                (f"{self.verb.base} {self.thing}",)
                if names_thing
                else (
                    self.verb.base,
                    f"Please {self.verb.base}",
                    f"Can you {self.verb.base}",
                    f"I want to {self.verb.base}",
                )
            )
            status = rng.choice(("done", "ok", names.code(), names.quantity()))
            return (
                capitalize(f"{lead} {told}") + rng.choice((".", "?", "")),
                values,
                json.dumps({"result": status}),
                status,
            )
        told = ", ".join(
            rng.choice(("{n} {v}", "the {n} is {v}", "{n}: {v}", "{n} = {v}")).format(
                n=item.spoken, v=item.say(values[item.name])
            )
            for item in given
        )
        question = rng.choice(
            (
                "Please {a} with {t}.",
                "{a}: {t}.",
                "Can you {a}? {t}.",
                "I want to {a}, {t}.",
                "{a} ({t})",
                "Could you {a} for me, with {t}?",
            )
        ).format(a=self.action, t=told)
        status = rng.choice(("done", "ok", names.code(), names.quantity()))
        result = rng.choice(
            (status, json.dumps({"status": status}), json.dumps({"result": status}))
        )
        return capitalize(question), values, result, status

    def _call_bare(self) -> Call:
        """Ask for an action that takes no arguments."""
        rng = self.rng
        question = rng.choice(_BARE).format(a=self.action, v=self.verb.base, t=self.thing)
        status = rng.choice(("done", "ok", self.names.code(), self.names.quantity()))
        result = rng.choice((status, json.dumps({"status": status}, ensure_ascii=False)))
        return capitalize(question), {}, result, status


_BARE = (
    "{a}.", "Please {a}.", "Can you {a}?", "{v} the {t}.", "I want you to {a}.", "Could you {v} the {t} for me?", "{v} the {t}, please.",
    "It is time to {a}.", "Now {a}.",
)  # fmt: skip
