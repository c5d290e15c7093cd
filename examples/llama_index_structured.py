"""LlamaIndex: an answer as an object, streamed while it is written."""

from llama_index.core.prompts import PromptTemplate
from pydantic import BaseModel, Field

from mlx_backends.llama_index import MLXLLM


class Port(BaseModel):
    """The default port of a server."""

    name: str = Field(description="Name of the server.")
    port: int = Field(description="The port.")


def main(model: str = "bundled") -> dict:
    llm = MLXLLM(model=model, temperature=0, max_tokens=64)
    prompt = PromptTemplate("{text}")
    text = "The server's name is Alder and the default port is 8000."
    ports = list(llm.stream_structured_predict(Port, prompt, text=text))
    print(*ports, sep="\n")
    return ports[-1].model_dump()


if __name__ == "__main__":
    main()
