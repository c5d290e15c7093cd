"""The child process that renders one chat template. A script: the package never imports it.

Owns the sandbox: which names, filters and tags a template sees (those of transformers'
``render_jinja_template``) and what the process may still do. It knows nothing of chats or models,
and imports nothing of this package, so that it starts in some 0.1 s without its dependencies.

Its one socket is file descriptor 0. A frame is a length (4 bytes, big endian) and JSON. The first
request is ``{"template": source}``, all others are ``{"context": variables, "now": iso_time}``;
replies are ``{"variables": names}``, ``{"text": text}`` or ``{"error": message, "kind": kind}``.
"""

import contextlib
import importlib
import json
import os
import resource
import select
import signal
import socket
import struct
import sys
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any

sys.path.extend(sys.argv[2:])

import jinja2  # found through the folders that the parent names
import jinja2.exceptions
import jinja2.ext
import jinja2.meta
import jinja2.nodes
import jinja2.parser
import jinja2.sandbox

# jinja2 itself imports this at the first error, which is too late under the limits.
importlib.import_module("jinja2.debug")

MAX_OUTPUT_CHARS = 16 * 2**20
MAX_ERROR_CHARS = 2_000
# Twice what the parent allows: this one only matters if the parent is gone.
SELF_DESTRUCT_S = 2.0
PARENT_CHECK_S = 10.0
LIMITS = {
    "RLIMIT_AS": 512 * 2**20,
    "RLIMIT_CORE": 0,
    "RLIMIT_FSIZE": 0,
    "RLIMIT_NOFILE": 16,
    "RLIMIT_NPROC": 0,
}


class RaisedByTemplateError(jinja2.TemplateError):
    """The template called ``raise_exception``."""


class GenerationTag(jinja2.ext.Extension):
    """Accepts ``{% generation %}``, which marks the assistant's words for training."""

    tags = {"generation"}  # noqa: RUF012 - jinja2 reads it from the class

    def parse(self, parser: jinja2.parser.Parser) -> jinja2.nodes.Node:
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return jinja2.nodes.CallBlock(self.call_method("_same"), [], [], body).set_lineno(line)

    def _same(self, caller: Callable[[], str]) -> str:
        return caller()


class Namespace(jinja2.utils.Namespace):
    """``namespace()`` without names that could reach into Python."""

    def __init__(*args: Any, **kwargs: Any) -> None:  # type: ignore[reportSelfClsParameterName]
        # No named self, as in jinja2, so that a template may call namespace(self=...).
        self, *positional = args
        attributes = dict(*positional, **kwargs)
        for name in attributes:
            _require_public(name)
        jinja2.utils.Namespace.__init__(self, attributes)

    def __setitem__(self, name: str, value: Any) -> None:
        _require_public(name)
        super().__setitem__(name, value)


class Dict:
    """``dict()`` without the type object and its attributes."""

    def __call__(self, *args: Any, **kwargs: Any) -> dict[Any, Any]:
        return dict(*args, **kwargs)

    def fromkeys(self, keys: Iterable[Any], value: Any = None) -> dict[Any, Any]:
        return dict.fromkeys(keys, value)


class Renderer:
    """One compiled template."""

    def __init__(self, source: str) -> None:
        self._now = datetime.now()
        environment = self._environment()
        self.variables = sorted(jinja2.meta.find_undeclared_variables(environment.parse(source)))
        self._template = environment.from_string(source)

    def render(self, context: dict[str, Any], now: datetime) -> str:
        """Render to text.

        Raises:
            OverflowError: The text is longer than ``MAX_OUTPUT_CHARS``.
        """
        self._now = now
        pieces: list[str] = []
        length = 0
        for piece in self._template.generate(context):
            length += len(piece)
            if length > MAX_OUTPUT_CHARS:
                raise OverflowError(f"it wrote more than {MAX_OUTPUT_CHARS:,} characters")
            pieces.append(piece)
        return "".join(pieces)

    def _environment(self) -> jinja2.sandbox.ImmutableSandboxedEnvironment:
        environment = jinja2.sandbox.ImmutableSandboxedEnvironment(
            trim_blocks=True,
            lstrip_blocks=True,
            extensions=[GenerationTag, jinja2.ext.loopcontrols],
        )
        environment.filters["tojson"] = _to_json
        environment.globals["raise_exception"] = _raise_exception
        environment.globals["strftime_now"] = lambda form: self._now.strftime(form)
        environment.globals["dict"] = Dict()
        environment.globals["namespace"] = Namespace
        return environment


def _to_json(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | str | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    # jinja2's own filter escapes HTML, which no model was trained on.
    return json.dumps(
        value,
        ensure_ascii=ensure_ascii,
        indent=indent,
        separators=separators,
        sort_keys=sort_keys,
    )


def _raise_exception(message: object) -> None:
    raise RaisedByTemplateError(str(message))


def _require_public(name: object) -> None:
    if isinstance(name, str) and name.startswith("_"):
        raise jinja2.exceptions.SecurityError(f"namespace attribute {name!r:.80} is private")


def _confine() -> None:
    """Give up what rendering does not need. Best effort: macOS refuses some of the limits."""
    for name, value in LIMITS.items():
        with contextlib.suppress(AttributeError, ValueError, OSError):
            resource.setrlimit(getattr(resource, name), (value, value))
    # The kernel delivers the default action even while Python is inside one long C call.
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGALRM})


def _serve(connection: socket.socket, parent_pid: int) -> None:
    renderer: Renderer | None = None
    while (request := _receive(connection, parent_pid)) is not None:
        signal.setitimer(signal.ITIMER_REAL, SELF_DESTRUCT_S)
        try:
            if renderer is None:
                renderer = Renderer(request["template"])
                reply: dict[str, Any] = {"variables": renderer.variables}
            else:
                now = datetime.fromisoformat(request["now"])
                reply = {"text": renderer.render(request["context"], now)}
        except Exception as error:
            reply = {"kind": _kind(error), "error": _describe(error)[:MAX_ERROR_CHARS]}
        _send(connection, reply)
        signal.setitimer(signal.ITIMER_REAL, 0)


def _kind(error: Exception) -> str:
    return "raised" if isinstance(error, RaisedByTemplateError) else "failed"


def _describe(error: Exception) -> str:
    if isinstance(error, RaisedByTemplateError):
        return str(error)
    if isinstance(error, jinja2.TemplateSyntaxError):
        return f"line {error.lineno}: {error.message}"
    return f"{type(error).__name__}: {error}"


def _receive(connection: socket.socket, parent_pid: int) -> Any:
    """Wait for a request; None when the parent is gone.

    A process forked from the parent may hold the other end open too, so that the end of the stream
    alone does not tell.
    """
    while not select.select([connection], [], [], PARENT_CHECK_S)[0]:
        if os.getppid() != parent_pid:
            return None
    header = _read_exactly(connection, 4)
    if header is None:
        return None
    payload = _read_exactly(connection, struct.unpack(">I", header)[0])
    return None if payload is None else json.loads(payload)


def _read_exactly(connection: socket.socket, size: int) -> bytes | None:
    data = bytearray()
    while len(data) < size:
        chunk = connection.recv(min(size - len(data), 2**20))
        if not chunk:
            return None
        data += chunk
    return bytes(data)


def _send(connection: socket.socket, message: dict[str, Any]) -> None:
    # ASCII, so that lone surrogates pass through unharmed.
    payload = json.dumps(message).encode("ascii")
    connection.sendall(struct.pack(">I", len(payload)) + payload)


if __name__ == "__main__":
    _confine()
    with contextlib.suppress(OSError), socket.socket(fileno=0) as link:
        _send(link, {"ready": True})
        _serve(link, parent_pid=int(sys.argv[1]))
