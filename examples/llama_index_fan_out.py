"""LlamaIndex: one question to many indexes. The sub-questions run as one continuous batch."""

import asyncio
from collections.abc import Sequence

from llama_index.core import QueryBundle, SummaryIndex
from llama_index.core.prompts.mixin import PromptDictType
from llama_index.core.query_engine import RetrieverQueryEngine, SubQuestionQueryEngine
from llama_index.core.question_gen.types import BaseQuestionGenerator, SubQuestion
from llama_index.core.response_synthesizers import TreeSummarize
from llama_index.core.schema import TextNode
from llama_index.core.tools import QueryEngineTool, ToolMetadata

from mlx_backends import registry
from mlx_backends.config import EngineConfig
from mlx_backends.llama_index import MLXLLM, GroundedSynthesizer

SERVERS = [f"{a}{b}" for a in ("Al", "Be", "Ce", "Du") for b in ("dor", "mer", "nis", "pa")]


class AskEach(BaseQuestionGenerator):
    """Asks every index the same. A large model can write the questions (LLMQuestionGenerator)."""

    def generate(self, tools: Sequence[ToolMetadata], query: QueryBundle) -> list[SubQuestion]:
        return [
            SubQuestion(
                sub_question=f"What is the default port of {tool.name}?", tool_name=str(tool.name)
            )
            for tool in tools
        ]

    async def agenerate(
        self, tools: Sequence[ToolMetadata], query: QueryBundle
    ) -> list[SubQuestion]:
        return self.generate(tools, query)

    def _get_prompts(self) -> PromptDictType:
        return {}

    def _update_prompts(self, prompts_dict: PromptDictType) -> None:
        pass


def tool_for(name: str, port: int, llm: MLXLLM) -> QueryEngineTool:
    index = SummaryIndex([TextNode(text=f"The default port of {name} is {port}.")])
    engine = RetrieverQueryEngine(
        retriever=index.as_retriever(), response_synthesizer=GroundedSynthesizer(llm)
    )
    return QueryEngineTool.from_defaults(engine, name=name, description=f"All about {name}.")


async def ask_all(model: str) -> tuple[list[str], int]:
    llm = MLXLLM(model=model, temperature=0, max_tokens=48)
    engine = SubQuestionQueryEngine(
        question_gen=AskEach(),
        response_synthesizer=TreeSummarize(llm=llm),
        query_engine_tools=[tool_for(name, 4_000 + i, llm) for i, name in enumerate(SERVERS)],
        verbose=False,
    )
    response = await engine.aquery("Which ports do the servers use?")
    answers = [node.node.get_content() for node in response.source_nodes[: len(SERVERS)]]
    return answers, registry.get_engine(EngineConfig(model=model)).stats().largest_batch


def main(model: str = "bundled") -> tuple[list[str], int]:
    answers, largest_batch = asyncio.run(ask_all(model))
    print(*answers, sep="\n")
    print(f"{len(SERVERS)} sub-questions; up to {largest_batch} were answered in one step.")
    return answers, largest_batch


if __name__ == "__main__":
    main()
