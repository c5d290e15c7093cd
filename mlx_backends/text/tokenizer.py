"""The tokenizer of one model: text and chats to token ids, and back.

It knows neither the model's weights nor its context window. Nothing of a model's folder is run
here; its chat template runs in a process of its own (``template_renderer``).
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import tiktoken

from mlx_backends.errors import ChatTemplateError
from mlx_backends.text.chat_template import ChatTemplate, Message, TemplateOption
from mlx_backends.text.detokenizer import Detokenizer
from mlx_backends.text.native import refusals_as_request_errors
from mlx_backends.text.reasoning import reasoning_format
from mlx_backends.text.special_escape import pattern_of, texts_in
from mlx_backends.text.text_encoder import (
    MAX_TEXT_CHARS,
    TextEncoder,
    require_encodable,
    require_length,
)
from mlx_backends.text.token_decoder import TokenDecoder
from mlx_backends.text.tokenizer_files import TokenizerFiles, read_tokenizer_files
from mlx_backends.text.tool_formats import tool_format

__all__ = ["MAX_TEXT_CHARS", "Tokenizer"]


class Tokenizer:
    """The tokenizer of one model. Any thread may call any method.

    Attributes:
        eos_token_ids: Tokens that end a completion: those of the model's configuration and the
            tokenizer's own.
        vocab_size: One more than the highest token id, added tokens included. A model's output
            layer can have more rows; their ids decode to no text.
        tool_format: How the model writes tool calls; None if it was not trained on tools.
        reasoning_format: What it writes around its reasoning; None if it does not reason.
    """

    def __init__(self, files: TokenizerFiles) -> None:
        self._special_tokens = files.special_tokens
        self.eos_token_ids = files.eos_token_ids
        self.vocab_size = 1 + max(files.library.get_vocab(with_added_tokens=True).values())
        added = files.library.get_added_tokens_decoder()
        self._added_ids = {token.content: token_id for token_id, token in added.items()}
        special = {i: token.content for i, token in added.items() if token.special}
        self._special_ids = frozenset(special)
        self._special_pattern = pattern_of(special.values())
        self._templates = {
            name: ChatTemplate(source, files.special_tokens)
            for name, source in files.chat_templates.items()
        }
        self.tool_format = tool_format(
            "\n".join(files.chat_templates.values()), self._added_ids.__contains__
        )
        self.reasoning_format = reasoning_format(self._added_ids.__contains__)
        self._encoder = TextEncoder(files.library)
        self._decoder = TokenDecoder(files.library, self._special_ids)

    @classmethod
    def from_folder(cls, folder: Path) -> "Tokenizer":
        """Load the tokenizer of a model's folder.

        Reads ``tokenizer.json``, else a tiktoken vocabulary, else what transformers can convert
        (SentencePiece), and beside it ``tokenizer_config.json``, ``special_tokens_map.json``,
        ``generation_config.json``, ``config.json`` and ``chat_template.jinja``.

        Raises:
            ModelLoadError: A file is missing or malformed; the message names it.
        """
        return cls(read_tokenizer_files(Path(folder)))

    @property
    def bos_token(self) -> str | None:
        return self._special_tokens.get("bos_token")

    @property
    def eos_token(self) -> str | None:
        return self._special_tokens.get("eos_token")

    @property
    def encoding(self) -> tiktoken.Encoding | None:
        """The same tokenizer as a tiktoken encoding, if tiktoken can express it.

        Built at first use, in about a second for 150,000 tokens.
        """
        return self._encoder.encoding

    @property
    def encoding_reason(self) -> str | None:
        """Why there is no ``encoding``; None if there is one."""
        return self._encoder.encoding_reason

    def encode(
        self, text: str, *, add_special_tokens: bool = False, parse_special: bool = True
    ) -> list[int]:
        """Encode text.

        Args:
            text: At most ``MAX_TEXT_CHARS`` characters.
            add_special_tokens: Add what the model expects around a text, such as a BOS token.
            parse_special: Whether text such as ``<|im_end|>`` becomes the special token. mlx-lm and
                transformers always do that, so that a user's text can end the user's turn; pass
                False for text that is not trusted.

        Raises:
            RequestError: The text is too long, or is not Unicode (a lone surrogate).
        """
        return self._encoder.encode(
            text, add_special_tokens=add_special_tokens, parse_special=parse_special
        )

    def encode_batch(
        self,
        texts: Sequence[str],
        *,
        add_special_tokens: bool = False,
        parse_special: bool = True,
    ) -> list[list[int]]:
        """Encode several texts, as ``encode`` does each.

        Raises:
            RequestError: A text is too long, or is not Unicode.
        """
        return self._encoder.encode_batch(
            texts, add_special_tokens=add_special_tokens, parse_special=parse_special
        )

    def count(self, text: str) -> int:
        """Number of tokens of a text."""
        return len(self.encode(text))

    def decode(self, token_ids: Sequence[int], *, skip_special_tokens: bool = True) -> str:
        """Decode ids; unfinished characters become U+FFFD.

        Raises:
            TokenIdError: An id is negative or absurdly large.
        """
        return self._decoder.decode(token_ids, skip_special_tokens=skip_special_tokens)

    def token_text(self, token_id: int) -> str:
        """A token as text for display, special tokens and leading spaces included.

        Raises:
            TokenIdError: The id is negative or absurdly large.
        """
        return self._decoder.token_text(token_id)

    def token_bytes(self, token_id: int) -> bytes:
        """The bytes that a token adds to the text, a special token's name included.

        Raises:
            TokenIdError: The id is negative or absurdly large.
        """
        return self._decoder.token_bytes(token_id)

    @property
    def added_token_ids(self) -> Mapping[str, int]:
        """Ids of the tokens that are found in text before it is split, by their text."""
        return self._added_ids

    @property
    def special_token_ids(self) -> frozenset[int]:
        """Control tokens, which are never part of ordinary text."""
        return self._special_ids

    def is_special(self, token_id: int) -> bool:
        """Whether the token is a control token, and never part of ordinary text."""
        return token_id in self._special_ids

    def detokenizer(self, *, skip_special_tokens: bool = True) -> Detokenizer:
        """Start decoding one completion token by token."""
        return self._decoder.detokenizer(skip_special_tokens=skip_special_tokens)

    @property
    def has_chat_template(self) -> bool:
        return "default" in self._templates

    def chat_template(self, *, with_tools: bool = False) -> ChatTemplate:
        """The model's chat template, or its own one for tools.

        Raises:
            ChatTemplateError: The model has none.
        """
        template = self._templates.get("tool_use") if with_tools else None
        template = template or self._templates.get("default")
        if template is None:
            raise ChatTemplateError(
                "The model has no chat template: its folder has neither chat_template.jinja nor a "
                "chat_template in tokenizer_config.json. Use a model tuned for chat, or complete "
                "a prompt."
            )
        return template

    def apply_chat_template(
        self,
        messages: Sequence[Message],
        *,
        tools: Sequence[Mapping[str, Any]] | None = None,
        documents: Sequence[Mapping[str, Any]] | None = None,
        add_generation_prompt: bool = True,
        continue_final_message: bool = False,
        **template_options: TemplateOption,
    ) -> str:
        """Render a chat to the text that the model was trained on (``ChatTemplate.render``).

        Raises:
            ChatTemplateError: There is no template, it raised, or it broke a limit.
            ConfigError: The template has no such option.
            RequestError: A message is malformed.
        """
        return self.chat_template(with_tools=bool(tools)).render(
            messages,
            tools=tools,
            documents=documents,
            add_generation_prompt=add_generation_prompt,
            continue_final_message=continue_final_message,
            options=template_options,
        )

    def encode_chat(
        self,
        messages: Sequence[Message],
        *,
        tools: Sequence[Mapping[str, Any]] | None = None,
        documents: Sequence[Mapping[str, Any]] | None = None,
        add_generation_prompt: bool = True,
        continue_final_message: bool = False,
        parse_special_in_messages: bool = False,
        **template_options: TemplateOption,
    ) -> list[int]:
        """Render a chat and encode it, without another BOS token than the template's.

        Special tokens inside messages, tools and documents are ordinary text: a retrieved passage
        that holds ``<|im_end|>`` cannot end the user's turn. (In mlx-lm and transformers it can.)

        Args:
            messages: Each with a ``role``.
            tools: JSON schemas of functions.
            documents: Passages with a title and a text, for templates that take them.
            add_generation_prompt: End with the beginning of an assistant message.
            continue_final_message: End inside the last message instead, so that it is continued.
            parse_special_in_messages: Read special tokens inside messages as mlx-lm does. Only for
                content that is trusted.
            template_options: Further variables of the template, such as ``enable_thinking``.

        Raises:
            ChatTemplateError: There is no template, it raised, or it broke a limit.
            ConfigError: The template has no such option.
            RequestError: A message is malformed, or the prompt is too long.
            UnsupportedModelError: A message holds a special token, and this model has no
                ``encoding``, without which it cannot be told from the template's own.
        """
        texts = list(texts_in((messages, tools, documents)))
        require_length(sum(map(len, texts)))
        is_plain = parse_special_in_messages or not self._hold_special(texts)
        escape = None if is_plain else self._encoder.special_escape()
        text = self.apply_chat_template(
            escape.mark(messages) if escape else messages,
            tools=escape.mark(tools) if escape else tools,
            documents=escape.mark(documents) if escape else documents,
            add_generation_prompt=add_generation_prompt,
            continue_final_message=continue_final_message,
            **template_options,
        )
        if escape is None:
            return self.encode(text)
        require_encodable(text)
        with refusals_as_request_errors():
            return escape.encode(text)

    def close(self) -> None:
        """End the processes that render chat templates. A later chat starts another."""
        for template in self._templates.values():
            template.close()

    def _hold_special(self, texts: Sequence[str]) -> bool:
        pattern = self._special_pattern
        return pattern is not None and any(pattern.search(text) for text in texts)
