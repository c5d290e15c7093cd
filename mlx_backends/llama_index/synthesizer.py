"""LlamaIndex's ``BaseSynthesizer`` for answers that cite the passages they rest on."""

from collections.abc import AsyncGenerator, Generator, Sequence
from typing import Any

from llama_index.core import Settings
from llama_index.core.base.llms.types import ChatMessage, ChatResponseAsyncGen, ChatResponseGen
from llama_index.core.callbacks import CallbackManager
from llama_index.core.prompts.mixin import PromptDictType
from llama_index.core.response_synthesizers import BaseSynthesizer
from llama_index.core.types import RESPONSE_TEXT_TYPE

from mlx_backends.errors import ConfigError
from mlx_backends.grammar.citations import cited_answer
from mlx_backends.llama_index.llms import MLXLLM
from mlx_backends.text.grounding import grounded_messages


class GroundedSynthesizer(BaseSynthesizer):
    """Shows the model all passages in one prompt, numbered, and has it cite them, like ``[2]``.

    The numbers are places in the response's ``source_nodes``, from 1. LlamaIndex's own synthesizers
    join passages to one text and cut what does not fit; here they stay apart, and a prompt that
    does not fit is an error (``ContextPacker`` keeps as many nodes as fit).

    Args:
        llm: The model; None is ``Settings.llm``.
        streaming: Give the answer as it is written.
        cites_only_given: Enforce by grammar that an answer cites at least one passage and none that
            it was not given, or else is the refusal. False leaves it to the model.
        callback_manager: Hears of the synthesis.

    Raises:
        ConfigError: The model is not an ``MLXLLM``.
    """

    def __init__(
        self,
        llm: MLXLLM | None = None,
        *,
        streaming: bool = False,
        cites_only_given: bool = True,
        callback_manager: CallbackManager | None = None,
    ) -> None:
        model = llm or Settings.llm
        if not isinstance(model, MLXLLM):
            raise ConfigError(
                "GroundedSynthesizer needs an MLXLLM, whose answers a grammar can hold; "
                f"got {type(model).__name__}."
            )
        super().__init__(llm=model, streaming=streaming, callback_manager=callback_manager)
        self._model = model
        self._cites_only_given = cites_only_given

    def get_response(
        self, query_str: str, text_chunks: Sequence[str], **kwargs: Any
    ) -> RESPONSE_TEXT_TYPE:
        messages = self._messages(query_str, text_chunks)
        options = {**self._options(text_chunks), **kwargs}
        if not self._streaming:
            return self._model.chat(messages, **options).message.content or ""
        return _deltas(self._model.stream_chat(messages, **options))

    async def aget_response(
        self, query_str: str, text_chunks: Sequence[str], **kwargs: Any
    ) -> RESPONSE_TEXT_TYPE:
        messages = self._messages(query_str, text_chunks)
        options = {**self._options(text_chunks), **kwargs}
        if not self._streaming:
            return (await self._model.achat(messages, **options)).message.content or ""
        return _adeltas(await self._model.astream_chat(messages, **options))

    def _messages(self, question: str, passages: Sequence[str]) -> list[ChatMessage]:
        messages = [ChatMessage(**message) for message in grounded_messages(question, passages)]
        return [*self._model._extend_messages(messages)]

    def _options(self, passages: Sequence[str]) -> dict[str, Any]:
        return {"grammar": cited_answer(len(passages))} if self._cites_only_given else {}

    def _get_prompts(self) -> PromptDictType:
        return {}

    def _update_prompts(self, prompts_dict: PromptDictType) -> None:
        """Nothing: the prompt is the one that the citations are read by."""


def _deltas(responses: ChatResponseGen) -> Generator[str, None, None]:
    for response in responses:
        yield response.delta or ""


async def _adeltas(responses: ChatResponseAsyncGen) -> AsyncGenerator[str, None]:
    async for response in responses:
        yield response.delta or ""
