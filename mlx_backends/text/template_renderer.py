"""Renders an untrusted Jinja template in a child process that can be killed.

Owns the child: its start, the conversation with it, its time limit and its end. It knows nothing
of chats (``chat_template``) or of what a template sees (``_template_process``).

Templates come from the Hub with the weights. A sandbox keeps them from Python's internals but
bounds neither time nor memory: two nested ``range(99999)`` loops run for hours, ``'a' * 10**10``
asks for 10 GB, and a thread that is inside such a call cannot be stopped. A process can. So each
template has a child of its own, started at the first render (0.1 s), without the parent's
environment, with one socket, 512 MiB of address space (where the platform has that limit) and one
second a render. A template that runs over loses its child; the next render starts another. Warm, a
render of a small chat costs a round trip over a socket pair: 0.1 to 0.2 ms.
"""

import contextlib
import importlib.util
import json
import os
import socket
import struct
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from mlx_backends.errors import ChatTemplateError, RequestError

# The largest templates in use (gpt-oss, Kimi K3, Gemma 4) have 12 to 17 KB.
MAX_TEMPLATE_BYTES = 64 * 1024
MAX_REQUEST_BYTES = 64 * 2**20
MAX_REPLY_BYTES = 128 * 2**20
TIME_LIMIT_S = 1.0
_START_LIMIT_S = 30.0
# A Python with a shared library may not start without them; no other variable is passed on.
_LOADER_VARIABLES = ("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "DYLD_FALLBACK_LIBRARY_PATH")
_SCRIPT = Path(__file__).with_name("_template_process.py")


class TemplateRenderer:
    """One template and the child that renders it. Any thread may call any method.

    Attributes:
        source: The template.

    Raises:
        ChatTemplateError: The template has more than ``MAX_TEMPLATE_BYTES``.
    """

    def __init__(self, source: str, *, time_limit_s: float = TIME_LIMIT_S) -> None:
        size = len(source.encode("utf-8", "surrogatepass"))
        if size > MAX_TEMPLATE_BYTES:
            raise ChatTemplateError(
                f"The chat template has {size:,} bytes; at most {MAX_TEMPLATE_BYTES:,} are run."
            )
        self.source = source
        self._time_limit_s = time_limit_s
        self._child: _Child | None = None
        self._variables: frozenset[str] | None = None
        self._locks: dict[int, threading.Lock] = {}

    @property
    def variables(self) -> frozenset[str]:
        """Names that the template reads but does not set, its functions included.

        Raises:
            ChatTemplateError: The template does not compile within the limits.
        """
        if self._variables is None:
            with self._lock():
                self._live_child()
        return self._variables or frozenset()

    def render(self, context: Mapping[str, Any]) -> str:
        """Render with these variables, which must be JSON values.

        Raises:
            ChatTemplateError: The template raised, or broke a limit.
            RequestError: A variable is not a JSON value, or all are too large.
        """
        request = _encoded({"context": context, "now": datetime.now().isoformat()})
        with self._lock():
            return self._ask(self._live_child(), request)["text"]

    def close(self) -> None:
        """End the child, if there is one. A later render starts another."""
        with self._lock():
            self._discard_child()

    def _lock(self) -> threading.Lock:
        # A process forked while a thread held the lock must not wait for that thread.
        return self._locks.setdefault(os.getpid(), threading.Lock())

    def _live_child(self) -> "_Child":
        if self._child is None or not self._child.is_usable:
            self._discard_child()
            self._child = _Child()
            reply = self._ask(self._child, _encoded({"template": self.source}))
            self._variables = frozenset(reply["variables"])
        return self._child

    def _ask(self, child: "_Child", request: bytes) -> dict[str, Any]:
        try:
            reply = child.exchange(request, self._time_limit_s)
        except TimeoutError:
            self._discard_child()
            raise ChatTemplateError(
                f"The chat template ran for more than {self._time_limit_s:g} s and was stopped."
            ) from None
        except (OSError, ValueError) as error:
            self._discard_child()
            raise ChatTemplateError(
                "The process that rendered the chat template ended; the template asked for too "
                "much memory, or the process was killed."
            ) from error
        except BaseException:
            # Half a reply may be on its way; the next request must not read it.
            self._discard_child()
            raise
        if "error" in reply:
            raise _error_from(reply)
        return reply

    def _discard_child(self) -> None:
        if self._child is not None:
            self._child.stop()
            self._child = None


class _Child:
    """A running ``_template_process`` and the socket to it."""

    def __init__(self) -> None:
        self._connection, theirs = socket.socketpair()
        with theirs:
            self._process = _spawn(theirs, self._connection)
        self._owner_pid = os.getpid()
        self._finalizer = weakref.finalize(
            self, _stop, self._process, self._connection, self._owner_pid
        )
        try:
            self._receive(time.monotonic() + _START_LIMIT_S)
        except (OSError, ValueError) as error:
            self.stop()
            raise ChatTemplateError(
                f"The process that renders chat templates did not start: {error}"
            ) from error

    @property
    def is_usable(self) -> bool:
        """Whether this process started it and it still runs."""
        return self._owner_pid == os.getpid() and self._process.poll() is None

    def exchange(self, request: bytes, limit_s: float) -> dict[str, Any]:
        """Send a request and wait for its reply.

        Raises:
            TimeoutError: No whole reply came in time.
            OSError: The child is gone.
            ValueError: The reply is not a frame of JSON.
        """
        deadline = time.monotonic() + limit_s
        self._connection.settimeout(limit_s)
        self._connection.sendall(struct.pack(">I", len(request)) + request)
        return self._receive(deadline)

    def stop(self) -> None:
        self._finalizer()

    def _receive(self, deadline: float) -> dict[str, Any]:
        (size,) = struct.unpack(">I", self._read_exactly(4, deadline))
        if size > MAX_REPLY_BYTES:
            raise ValueError(f"a reply of {size:,} bytes")
        return json.loads(self._read_exactly(size, deadline))

    def _read_exactly(self, size: int, deadline: float) -> bytes:
        data = bytearray()
        while len(data) < size:
            # A timeout of zero would mean "do not wait" and raise another error.
            self._connection.settimeout(max(deadline - time.monotonic(), 1e-6))
            chunk = self._connection.recv(min(size - len(data), 2**20))
            if not chunk:
                raise ConnectionError("it closed the connection")
            data += chunk
        return bytes(data)


def _spawn(theirs: socket.socket, ours: socket.socket) -> "subprocess.Popen[bytes]":
    """Start the script isolated from this process's environment, folders and descriptors."""
    # -I and -S keep the user's and the site's start-up files out; the two libraries are named.
    command = [sys.executable, "-I", "-S", "-B", "-X", "utf8", str(_SCRIPT), str(os.getpid())]
    try:
        return subprocess.Popen(
            command + _library_folders(),
            stdin=theirs.fileno(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={name: os.environ[name] for name in _LOADER_VARIABLES if name in os.environ},
            cwd="/",
            start_new_session=True,
        )
    except (OSError, TypeError) as error:
        ours.close()
        raise ChatTemplateError(
            f"The process that renders chat templates did not start: {error}"
        ) from error


def _library_folders() -> list[str]:
    specs = (importlib.util.find_spec(name) for name in ("jinja2", "markupsafe"))
    origins = (spec.origin for spec in specs if spec is not None and spec.origin)
    return list(dict.fromkeys(str(Path(origin).parent.parent) for origin in origins))


def _stop(process: "subprocess.Popen[bytes]", connection: socket.socket, owner_pid: int) -> None:
    connection.close()
    if os.getpid() != owner_pid:
        # A fork's copy: the child is not ours to kill or to wait for.
        process.returncode = 0
        return
    with contextlib.suppress(OSError):
        process.kill()
    process.wait()


def _encoded(message: Mapping[str, Any]) -> bytes:
    try:
        request = json.dumps(message).encode("ascii")
    except (TypeError, ValueError, RecursionError) as error:
        raise RequestError(
            f"Messages, tools, documents and template options must be JSON values: {error}"
        ) from error
    if len(request) > MAX_REQUEST_BYTES:
        raise RequestError(
            f"The chat has {len(request):,} bytes as JSON; at most {MAX_REQUEST_BYTES:,}."
        )
    return request


def _error_from(reply: Mapping[str, Any]) -> ChatTemplateError:
    what = "refused the chat" if reply.get("kind") == "raised" else "failed"
    return ChatTemplateError(f"The chat template {what}: {reply['error']}")
