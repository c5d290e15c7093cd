"""Every error a caller can meet, as one tree.

MLXBackendsError
├── ConfigError (ValueError)              an option is unknown or out of its range
├── MissingExtraError (ImportError)       a framework or tool of an optional extra is not installed
├── ModelError
│   ├── ModelNotFoundError (FileNotFoundError)
│   ├── ModelLoadError                    the folder's files are malformed or do not fit together
│   ├── UnsupportedModelError             a well-formed model that this engine cannot run
│   ├── ChatTemplateError                 the template is missing, unsafe, too slow or raised
│   └── QuantizationError                 the model cannot be quantized in this way
├── OutputError (OSError)                 a result cannot be written; nothing half is left
├── RequestError (ValueError)             what the caller asked for cannot be served
│   ├── ContextLengthError                the prompt does not fit the context window
│   ├── GrammarError                      a grammar is malformed, too complex or cannot be met
│   │   └── GrammarBudgetError            not within ``max_tokens``
│   └── TokenIdError                      a token id is outside the vocabulary
├── ShaderError                           a Metal kernel function of the caller's own
│   ├── ShaderSyntaxError (ValueError)    its text cannot be read or compiled
│   ├── ShaderArgumentError (ValueError)  arrays or grid of a launch do not fit it
│   ├── ShaderFaultError (RuntimeError)   it did what a GPU does not allow, crashed or never ended
│   └── ShaderMismatchError (AssertionError)  its result is not its reference's
└── EngineError (RuntimeError)            the engine cannot serve, whatever is asked
    ├── EngineClosedError
    ├── ForkedProcessError                used in a child made by ``os.fork``
    ├── OverloadedError                   the queue of waiting requests is full
    ├── MemoryLimitError                  the work would not fit the memory budget
    └── NumericalError                    the model produced NaN or infinity

Messages say what was given, what is allowed and what to do. Classes also derive from the built-in
error that callers of LangChain, LlamaIndex and mlx-lm would catch.
"""


class MLXBackendsError(Exception):
    """Base of all errors raised on purpose by this package."""


class ConfigError(MLXBackendsError, ValueError):
    """An option is unknown, has the wrong type or is out of its range."""


class MissingExtraError(MLXBackendsError, ImportError):
    """An optional dependency is not installed; the message names the extra that brings it."""

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(
            f"{package!r} is not installed. Install it with: "
            f'python -m pip install "mlx-backends[{extra}]"'
        )
        self.package = package
        self.extra = extra


class ModelError(MLXBackendsError):
    """A model cannot be used."""


class ModelNotFoundError(ModelError, FileNotFoundError):
    """Neither a local folder nor a Hub repository of that name could be read."""


class ModelLoadError(ModelError):
    """A model's files are malformed or do not fit together."""


class UnsupportedModelError(ModelError):
    """The model is well-formed, but this engine cannot run it."""


class ChatTemplateError(ModelError):
    """The chat template is missing, unsafe, ran too long or raised."""


class QuantizationError(ModelError):
    """The model cannot be quantized in this way."""


class OutputError(MLXBackendsError, OSError):
    """A result cannot be written: it exists already, or the disk is full or read-only."""


class RequestError(MLXBackendsError, ValueError):
    """A request cannot be served as it was asked."""


class ContextLengthError(RequestError):
    """A prompt does not fit the context window.

    Attributes:
        prompt_tokens: Length of the prompt, in tokens.
        context_window: What the model takes, prompt and completion together, in tokens.
    """

    def __init__(self, prompt_tokens: int, context_window: int) -> None:
        super().__init__(
            f"The prompt has {prompt_tokens:,} tokens; the context window is {context_window:,} "
            "and must also hold the completion. Shorten the prompt, retrieve fewer passages, or "
            "use a model with a longer context."
        )
        self.prompt_tokens = prompt_tokens
        self.context_window = context_window


class GrammarError(RequestError):
    """A schema, pattern or grammar is malformed, too complex, or no text belongs to it."""


class GrammarBudgetError(GrammarError):
    """No completion that fits ``max_tokens`` belongs to the grammar.

    Attributes:
        needed_tokens: Length of the shortest completion found; None if none was found.
        max_tokens: What the request allows, context window included.
    """

    def __init__(self, needed_tokens: int | None, max_tokens: int) -> None:
        needed = "more" if needed_tokens is None else f"about {needed_tokens:,} tokens"
        super().__init__(
            f"The grammar cannot be satisfied within {max_tokens:,} tokens; it needs {needed}. "
            "Raise max_tokens, shorten the prompt, or ask for less."
        )
        self.needed_tokens = needed_tokens
        self.max_tokens = max_tokens


class TokenIdError(RequestError):
    """A token id is outside the model's vocabulary."""


class ShaderError(MLXBackendsError):
    """A Metal kernel function of the caller's own cannot be used or did wrong."""


class ShaderSyntaxError(ShaderError, ValueError):
    """The text of a kernel function cannot be read or compiled.

    Attributes:
        line: Line of the caller's source, from 1; None if no line is to blame.
    """

    def __init__(self, message: str, line: int | None = None) -> None:
        super().__init__(message if line is None else f"line {line}: {message}")
        self.line = line


class ShaderArgumentError(ShaderError, ValueError):
    """Arrays, shapes, types or the grid of a launch do not fit the kernel's signature."""


class ShaderFaultError(ShaderError, RuntimeError):
    """A running kernel did what a GPU does not allow, crashed, or did not end in time."""


class ShaderMismatchError(ShaderError, AssertionError):
    """A kernel's result differs from its reference's."""


class EngineError(MLXBackendsError, RuntimeError):
    """The engine cannot serve."""


class EngineClosedError(EngineError):
    """The engine was closed."""


class ForkedProcessError(EngineError):
    """The engine was used in a child process made by ``os.fork`` after it had started."""


class OverloadedError(EngineError):
    """The queue of waiting requests is full; try again later."""


class MemoryLimitError(EngineError):
    """The work would not fit the memory budget."""


class NumericalError(EngineError):
    """The model produced NaN or infinite logits or vectors."""


def as_typed(error: Exception, failed: str) -> MLXBackendsError:
    """The error itself if it is one of this package, else an ``EngineError`` that it caused.

    Args:
        error: What was raised.
        failed: What failed, as the subject of the message.
    """
    if isinstance(error, MLXBackendsError):
        return error
    typed = EngineError(f"{failed} failed: {type(error).__name__}: {error!s:.500}")
    typed.__cause__ = error
    return typed
