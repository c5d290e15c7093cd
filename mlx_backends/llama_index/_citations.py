"""The tags of an answer, such as ``[2]``, as LlamaIndex's citation blocks."""

from collections.abc import Sequence

from llama_index.core.base.llms.types import CitableBlock, CitationBlock, TextBlock

from mlx_backends.llama_index._messages import text_of_passage
from mlx_backends.retrieval.citation import Citation, cite
from mlx_backends.retrieval.splitter import Chunk


def citations(answer: str, passages: Sequence[CitableBlock]) -> list[CitationBlock]:
    """One block for each passage that the answer cites, in the order of the first mention.

    ``cited_content`` is the lines of the passage that bear the answer out.
    ``additional_location_info`` holds the number in the answer, as ``index``, and the lines.
    """
    found = cite(answer, [_to_chunk(passage) for passage in passages]).found
    return [_to_block(citation, passages[citation.number - 1]) for citation in found]


def _to_chunk(passage: CitableBlock) -> Chunk:
    text = text_of_passage(passage)
    return Chunk(
        text=text,
        path=passage.source,
        start_line=1,
        end_line=1 + text.count("\n"),
        heading=passage.title,
    )


def _to_block(citation: Citation, passage: CitableBlock) -> CitationBlock:
    return CitationBlock(
        cited_content=TextBlock(text=citation.quote),
        source=passage.source,
        title=passage.title,
        additional_location_info={
            "index": citation.number,
            "start_line": citation.start_line,
            "end_line": citation.end_line,
        },
    )
