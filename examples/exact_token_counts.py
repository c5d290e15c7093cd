"""Splitters that count with the model's own tokenizer, through tiktoken."""

from langchain_core.documents import Document
from llama_index.core.node_parser import SentenceSplitter

from mlx_backends import bundled
from mlx_backends.text.tokenizer import Tokenizer

TEXT = "Retrieval needs chunks of a known length. " * 60


def main() -> list[int]:
    tokenizer = Tokenizer.from_folder(bundled.path("lm"))
    print("tiktoken encoding:", tokenizer.encoding or tokenizer.encoding_reason)
    splitter = SentenceSplitter(chunk_size=100, chunk_overlap=0, tokenizer=tokenizer.encode)
    documents = [Document(page_content=chunk) for chunk in splitter.split_text(TEXT)]
    counts = [tokenizer.count(document.page_content) for document in documents]
    print(f"{len(documents)} chunks of {counts} tokens")
    return counts


if __name__ == "__main__":
    main()
