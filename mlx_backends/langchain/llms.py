"""``MLXLLM``: LangChain's completion model over the engine, for prompts without a chat template."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import LanguageModelInput
from langchain_core.language_models.llms import BaseLLM
from langchain_core.outputs import GenerationChunk, LLMResult
from langchain_core.runnables import RunnableConfig
from pydantic import ConfigDict, PrivateAttr

from mlx_backends.engine.prepared import PreparedRequest, aresults, results
from mlx_backends.engine.prepared_chat import given_grammar
from mlx_backends.langchain import _results
from mlx_backends.langchain._batching import all_at_once
from mlx_backends.langchain._options import EngineOptions

# What a call says about its run, not about its answer.
_RUN_OPTIONS = frozenset({"callbacks", "tags", "metadata", "run_name", "run_id", "stream"})


class MLXLLM(EngineOptions, BaseLLM):
    """Continue text with a model that MLX runs in this process.

    Example:
        ```python
        from mlx_backends.langchain import MLXLLM

        llm = MLXLLM(model="mlx-community/Qwen3-4B-4bit", max_tokens=64)
        llm.invoke("The three laws of robotics are")
        ```

    The prompts of one call (``batch``, ``generate``) become one continuous batch. Instruction-tuned
    models answer better through ``ChatMLX``, which applies their chat template.

    A call (or ``bind``) also takes ``grammar``: a ``Grammar``, or a mapping such as
    ``{"regex": "[0-9]+"}`` from one of json_schema, regex, choice, lark and gbnf.
    """

    # Not inherited: pydantic lets the last base, LangChain's, decide.
    model_config = ConfigDict(extra="forbid")

    _call_options: str | None = PrivateAttr(default=None)

    @property
    def _llm_type(self) -> str:
        return "mlx"

    @property
    def _identifying_params(self) -> dict[str, Any]:
        called = {} if self._call_options is None else {"call_options": self._call_options}
        return {**super()._identifying_params, **called}

    def batch_as_completed(  # pyright: ignore[reportIncompatibleMethodOverride]
        self,
        inputs: Sequence[LanguageModelInput],
        config: RunnableConfig | Sequence[RunnableConfig] | None = None,
        **kwargs: Any,
    ) -> Iterator[tuple[int, str | Exception]]:
        """Complete many prompts as one continuous batch, each given back as soon as it is there."""
        return super().batch_as_completed(inputs, all_at_once(config, len(inputs)), **kwargs)

    def generate(
        self, prompts: list[str], stop: list[str] | None = None, *args: Any, **kwargs: Any
    ) -> LLMResult:
        return super(MLXLLM, self._keyed(kwargs)).generate(prompts, stop, *args, **kwargs)

    async def agenerate(
        self, prompts: list[str], stop: list[str] | None = None, *args: Any, **kwargs: Any
    ) -> LLMResult:
        return await super(MLXLLM, self._keyed(kwargs)).agenerate(prompts, stop, *args, **kwargs)

    def _generate(
        self,
        prompts: list[str],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> LLMResult:
        model_name, requests = self._prepare(prompts, stop, kwargs)
        return _results.to_llm_result(results(requests), model_name)

    async def _agenerate(
        self,
        prompts: list[str],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> LLMResult:
        model_name, requests = await asyncio.to_thread(self._prepare, prompts, stop, kwargs)
        return _results.to_llm_result(await aresults(requests), model_name)

    def _stream(
        self,
        prompt: str,
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[GenerationChunk]:
        model_name, (request,) = self._prepare([prompt], stop, kwargs)
        with contextlib.closing(request.submit().stream()) as outputs:
            for output in filter(_results.is_visible, outputs):
                chunk = _results.to_generation_chunk(output, model_name)
                if run_manager is not None:
                    run_manager.on_llm_new_token(chunk.text, chunk=chunk)
                yield chunk

    async def _astream(
        self,
        prompt: str,
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[GenerationChunk]:
        model_name, (request,) = await asyncio.to_thread(self._prepare, [prompt], stop, kwargs)
        async with contextlib.aclosing(request.submit().astream()) as outputs:
            async for output in outputs:
                if not _results.is_visible(output):
                    continue
                chunk = _results.to_generation_chunk(output, model_name)
                if run_manager is not None:
                    await run_manager.on_llm_new_token(chunk.text, chunk=chunk)
                yield chunk

    def _keyed(self, options: dict[str, Any]) -> "MLXLLM":
        """This model, named after a call's options too.

        LangChain looks answers up in its cache by the model's own options only, and so would give
        an answer without a grammar to a call with one.
        """
        own = sorted((name, v) for name, v in options.items() if name not in _RUN_OPTIONS)
        if not own:
            return self
        llm = self.model_copy()
        llm._call_options = repr(own)
        return llm

    def _prepare(
        self, prompts: list[str], stop: list[str] | None, options: dict[str, Any]
    ) -> tuple[str, list[PreparedRequest]]:
        """The model's name and the prompts, tokenized. Blocks: it may import MLX and read files."""
        sampling = {name: value for name, value in options.items() if name != "grammar"}
        engine, params = self._call_settings(stop, sampling)
        grammar = given_grammar(options.get("grammar"))
        encode = engine.tokenizer.encode
        requests = [
            PreparedRequest(engine, encode(prompt, add_special_tokens=True), params, grammar)
            for prompt in prompts
        ]
        return engine.model_name, requests
