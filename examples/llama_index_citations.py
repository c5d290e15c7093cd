"""LlamaIndex: an answer with its sources, as citation blocks."""

from llama_index.core.base.llms.types import ChatMessage, CitableBlock, CitationBlock, TextBlock

from mlx_backends.llama_index import MLXLLM

MANUAL = {
    "server.md": "The default port of the server is 8080.\nIt can be changed in server.toml.",
    "logs.md": "Log files are kept for 14 days.\nAfter that they are removed.",
}


def main(model: str = "bundled") -> list[str]:
    passages = [
        CitableBlock(title=name, source=name, content=[TextBlock(text=text)])
        for name, text in MANUAL.items()
    ]
    question = TextBlock(text="How long are log files kept?")
    llm = MLXLLM(model=model, temperature=0, max_tokens=48)
    message = llm.chat([ChatMessage(blocks=[*passages, question])]).message
    print(message.content)
    citations = [block for block in message.blocks if isinstance(block, CitationBlock)]
    for citation in citations:
        cited = citation.cited_content
        print(f"  {citation.source}: {cited.text if isinstance(cited, TextBlock) else cited}")
    return [citation.source for citation in citations]


if __name__ == "__main__":
    main()
