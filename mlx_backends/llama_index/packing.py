"""Fills the context window with retrieved passages, and never more than it holds."""

import bisect
from collections.abc import Sequence
from typing import Self

from llama_index.core.postprocessor.types import BaseNodePostprocessor
from llama_index.core.prompts.base import BasePromptTemplate
from llama_index.core.prompts.default_prompt_selectors import DEFAULT_TEXT_QA_PROMPT_SEL
from llama_index.core.schema import MetadataMode, NodeWithScore, QueryBundle
from pydantic import Field, SerializeAsAny, model_validator

from mlx_backends.errors import ConfigError, ContextLengthError
from mlx_backends.llama_index.llms import MLXLLM
from mlx_backends.llama_index.settings import prompt_helper

# What LlamaIndex puts between passages.
_SEPARATOR = "\n\n"


class ContextPacker(BaseNodePostprocessor):
    """Keeps as many of the best nodes as one prompt holds, counted by the model's own tokenizer.

    The whole prompt is counted: the chat template, ``system_prompt``, the prompt of the query
    engine, the question and the passages as LlamaIndex joins them. Put it last among the
    postprocessors. With ``response_mode="tree_summarize"`` and its prompt here, a query engine then
    makes one call and cuts no passage; the modes that refine keep further 500 tokens free, and may
    make a second call.

    Raises:
        ConfigError: ``num_output`` leaves no room for a prompt.
        ContextLengthError: Not even the best node fits.
    """

    llm: SerializeAsAny[MLXLLM] = Field(description="The model that is to answer.")
    prompt: SerializeAsAny[BasePromptTemplate] = Field(
        default=DEFAULT_TEXT_QA_PROMPT_SEL,
        description="The prompt that shows context_str and query_str to it.",
        exclude=True,
    )
    num_output: int | None = Field(
        default=None, gt=0, description="Tokens left for the answer; None is the model's own."
    )

    @model_validator(mode="after")
    def _check_variables(self) -> Self:
        missing = {"context_str", "query_str"} - set(self.prompt.template_vars)
        if missing:
            raise ConfigError(f"prompt has no variable {', '.join(sorted(missing))}.")
        return self

    @classmethod
    def class_name(cls) -> str:
        return "ContextPacker"

    def _postprocess_nodes(
        self, nodes: list[NodeWithScore], query_bundle: QueryBundle | None = None
    ) -> list[NodeWithScore]:
        query = query_bundle.query_str if query_bundle else ""
        texts = [scored.node.get_content(metadata_mode=MetadataMode.LLM) for scored in nodes]
        room = self._room()
        fitting = bisect.bisect_left(
            range(1, len(texts) + 1),
            True,
            key=lambda count: not self._fits(texts[:count], query, room),
        )
        if texts and not fitting:
            raise ContextLengthError(
                self._prompt_tokens(texts[:1], query), self.llm.metadata.context_window
            )
        return nodes[:fitting]

    def _fits(self, texts: Sequence[str], query: str, room: int) -> bool:
        return self._prompt_tokens(texts, query) <= room and self._is_one_call(texts, query)

    def _room(self) -> int:
        """Most tokens of a prompt."""
        metadata = self.llm.metadata
        num_output = self.num_output or metadata.num_output
        if num_output >= metadata.context_window:
            raise ConfigError(
                f"num_output is {num_output:,}; the context window of {metadata.context_window:,} "
                "tokens must also hold a prompt."
            )
        return metadata.context_window - num_output

    def _prompt_tokens(self, texts: Sequence[str], query: str) -> int:
        messages = self.prompt.format_messages(
            llm=self.llm, context_str=_SEPARATOR.join(texts), query_str=query
        )
        return self.llm.count_tokens(self.llm._extend_messages(messages))

    def _is_one_call(self, texts: Sequence[str], query: str) -> bool:
        """Whether LlamaIndex's own, rougher count finds that the texts fit too."""
        helper = prompt_helper(self.llm)
        if self.num_output:
            helper.num_output = self.num_output
        asked = self.prompt.partial_format(query_str=query)
        return len(helper.repack(asked, texts, llm=self.llm)) == 1
