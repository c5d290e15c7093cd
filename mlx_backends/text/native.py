"""Failures of libraries written in Rust, as exceptions that callers can catch."""

from collections.abc import Iterator
from contextlib import contextmanager

import tokenizers

from mlx_backends.errors import ModelLoadError, RequestError


class NativePanicError(Exception):
    """A Rust library failed in a way that it did not foresee."""


@contextmanager
def panics_as_errors() -> Iterator[None]:
    """Turn a panic inside the block into ``NativePanicError``.

    pyo3's ``PanicException`` derives from ``BaseException`` and cannot be imported, so it is known
    by its name.
    """
    try:
        yield
    except BaseException as error:
        if type(error).__name__ != "PanicException":
            raise
        raise NativePanicError(str(error)) from None


@contextmanager
def refusals_as_request_errors() -> Iterator[None]:
    """Turn what ``tokenizers`` and tiktoken raise on a text into ``RequestError``."""
    try:
        with panics_as_errors():
            yield
    except Exception as error:  # neither library has an exception of its own
        raise RequestError(f"The text cannot be encoded: {error}") from error


def read_tokenizer(source: bytes, name: str) -> tokenizers.Tokenizer:
    """Read the content of a ``tokenizer.json``, without its truncation and padding.

    Raises:
        ModelLoadError: The content, of a file of this name, is malformed.
    """
    try:
        with panics_as_errors():
            tokenizer = tokenizers.Tokenizer.from_buffer(source)
    except Exception as error:  # the library raises no narrower type
        raise ModelLoadError(f"{name} is not a tokenizer: {error}") from error
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer
