"""Text to token ids and back, for one model.

Owns the choice between the ``tokenizers`` library and tiktoken, special tokens, and the way from a
chat to a prompt. It knows neither the model's weights nor its context window. Nothing of a model's
folder is run here; its chat template runs in a process of its own (``template_renderer``).
"""

import json
import re
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import tiktoken
import tokenizers

from mlx_backends.errors import (
    ChatTemplateError,
    RequestError,
    TokenIdError,
    UnsupportedModelError,
)
from mlx_backends.text.added_tokens import AddedTokens
from mlx_backends.text.byte_alphabet import bytes_of
from mlx_backends.text.byte_level_encoder import ByteLevelEncoder
from mlx_backends.text.chat_template import ChatTemplate, Message, TemplateOption
from mlx_backends.text.detokenizer import ByteLevelDetokenizer, Detokenizer, WindowDetokenizer
from mlx_backends.text.native import NativePanicError, panics_as_errors, refusals_as_request_errors
from mlx_backends.text.reasoning import reasoning_format
from mlx_backends.text.special_escape import SpecialEscape, pattern_of, texts_in
from mlx_backends.text.tiktoken_bridge import bridge
from mlx_backends.text.tokenizer_files import MAX_TOKEN_ID, TokenizerFiles, read_tokenizer_files
from mlx_backends.text.tool_formats import tool_format

# Half a million tokens of English. On hostile text (one run of letters, or of spaces) both
# libraries take up to a microsecond a character, so that no text holds a thread for much longer
# than two seconds.
MAX_TEXT_CHARS = 2 * 2**20
# From here on tiktoken saves more than building its tables costs, over a few texts.
_BULK_CHARS = 64 * 1024
_BYTE_TOKEN = re.compile(r"<0x([0-9A-Fa-f]{2})>")


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
        self._library = files.library
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
        self._decoder_types = _decoder_types(files.library)
        self._token_bytes: dict[int, bytes] = {}
        self._lock = threading.Lock()
        self._plain_library: tokenizers.Tokenizer | None = None
        self._bulk: ByteLevelEncoder | None = None
        self._bulk_reason: str | None = None

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
        encoder = self._bulk_encoder()
        return encoder.encoding if encoder else None

    @property
    def encoding_reason(self) -> str | None:
        """Why there is no ``encoding``; None if there is one."""
        self._bulk_encoder()
        return self._bulk_reason

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
        _require_encodable(text)
        if not add_special_tokens and (encoder := self._encoder_for(text, len(text))):
            # What tiktoken cannot take, the library may.
            with suppress(NativePanicError), panics_as_errors():
                return encoder.encode(text, parse_special=parse_special)
        library = self._library if parse_special else self._library_without_special()
        with refusals_as_request_errors():
            if len(text) < _BULK_CHARS:
                return library.encode(text, add_special_tokens=add_special_tokens).ids
            # Twice as fast: it records no offsets, which only batches can leave out.
            return library.encode_batch_fast([text], add_special_tokens=add_special_tokens)[0].ids

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
        for text in texts:
            _require_encodable(text)
        num_chars = sum(map(len, texts))
        if not add_special_tokens and all(self._encoder_for(text, num_chars) for text in texts):
            return [self.encode(text, parse_special=parse_special) for text in texts]
        library = self._library if parse_special else self._library_without_special()
        with refusals_as_request_errors():
            encoded = library.encode_batch_fast(texts, add_special_tokens=add_special_tokens)
        return [encoding.ids for encoding in encoded]

    def count(self, text: str) -> int:
        """Number of tokens of a text."""
        return len(self.encode(text))

    def decode(self, token_ids: Sequence[int], *, skip_special_tokens: bool = True) -> str:
        """Decode ids; unfinished characters become U+FFFD.

        Raises:
            TokenIdError: An id is negative or absurdly large.
        """
        for token_id in token_ids:
            _require_id(token_id)
        return self._library.decode(list(token_ids), skip_special_tokens=skip_special_tokens)

    def token_text(self, token_id: int) -> str:
        """A token as text for display, special tokens and leading spaces included.

        Raises:
            TokenIdError: The id is negative or absurdly large.
        """
        _require_id(token_id)
        if self._is_byte_level:
            return self._bytes_of_token(token_id).decode("utf-8", "replace")
        token = self._library.id_to_token(token_id) or ""
        if match := _BYTE_TOKEN.fullmatch(token):
            return bytes([int(match[1], 16)]).decode("utf-8", "replace")
        return token.replace("\u2581", " ")

    def token_bytes(self, token_id: int) -> bytes:
        """The bytes that a token adds to the text, a special token's name included.

        Raises:
            TokenIdError: The id is negative or absurdly large.
        """
        _require_id(token_id)
        if self._is_byte_level:
            return self._bytes_of_token(token_id)
        token = self._library.id_to_token(token_id) or ""
        if match := _BYTE_TOKEN.fullmatch(token):
            return bytes([int(match[1], 16)])
        return token.replace("\u2581", " ").encode()

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
        hidden = self._special_ids if skip_special_tokens else frozenset[int]()
        if self._is_byte_level:
            return ByteLevelDetokenizer(partial(self._shown_bytes, hidden))
        return WindowDetokenizer(
            decode=partial(self.decode, skip_special_tokens=False),
            is_hidden=partial(self._is_hidden, hidden),
            is_byte=self._is_byte_token,
        )

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
        _require_length(sum(map(len, texts)))
        is_plain = parse_special_in_messages or not self._hold_special(texts)
        escape = None if is_plain else self._special_escape()
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
        _require_encodable(text)
        with refusals_as_request_errors():
            return escape.encode(text)

    def close(self) -> None:
        """End the processes that render chat templates. A later chat starts another."""
        for template in self._templates.values():
            template.close()

    @property
    def _is_byte_level(self) -> bool:
        return self._decoder_types == ("ByteLevel",)

    def _encoder_for(self, text: str, num_chars: int) -> ByteLevelEncoder | None:
        """The fast encoder, if it is worth its tables and can take the text."""
        if num_chars < _BULK_CHARS and self._bulk is None:
            return None
        encoder = self._bulk_encoder()
        return encoder if encoder and encoder.can_encode(text) else None

    def _bulk_encoder(self) -> ByteLevelEncoder | None:
        with self._lock:
            if self._bulk is None and self._bulk_reason is None:
                result = bridge(self._library)
                self._bulk_reason = result.reason
                if result.encoding is not None:
                    added = AddedTokens.of(self._library)
                    self._bulk = ByteLevelEncoder(result.encoding, added)
            return self._bulk

    def _hold_special(self, texts: Sequence[str]) -> bool:
        pattern = self._special_pattern
        return pattern is not None and any(pattern.search(text) for text in texts)

    def _special_escape(self) -> SpecialEscape:
        encoder = self._bulk_encoder()
        if encoder is None:
            raise UnsupportedModelError(
                "A message holds a special token, which cannot be encoded as text for this model: "
                f"{self._bulk_reason}. Remove it, or pass parse_special_in_messages=True if the "
                "content is trusted."
            )
        return SpecialEscape(encoder)

    def _library_without_special(self) -> tokenizers.Tokenizer:
        # A copy: the setting belongs to a tokenizer, and threads share this one.
        with self._lock:
            if self._plain_library is None:
                self._plain_library = tokenizers.Tokenizer.from_str(self._library.to_str())
                self._plain_library.encode_special_tokens = True
            return self._plain_library

    def _shown_bytes(self, hidden: frozenset[int], token_id: int) -> bytes:
        return b"" if token_id in hidden else self._bytes_of_token(token_id)

    def _is_hidden(self, hidden: frozenset[int], token_id: int) -> bool:
        _require_id(token_id)
        return token_id in hidden or self._library.id_to_token(token_id) is None

    def _bytes_of_token(self, token_id: int) -> bytes:
        data = self._token_bytes.get(token_id)
        if data is None:
            _require_id(token_id)
            token = self._library.id_to_token(token_id) or ""
            data = bytes_of(token)
            # The decoder takes a token that is not written in the alphabet as it is.
            data = token.encode() if data is None else data
            self._token_bytes[token_id] = data
        return data

    def _is_byte_token(self, token_id: int) -> bool:
        if "ByteLevel" in self._decoder_types:
            # Other steps follow, so that only the whole text is sure.
            return True
        if "ByteFallback" not in self._decoder_types:
            return False
        token = self._library.id_to_token(token_id)
        return token is not None and _BYTE_TOKEN.fullmatch(token) is not None


def _decoder_types(library: tokenizers.Tokenizer) -> tuple[str, ...]:
    """The decoder's steps by name."""
    if library.decoder is None:
        return ()
    spec = json.loads(library.decoder.__getstate__())
    steps = spec["decoders"] if spec["type"] == "Sequence" else [spec]
    return tuple(step["type"] for step in steps)


def _require_length(num_chars: int) -> None:
    if num_chars > MAX_TEXT_CHARS:
        raise RequestError(
            f"The text has {num_chars:,} characters; at most {MAX_TEXT_CHARS:,} are encoded at "
            "once. Split it."
        )


def _require_encodable(text: str) -> None:
    _require_length(len(text))
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise RequestError(
            f"The text is not Unicode: character {error.start:,} is the lone surrogate "
            f"U+{ord(text[error.start]):04X}."
        ) from None


def _require_id(token_id: int) -> None:
    if not 0 <= token_id <= MAX_TOKEN_ID:
        raise TokenIdError(f"{token_id} is not a token id.")
