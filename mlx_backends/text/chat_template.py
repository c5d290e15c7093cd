"""Chats as the text that a model was trained on.

Owns what a template is given: messages and options in the form that transformers gives them, and
which options are allowed. It does not run the template (``template_renderer``), does not tokenize,
and does not merge or reorder messages.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from mlx_backends.errors import ConfigError, RequestError
from mlx_backends.text.template_renderer import TemplateRenderer

Message: TypeAlias = Mapping[str, Any]
TemplateOption: TypeAlias = (
    str | int | float | bool | Mapping[str, "TemplateOption"] | Sequence["TemplateOption"] | None
)

# Names that mean something else to a template, or to the functions that other libraries render with
# (GHSA-69j4-grxj-j64p: an option named "tokenize" overrode the server's own).
_RESERVED_OPTIONS = frozenset(
    {
        "add_generation_prompt",
        "caller",
        "chat_template",
        "continue_final_message",
        "conversation",
        "conversations",
        "cycler",
        "dict",
        "documents",
        "joiner",
        "kwargs",
        "lipsum",
        "loop",
        "max_length",
        "messages",
        "namespace",
        "padding",
        "raise_exception",
        "range",
        "return_assistant_tokens_mask",
        "return_dict",
        "return_tensors",
        "self",
        "strftime_now",
        "tokenize",
        "tokenizer",
        "tokenizer_kwargs",
        "tools",
        "truncation",
        "varargs",
    }
)
_OPTION_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")
# Names of a message's reasoning, in transformers' order. Templates read the first; gpt-oss's reads
# the second.
_REASONING_NAMES = ("reasoning_content", "thinking", "reasoning")
# The trailing space shows whether the template trimmed the message it stands in.
_END_OF_MESSAGE = "CONTINUE_FINAL_MESSAGE_TAG "


class ChatTemplate:
    """One chat template.

    Args:
        source: The Jinja template.
        special_tokens: Texts that the template reads by name, such as ``bos_token``.

    Raises:
        ChatTemplateError: The template is too large.
    """

    def __init__(self, source: str, special_tokens: Mapping[str, str] | None = None) -> None:
        self._renderer = TemplateRenderer(source)
        self._special_tokens = dict(special_tokens or {})

    @property
    def source(self) -> str:
        return self._renderer.source

    @property
    def variables(self) -> frozenset[str]:
        """Names that the template reads: which options have an effect."""
        return self._renderer.variables

    def render(
        self,
        messages: Sequence[Message],
        *,
        tools: Sequence[Mapping[str, Any]] | None = None,
        documents: Sequence[Mapping[str, Any]] | None = None,
        add_generation_prompt: bool = True,
        continue_final_message: bool = False,
        options: Mapping[str, TemplateOption] | None = None,
    ) -> str:
        """Render a chat, as ``transformers.apply_chat_template`` does.

        Args:
            messages: Each with a ``role``; keys whose value is None are left out.
            tools: JSON schemas of functions.
            documents: Passages with a title and a text, for templates that take them.
            add_generation_prompt: End with the beginning of an assistant message.
            continue_final_message: End inside the last message instead, so that it is continued.
            options: Further variables of the template, such as ``enable_thinking``.

        Raises:
            ChatTemplateError: The template raised, or broke a limit.
            ConfigError: An option is reserved, or the template does not read it.
            RequestError: A message has no role or is not JSON.
        """
        options = dict(options or {})
        self._require_known(options)
        chat = [_prepared(message) for message in messages]
        if not chat:
            raise RequestError("A chat needs at least one message; got none.")
        end = _mark_end_of_final_message(chat) if continue_final_message else None
        text = self._renderer.render(
            {
                **self._special_tokens,
                **options,
                "messages": chat,
                "tools": tools,
                "documents": documents,
                "add_generation_prompt": add_generation_prompt and not continue_final_message,
            }
        )
        return text if end is None else _cut_at_mark(text, end)

    def close(self) -> None:
        """End the process that renders. A later render starts another."""
        self._renderer.close()

    def _require_known(self, options: Mapping[str, TemplateOption]) -> None:
        for name in options:
            is_taken = name in _RESERVED_OPTIONS or name in self._special_tokens
            if is_taken or not _OPTION_NAME.fullmatch(name):
                raise ConfigError(f"{name!r:.80} cannot be a chat template option.")
        unknown = sorted(options.keys() - self.variables) if options else []
        if unknown:
            known = sorted(self.variables - _RESERVED_OPTIONS - self._special_tokens.keys())
            raise ConfigError(
                f"The chat template has no option {', '.join(unknown)}. "
                f"It reads: {', '.join(known) or 'none'}."
            )


def _prepared(message: Message) -> dict[str, Any]:
    """Copy a message without its empty keys and with every name that reasoning goes by."""
    if not isinstance(message, Mapping) or not isinstance(message.get("role"), str):
        raise RequestError(f"A message must be a mapping with a role; got {message!r:.80}.")
    prepared = {key: value for key, value in message.items() if value is not None}
    reasoning = next((prepared[name] for name in _REASONING_NAMES if name in prepared), None)
    if reasoning is None:
        return prepared
    return {"thinking": reasoning, **prepared, "reasoning_content": reasoning}


def _mark_end_of_final_message(chat: list[dict[str, Any]]) -> str:
    """Append the mark to the last message's text, and return that text."""
    content = chat[-1].get("content")
    if isinstance(content, str):
        chat[-1]["content"] = content + _END_OF_MESSAGE
        return content
    blocks = list(content) if isinstance(content, list | tuple) else []
    for index in reversed(range(len(blocks))):
        text = blocks[index].get("text") if isinstance(blocks[index], Mapping) else None
        if isinstance(text, str):
            blocks[index] = {**blocks[index], "text": text + _END_OF_MESSAGE}
            chat[-1]["content"] = blocks
            return text
    raise RequestError("continue_final_message needs a final message with text; it has none.")


def _cut_at_mark(text: str, final_text: str) -> str:
    at = text.rfind(_END_OF_MESSAGE.strip())
    if at < 0 or final_text.strip() not in text:
        raise RequestError(
            "continue_final_message: the chat template leaves out or rewrites the final message, "
            "so that there is no place to continue from."
        )
    is_untrimmed = text.startswith(_END_OF_MESSAGE, at)
    return text[:at] if is_untrimmed else text[:at].rstrip()
