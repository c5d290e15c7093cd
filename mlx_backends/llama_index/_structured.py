"""Answers as objects of a pydantic class, which the grammar of its JSON schema makes certain."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Generator
from typing import Any, Generic, TypeVar

from llama_index.core.base.llms.types import ChatMessage, ChatResponse
from llama_index.core.instrumentation.events.llm import (
    LLMStructuredPredictEndEvent,
    LLMStructuredPredictStartEvent,
)
from llama_index.core.llms.function_calling import FunctionCallingLLM
from llama_index.core.program.function_program import get_function_tool
from llama_index.core.program.utils import FlexibleModel, create_flexible_model
from llama_index.core.prompts import PromptTemplate
from llama_index.core.types import PydanticProgramMode
from llama_index_instrumentation import get_dispatcher
from pydantic import BaseModel, ValidationError
from pydantic_core import from_json

from mlx_backends.grammar.spec import Grammar

ObjectT = TypeVar("ObjectT", bound=BaseModel)
dispatcher = get_dispatcher(__name__)
_NOTHING = ChatResponse(message=ChatMessage())
_CONSTRAINED_MODES = (PydanticProgramMode.DEFAULT, PydanticProgramMode.FUNCTION)


class StructuredPrediction(FunctionCallingLLM):
    """The four ``structured_predict`` methods by constrained decoding.

    A model that was trained on tools is shown the class as a tool, which it has to call; the answer
    of any other model is constrained to the class's JSON schema, which it is not shown. The modes
    ``LLM`` and those of other packages are LlamaIndex's own, and constrain nothing.
    """

    def structured_predict(
        self,
        output_cls: type[ObjectT],
        prompt: PromptTemplate,
        llm_kwargs: dict[str, Any] | None = None,
        **prompt_args: Any,
    ) -> ObjectT:
        """Answer a prompt with an object.

        Raises:
            GrammarBudgetError: No object of the class fits ``max_tokens``.
            ValidationError: The class refuses the object for a reason that is not in its schema.
        """
        if not self._constrains():
            return super().structured_predict(output_cls, prompt, llm_kwargs, **prompt_args)
        _report_start(output_cls, prompt, prompt_args)
        messages = self._get_messages(prompt, **prompt_args)
        response = self.chat(messages, **self._constrained(output_cls, llm_kwargs))
        return _reported(_whole_object(output_cls, response))

    async def astructured_predict(
        self,
        output_cls: type[ObjectT],
        prompt: PromptTemplate,
        llm_kwargs: dict[str, Any] | None = None,
        **prompt_args: Any,
    ) -> ObjectT:
        """As ``structured_predict``, on an event loop."""
        if not self._constrains():
            return await super().astructured_predict(output_cls, prompt, llm_kwargs, **prompt_args)
        _report_start(output_cls, prompt, prompt_args)
        messages = self._get_messages(prompt, **prompt_args)
        options = await asyncio.to_thread(self._constrained, output_cls, llm_kwargs)
        return _reported(_whole_object(output_cls, await self.achat(messages, **options)))

    def _structured_stream_call(
        self,
        output_cls: type[ObjectT],
        prompt: PromptTemplate,
        llm_kwargs: dict[str, Any] | None = None,
        **prompt_args: Any,
    ) -> Generator[Any, None, None]:
        """The object as it grows; ``stream_structured_predict`` adds the events."""
        if not self._constrains():
            return super()._structured_stream_call(output_cls, prompt, llm_kwargs, **prompt_args)
        messages = self._get_messages(prompt, **prompt_args)
        options = self._constrained(output_cls, llm_kwargs)
        return _growing(output_cls, self.stream_chat(messages, **options))

    async def _structured_astream_call(
        self,
        output_cls: type[ObjectT],
        prompt: PromptTemplate,
        llm_kwargs: dict[str, Any] | None = None,
        **prompt_args: Any,
    ) -> AsyncGenerator[Any, None]:
        """As ``_structured_stream_call``, on an event loop."""
        if not self._constrains():
            return await super()._structured_astream_call(
                output_cls, prompt, llm_kwargs, **prompt_args
            )
        messages = self._get_messages(prompt, **prompt_args)
        options = await asyncio.to_thread(self._constrained, output_cls, llm_kwargs)
        return _agrowing(output_cls, await self.astream_chat(messages, **options))

    def _constrains(self) -> bool:
        return self.pydantic_program_mode in _CONSTRAINED_MODES

    def _constrained(
        self, output_cls: type[BaseModel], llm_kwargs: dict[str, Any] | None
    ) -> dict[str, Any]:
        """Options of the call; blocks, as it may read the model's files.

        Raises:
            UnsupportedModelError: The mode is ``FUNCTION`` and the model cannot call tools.
        """
        options = {"stop": [], **(llm_kwargs or {})}  # a stop string would cut the object off
        if (
            self.metadata.is_function_calling_model
            or self.pydantic_program_mode == PydanticProgramMode.FUNCTION
        ):
            tools = {"tools": [get_function_tool(output_cls)], "tool_choice": "any"}
            return options | tools | {"allow_parallel_tool_calls": False}
        return options | {"grammar": Grammar.json_schema(output_cls.model_json_schema())}


def _growing(
    output_cls: type[ObjectT], responses: Generator[ChatResponse, None, None]
) -> Generator[Any, None, None]:
    partial, response = _PartialObject(output_cls), _NOTHING
    with contextlib.closing(responses):
        for response in responses:
            if partial.has_grown(response):
                yield partial.value
    yield _whole_object(output_cls, response)


async def _agrowing(
    output_cls: type[ObjectT], responses: AsyncGenerator[ChatResponse, None]
) -> AsyncGenerator[Any, None]:
    partial, response = _PartialObject(output_cls), _NOTHING
    async with contextlib.aclosing(responses):
        async for response in responses:
            if partial.has_grown(response):
                yield partial.value
    yield _whole_object(output_cls, response)


class _PartialObject(Generic[ObjectT]):
    """An object read from JSON that is still being written.

    Attributes:
        value: Of the class if what there is validates, else a model of the same fields in which
            those not written yet are None.
    """

    def __init__(self, output_cls: type[ObjectT]) -> None:
        self._class = output_cls
        self._flexible_class = create_flexible_model(output_cls)
        self._data: Any = None
        self.value: ObjectT | FlexibleModel = self._flexible_class()

    def has_grown(self, response: ChatResponse) -> bool:
        """Read on; whether there is more than before and the object is not whole yet."""
        text = _json_text(response)
        if not text or response.raw is not None:  # of the last response the whole object is made
            return False
        data = from_json(text, allow_partial="trailing-strings")
        if data == self._data:
            return False
        self._data = data
        try:
            self.value = self._class.model_validate(data)
        except ValidationError:
            self.value = self._flexible_class.model_validate(data)
        return True


def _whole_object(output_cls: type[ObjectT], response: ChatResponse) -> ObjectT:
    return output_cls.model_validate_json(_json_text(response))


def _json_text(response: ChatResponse) -> str:
    """The arguments of the call, or the answer."""
    calls = response.message.additional_kwargs.get("tool_calls")
    return calls[0]["function"]["arguments"] if calls else response.message.content or ""


def _report_start(
    output_cls: type[BaseModel], prompt: PromptTemplate, prompt_args: dict[str, Any]
) -> None:
    dispatcher.event(
        LLMStructuredPredictStartEvent(
            output_cls=output_cls, template=prompt, template_args=prompt_args
        )
    )


def _reported(value: ObjectT) -> ObjectT:
    dispatcher.event(LLMStructuredPredictEndEvent(output=value))
    return value
