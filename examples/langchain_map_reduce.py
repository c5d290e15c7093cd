"""LangChain: a map-reduce chain. All passages are read at once, as one continuous batch."""

from langchain_core.output_parsers import StrOutputParser
from langchain_core.runnables import RunnableLambda

from mlx_backends import registry
from mlx_backends.config import EngineConfig
from mlx_backends.langchain import ChatMLX
from mlx_backends.text.grounding import REFUSAL, grounded_messages

REPORTS = [
    "The server in Oslo listens on port 8080. It was installed in spring.",
    "The server in Rome keeps its log files for 14 days.",
    "The server in Lima prints the load of every worker when it is asked for its status.",
    "The server in Oslo is backed up every night.",
    "The owner of the server in Lima is the harbour office.",
    "The server in Kyiv was moved to the second floor.",
    "The server in Rome restarts on every first Monday.",
    "The memory of the server in Kyiv is 64 GB.",
]
QUESTION = "Which port does the server in Oslo listen on?"


def _asked_of(passages: list[str]) -> list[dict[str, str]]:
    return grounded_messages(QUESTION, passages)


def main(model: str = "bundled") -> tuple[str, int]:
    llm = ChatMLX(model=model, temperature=0, max_tokens=48) | StrOutputParser()
    ask = RunnableLambda(_asked_of) | llm
    findings = ask.batch([[report] for report in REPORTS])
    relevant = [
        report for report, finding in zip(REPORTS, findings, strict=True) if finding != REFUSAL
    ]
    answer = ask.invoke(relevant)
    print(*findings, answer, sep="\n")
    largest_batch = registry.get_engine(EngineConfig(model=model)).stats().largest_batch
    print(f"{len(REPORTS)} reports; up to {largest_batch} were read in one step.")
    return answer, largest_batch


if __name__ == "__main__":
    main()
