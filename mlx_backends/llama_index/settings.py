"""LlamaIndex's global ``Settings`` for this package's models, counted by their own tokenizers."""

from collections.abc import Sequence
from functools import partial
from typing import Any

from llama_index.core import Settings
from llama_index.core.base.llms.types import ChatMessage, MessageRole
from llama_index.core.constants import DEFAULT_CHUNK_SIZE
from llama_index.core.indices.prompt_helper import ChatPromptHelper, PromptHelper
from llama_index.core.node_parser import SentenceSplitter
from llama_index.core.utils import set_global_tokenizer

from mlx_backends.llama_index.embeddings import MLXEmbedding
from mlx_backends.llama_index.llms import MLXLLM

# Of a chunk, for what stands across a boundary.
_OVERLAP = 1 / 8
# A splitter adds up counts of sentences; their first words can take more tokens where a chunk or
# its metadata begins.
_SLACK_TOKENS = 8


def configure(
    model: str | MLXLLM | None = None,
    embed_model: str | MLXEmbedding | None = None,
    **options: Any,
) -> None:
    """Set all of ``Settings`` that depends on the models.

    These are ``llm``, ``embed_model``, ``tokenizer``, ``prompt_helper`` and ``chat_prompt_helper``
    (prompts that fit the language model), ``node_parser`` and ``transformations`` (chunks that fit
    the embedding model). Reads the models' small files; weights load with the first request.

    Args:
        model: A language model, or its folder or Hub id.
        embed_model: An embedding model, or its folder or Hub id.
        options: Further options of ``MLXLLM``, if ``model`` is not one already.

    Raises:
        pydantic.ValidationError: An option is unknown or out of its range.
        ModelError: A model cannot be found or read.
    """
    llm = model if isinstance(model, MLXLLM) else MLXLLM(model=model, **options)
    if not isinstance(embed_model, MLXEmbedding):
        embed_model = MLXEmbedding(model=embed_model)
    # All are made before any is set, so that an error changes nothing.
    prompts, chat_prompts = prompt_helper(llm), chat_prompt_helper(llm)
    splitter = splitter_for(embed_model)
    Settings.llm = llm
    Settings.embed_model = embed_model
    set_global_tokenizer(llm.tokenize)  # Settings.tokenizer, whose setter imports transformers
    Settings.prompt_helper = prompts
    Settings.chat_prompt_helper = chat_prompts
    Settings.node_parser = splitter
    Settings.transformations = [splitter]  # which may hold the parser of an earlier index


def prompt_helper(llm: MLXLLM) -> PromptHelper:
    """A prompt helper whose prompts fit, chat template included, and leave ``num_output``."""
    metadata = llm.metadata
    return PromptHelper(
        context_window=metadata.context_window - _template_tokens(llm),
        num_output=metadata.num_output,
        tokenizer=llm.tokenize,
    )


def chat_prompt_helper(llm: MLXLLM) -> ChatPromptHelper:
    """As ``prompt_helper``, for synthesizers that work on messages."""
    metadata = llm.metadata
    return ChatPromptHelper(
        context_window=metadata.context_window - _template_tokens(llm),
        num_output=metadata.num_output,
        tokenizer=llm.tokenize,
    )


def splitter_for(
    embed_model: MLXEmbedding, chunk_size: int = DEFAULT_CHUNK_SIZE
) -> SentenceSplitter:
    """A splitter whose chunks, metadata included, the embedding model reads to their end.

    Args:
        embed_model: Counts, and sets the limit.
        chunk_size: Most tokens of a chunk, if the model reads so many.
    """
    around = embed_model.count_tokens("")
    size = min(chunk_size, embed_model.max_tokens) - around - _SLACK_TOKENS
    return SentenceSplitter(
        chunk_size=size,
        chunk_overlap=int(size * _OVERLAP),
        tokenizer=partial(_tokens, embed_model, around),
    )


def _template_tokens(llm: MLXLLM) -> int:
    """What the chat template adds to a system and a user message."""
    if not llm.metadata.is_chat_model:
        return 0
    roles = (MessageRole.SYSTEM, MessageRole.USER)
    whole = llm.count_tokens([ChatMessage("x", role=role) for role in roles])
    return whole - len(roles) * len(llm.tokenize("x"))


def _tokens(embed_model: MLXEmbedding, around: int, text: str) -> Sequence[int]:
    """As many as the text has of its own. Splitters only ask how many there are."""
    return range(embed_model.count_tokens(text) - around)
