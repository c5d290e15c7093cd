import pytest

from mlx_backends.retrieval.citation import cite
from mlx_backends.retrieval.splitter import Chunk

PASSAGES = [
    Chunk("# Limits\n\nA name has at most\n17 bytes of text.\nIt never ends.", "a.md", 10, 14, ""),
    Chunk("Blocks hold 71 bytes.\nPages hold 7 bytes.", "b.md", 1, 2, ""),
]


def cited(answer: str):
    return [
        (c.number, c.path, c.start_line, c.end_line, c.quote) for c in cite(answer, PASSAGES).found
    ]


@pytest.mark.parametrize(
    "answer",
    ["[2] 71 bytes", "71 bytes [2]", "Blocks hold 71 bytes [2].", "It is `[1]`: 71 bytes. [2]"],
)
def test_a_citation_is_narrowed_to_its_line(answer):
    assert cited(answer) == [(2, "b.md", 1, 1, "Blocks hold 71 bytes.")]


def test_only_whole_words_count():
    assert cited("[2] 7 bytes") == [(2, "b.md", 2, 2, "Pages hold 7 bytes.")]


def test_a_quote_may_run_over_lines():
    assert cited("[1] at most 17 bytes") == [
        (1, "a.md", 12, 13, "A name has at most\n17 bytes of text.")
    ]


def test_a_paraphrase_goes_to_the_line_with_most_of_its_words():
    assert cited("Names never end, it never ends [1].")[0][2:4] == (14, 14)


def test_what_is_not_found_gives_the_whole_chunk():
    citation = cite("[1] zebras", PASSAGES).found[0]
    assert (citation.start_line, citation.end_line, citation.is_narrowed) == (10, 14, False)
    assert citation.quote == PASSAGES[0].text


def test_several_claims_have_their_own_lines():
    answer = "Names have at most 17 bytes of text [1]. Pages hold 7 bytes [2]."
    assert [(c[0], c[2]) for c in cited(answer)] == [(1, 13), (2, 2)]
    assert [(c[0], c[2]) for c in cited("[2] 7 bytes [1] 17 bytes")] == [(2, 2), (1, 13)]


def test_tags_may_hold_several_numbers():
    assert [c[0] for c in cited("All of it [2, 1].")] == [2, 1]


def test_a_number_is_cited_once():
    assert [c[0] for c in cited("71 bytes [2]. 7 bytes [2].")] == [2]


def test_numbers_of_no_passage_are_reported():
    citations = cite("So [3] and [0] and [2].", PASSAGES)
    assert citations.unknown == [3, 0]
    assert [c.number for c in citations.found] == [2]


@pytest.mark.parametrize("answer", ["", "The context does not say.", "x[i] and [a]"])
def test_answers_without_citations(answer):
    citations = cite(answer, PASSAGES)
    assert (citations.found, citations.unknown) == ([], [])


def test_claims_are_no_patterns():
    assert not cite("[1] (.*", PASSAGES).found[0].is_narrowed
