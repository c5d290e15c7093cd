"""How an answer with its sources and figures is shown: as text, or as one JSON object."""

from dataclasses import asdict
from typing import Any

from mlx_backends.cli._library import Library
from mlx_backends.cli._record import Record
from mlx_backends.retrieval.citation import Citation, Citations, cite
from mlx_backends.text.grounding import REFUSAL


def as_text(answer: str, library: Library, record: Record) -> str:
    """What follows the answer: its sources, what was left out, and one line of figures."""
    citations = _citations(answer, record)
    lines = [line for citation in citations.found for line in _source(citation)]
    lines += [f"[{number}] is not the number of a passage." for number in citations.unknown]
    if not citations.found and not _is_refusal(answer):
        lines.append("The answer cites no passage; check it against the documents.")
    lines += [f"Skipped {file.path}: {file.reason}" for file in library.skipped]
    return "\n".join([*lines, "", _figures_line(library, record)])


def as_json(
    question: str, answer: str, library: Library, record: Record, **about: Any
) -> dict[str, Any]:
    """Everything about an answer as plain values."""
    citations = _citations(answer, record)
    return {
        "question": question,
        "answer": answer,
        "is_refusal": _is_refusal(answer),
        "citations": [asdict(citation) for citation in citations.found],
        "unknown_citations": citations.unknown,
        "passages": [{**asdict(hit.chunk), "score": hit.score} for hit in record.hits],
        "skipped": [asdict(file) for file in library.skipped],
        **about,
        "figures": {
            "files": library.num_files,
            "chunks": len(library.index.chunks),
            "retrieval_s": record.retrieval_s,
            "prompt_tokens": record.prompt_tokens,
            "completion_tokens": record.completion_tokens,
            **record.timings,
        },
    }


def _citations(answer: str, record: Record) -> Citations:
    return cite(answer, [hit.chunk for hit in record.hits])


def _is_refusal(answer: str) -> bool:
    return answer.strip() == REFUSAL


def _source(citation: Citation) -> list[str]:
    first, last = citation.start_line, citation.end_line
    place = f"{citation.path}:{first}" if first == last else f"{citation.path}:{first}-{last}"
    return [f"[{citation.number}] {place}", *(f"    {line}" for line in citation.quote.split("\n"))]


def _figures_line(library: Library, record: Record) -> str:
    chunks, files = len(library.index.chunks), library.num_files
    figures = [
        f"{chunks:,} chunk{'s' * (chunks != 1)} of {files:,} file{'s' * (files != 1)}",
        f"retrieval {record.retrieval_s * 1e3:.0f} ms",
    ]
    if record.timings:
        figures += [
            f"first token {record.timings['time_to_first_token_s'] * 1e3:.0f} ms",
            f"{record.timings['decode_tokens_per_s']:.1f} tokens/s",
            f"peak memory {record.timings['peak_memory_bytes'] / 1e6:,.0f} MB",
        ]
    return " | ".join(figures)
