"""An invented project: its names, which share prefixes as those of a real one do."""

from mlx_backends.bundled.training.lexicon import Names

KINDS = {
    "option": ("option", "option", "flag", "switch", "setting", "parameter", "argument"),
    "command": ("command", "command", "subcommand", "call"),
    "variable": ("environment variable", "variable", "environment variable", "setting"),
    "setting": ("setting", "option", "parameter", "key", "field", "configuration option"),
    "argument": ("argument", "parameter", "option", "keyword", "keyword argument"),
    "function": ("function", "call", "method", "function", "routine"),
    "class": ("class", "type", "object", "class"),
    "extra": ("extra", "extra", "optional dependency", "package extra"),
    "error": ("error", "exception", "error class", "error", "failure"),
    "target": ("target", "command", "make target", "rule"),
}


class Project:
    """Makes names of one project, all different.

    Attributes:
        name: As prose writes it.
        package: As an installer and an import write it.
        tool: Its command.
    """

    def __init__(self, names: Names) -> None:
        rng = names.rng
        self.rng, self.names = rng, names
        self.name = names.name()
        stem = self.name.split()[0].lower().replace("-", "_")
        self.package = stem if rng.random() < 0.6 else f"{stem}_{names.part()}"
        self.tool = rng.choice((self.package.replace("_", "-"), stem, stem[:4]))
        self.prefix = self.package.upper()
        self._used: set[str] = set()

    def code(self, kind: str) -> str:
        """Make a new name of a kind, without backticks."""
        while True:
            text = str(getattr(self, f"_{kind}")())
            if text not in self._used:
                self._used.add(text)
                return text

    def _option(self) -> str:
        names, rng = self.names, self.rng
        flag = names.flag()
        if rng.random() < 0.15:
            flag = f"--no-{flag[2:]}"
        draw = rng.random()
        if draw < 0.12:
            return f"{flag} {rng.choice((names.part().upper(), names.number(), names.part()))}"
        return f"-{names.part()[0]}, {flag}" if draw < 0.18 else flag

    def _command(self) -> str:
        names, rng = self.names, self.rng
        text = f"{self.tool} {names.part()}"
        draw = rng.random()
        if draw < 0.2:
            text += f" {names.flag()}"
        elif draw < 0.32:
            text += f" {rng.choice((names.file_path, names.kebab, names.part))()}"
        elif draw < 0.4:
            text = f"python -m {self.package} {names.part()}"
        return text

    def _variable(self) -> str:
        name = f"{self.prefix}_{self.names.identifier().upper()}"
        return f"{name}={self.rng.choice('0011248')}" if self.rng.random() < 0.2 else name

    def _setting(self) -> str:
        text = self.names.identifier()
        return f"{self.names.part()}.{text}" if self.rng.random() < 0.2 else text

    def _argument(self) -> str:
        text = self.names.identifier()
        if self.rng.random() < 0.4:
            value = self.rng.choice(
                ("True", "False", "None", self.names.number(), f'"{self.names.part()}"')
            )
            return f"{text}={value}"
        return text

    def _function(self) -> str:
        return self.names.function()

    def _class(self) -> str:
        return self.names.class_name()

    def _extra(self) -> str:
        rng = self.rng
        return f"{self.names.part()}{rng.choice(('', '', '', rng.randint(2, 14)))}"

    def _error(self) -> str:
        return self.names.class_name("Error" if self.rng.random() < 0.9 else "Exception")

    def _target(self) -> str:
        return f"make {self.names.kebab()}"
