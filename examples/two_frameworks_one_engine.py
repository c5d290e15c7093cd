"""LangChain and LlamaIndex on one engine: the weights are in memory once."""

from mlx_backends import registry
from mlx_backends.config import EngineConfig
from mlx_backends.langchain import ChatMLX
from mlx_backends.llama_index import MLXLLM


def main(model: str = "bundled") -> int:
    print("LangChain: ", ChatMLX(model=model, max_tokens=16).invoke("Hello").content)
    print("LlamaIndex:", MLXLLM(model=model, max_tokens=16).complete("Hello"))
    served = registry.get_engine(EngineConfig(model=model)).stats().finished
    print(f"One engine served {served} requests.")
    return served


if __name__ == "__main__":
    main()
