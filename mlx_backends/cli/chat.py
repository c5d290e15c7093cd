"""``mlx-backends chat``: a conversation in the terminal, or one turn for each line of a pipe."""

import contextlib
import sys
from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from mlx_backends.cli._console import print_error, reports_errors, write
from mlx_backends.config import EngineConfig
from mlx_backends.core import SamplingParams
from mlx_backends.errors import RequestError

if TYPE_CHECKING:
    from mlx_backends.engine.interface import GenerationEngine

_HELP = "Ctrl-C stops an answer, /reset begins anew, Ctrl-D leaves."


class Conversation:
    """The turns so far, and the next one."""

    def __init__(self, engine: "GenerationEngine", sampling_params: SamplingParams) -> None:
        self._engine = engine
        self._sampling_params = sampling_params
        self._messages: list[dict[str, str]] = []

    def reset(self) -> None:
        self._messages.clear()

    def answer(self, text: str) -> Generator[str, None, None]:
        """Stream the answer; what was read of it stays in the conversation.

        Raises:
            RequestError: The conversation does not fit the context; it stays as it was.
        """
        asked = [*self._messages, {"role": "user", "content": text}]
        token_ids = self._engine.tokenizer.encode_chat(asked)
        handle = self._engine.submit(token_ids, self._sampling_params)
        said = ""
        with contextlib.closing(handle.stream()) as outputs:
            try:
                for output in outputs:
                    said += output.text
                    yield output.text
            finally:
                self._messages = [*asked, {"role": "assistant", "content": said}]


@reports_errors
def chat(
    model: Annotated[str | None, typer.Option(help="Language model: folder or Hub id.")] = None,
    temperature: Annotated[float, typer.Option(min=0.0, help="0 is greedy.")] = 0.0,
    max_tokens: Annotated[int | None, typer.Option(min=1, help="Most tokens of an answer.")] = None,
) -> None:
    """Chat with a model. Ctrl-C stops an answer, /reset begins anew, Ctrl-D leaves."""
    # Here, not at the top: the engine's modules take a second to import.
    from mlx_backends import registry

    engine = registry.get_engine(EngineConfig(model=model))
    sampling_params = SamplingParams(temperature=temperature, max_tokens=max_tokens)
    conversation = Conversation(engine, sampling_params)
    is_terminal = sys.stdin.isatty()
    if is_terminal:
        typer.echo(_HELP, err=True)
    for line in _typed_lines() if is_terminal else sys.stdin:
        if line.strip() == "/reset":
            conversation.reset()
        elif line.strip():
            _show_answer(conversation, line.strip(), is_terminal)


def _typed_lines() -> Iterator[str]:
    with contextlib.suppress(ImportError):
        import readline  # noqa: F401 - gives input() a history and keys to edit with
    while True:
        try:
            yield input("> ")
        except KeyboardInterrupt:
            typer.echo()
        except EOFError:
            typer.echo()
            return


def _show_answer(conversation: Conversation, text: str, is_terminal: bool) -> None:
    """Stream one answer. In a terminal, an interrupt or a bad request ends this turn only."""
    try:
        with contextlib.closing(conversation.answer(text)) as pieces:
            for piece in pieces:
                write(piece)
    except KeyboardInterrupt:
        if not is_terminal:
            raise
    except RequestError as error:
        if not is_terminal:
            raise
        print_error(error)
    typer.echo()
