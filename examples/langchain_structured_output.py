"""LangChain: answers that are JSON of a schema, match a pattern, or cite what was given."""

from typing import Literal

from pydantic import BaseModel, Field

from mlx_backends.grammar.citations import cited_answer
from mlx_backends.langchain import ChatMLX
from mlx_backends.text.grounding import grounded_messages


class Ticket(BaseModel):
    """A support ticket."""

    product: str = Field(max_length=40)
    urgency: Literal["low", "high"]
    attempts: int = Field(ge=0, le=9)


def main(model: str = "bundled") -> tuple[Ticket, str, str]:
    llm = ChatMLX(model=model, temperature=0, max_tokens=64)
    ticket = llm.with_structured_output(Ticket).invoke("The printer has failed twice. Help!")
    code = llm.bind(grammar={"regex": "[A-Z]{3}-[0-9]{4}"}).invoke("Give me a code.").text
    passages = ["The default port is 8080.", "Log files are kept for 14 days."]
    cited = llm.bind(grammar=cited_answer(len(passages))).invoke(
        grounded_messages("What is the default port?", passages)
    )
    print(ticket, code, cited.text, sep="\n")
    return ticket, code, cited.text


if __name__ == "__main__":
    main()
