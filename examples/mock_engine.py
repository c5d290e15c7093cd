"""Test a chain without a model: MockEngine recites, and remembers what it was asked."""

from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate

from mlx_backends import MockEngine
from mlx_backends.langchain import ChatMLX


def main() -> str:
    engine = MockEngine(["Paris."])
    prompt = ChatPromptTemplate.from_messages([("human", "What is the capital of {country}?")])
    chain = prompt | ChatMLX(engine=engine, temperature=0.5) | StrOutputParser()
    answer = chain.invoke({"country": "France"})
    assert "capital of France" in engine.calls[0].prompt
    assert engine.calls[0].sampling_params.temperature == 0.5
    print(answer)
    return answer


if __name__ == "__main__":
    main()
