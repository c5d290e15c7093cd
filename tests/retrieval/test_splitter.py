import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlx_backends.errors import ConfigError
from mlx_backends.retrieval.documents import Document
from mlx_backends.retrieval.splitter import Splitter

GUIDE = """\
# Guide

Welcome to the guide.

## Install

Run this:

```
pip install thing

thing --check
```

- first item
  goes on
- second item

Setup
-----

The end.
"""


def count_words(text: str) -> int:
    return len(text.split())


def split(text: str, chunk_tokens: int = 16, count=count_words, **options):
    splitter = Splitter(count, chunk_tokens=chunk_tokens, **options)
    return splitter.split([Document("a.md", text)])


def test_chunks_follow_sections():
    chunks = split(GUIDE, 100)
    assert [(c.heading, c.start_line, c.end_line) for c in chunks] == [
        ("Guide", 1, 3),
        ("Guide > Install", 5, 17),
        ("Guide > Setup", 19, 22),
    ]
    assert chunks[0].text == "# Guide\n\nWelcome to the guide."
    assert chunks[0].path == "a.md"


def test_code_that_fits_stays_whole():
    code = "```python\n" + "\n\n".join(f"x = {i}" for i in range(4)) + "\n```"
    chunks = split("word " * 10 + "\n\n" + code)
    assert [chunk.text for chunk in chunks] == [("word " * 10).strip(), code]


def test_code_is_cut_at_lines():
    lines = [f"    value_{i} = {i}" for i in range(20)]
    chunks = split("```\n" + "\n".join(lines) + "\n```")
    assert all(line in chunk.text for chunk in chunks for line in chunk.text.split("\n"))
    assert chunks[1].text.startswith("    value")


def test_headings_inside_code_are_code():
    assert {chunk.heading for chunk in split("# A\n\n```\n# not a heading\n```\n", 100)} == {"A"}


def test_an_open_fence_runs_to_the_end():
    assert split("```\n# x\n", 100)[0].text == "```\n# x"


def test_list_items_stay_apart():
    items = [f"- item number {i} has seven words" for i in range(6)]
    assert [chunk.text for chunk in split("\n".join(items))] == [
        "\n".join(items[i : i + 2]) for i in range(0, 6, 2)
    ]


def test_a_rule_under_a_list_is_no_heading():
    assert split("- item\n---\ntext", 100)[0].heading == ""


def test_long_paragraphs_are_cut_at_sentences():
    sentences = [f"This is the sentence with number {i}." for i in range(6)]
    chunks = split(" ".join(sentences))
    assert [chunk.text for chunk in chunks] == [
        " ".join(sentences[i : i + 2]) for i in range(0, 6, 2)
    ]


def test_sentences_over_several_lines_have_all_their_lines():
    text = "one two three four five six seven\neight nine ten. " + "more words " * 6 + "\nend."
    chunks = split(text)
    assert [(chunk.start_line, chunk.end_line) for chunk in chunks] == [(1, 2), (2, 3)]


def test_a_line_without_sentences_is_cut_at_words():
    words = [f"w{i}" for i in range(100)]
    chunks = split(" ".join(words))
    assert " ".join(chunk.text for chunk in chunks) == " ".join(words)
    assert {(chunk.start_line, chunk.end_line) for chunk in chunks} == {(1, 1)}


def test_a_word_that_does_not_fit_is_cut():
    chunks = split("x" * 1_000, count=len)
    assert "".join(chunk.text for chunk in chunks) == "x" * 1_000


def test_overlap_repeats_whole_sentences_within_a_section():
    sentences = [f"This is sentence {i}." for i in range(8)]
    text = " ".join(sentences) + "\n\n# Next\n\nOther text."
    chunks = split(text, overlap_tokens=5)
    assert chunks[0].text == " ".join(sentences[:4])
    assert chunks[1].text == " ".join(sentences[3:7])
    assert chunks[-1].text == "# Next\n\nOther text."


TABLE = "| name | value |\n| --- | --- |"


def table(count: int) -> str:
    return "\n".join([TABLE, *(f"| row {i} | {i} |" for i in range(count))])


def test_a_chunk_is_led_by_the_headings_above_it():
    chunks = split(GUIDE, 100)
    assert [chunk.lead for chunk in chunks] == ["", "Guide\n", "Guide\n"]
    assert chunks[1].passage.startswith("Guide\n## Install\n\nRun this:")


def test_what_follows_in_a_section_is_led_by_its_own_heading():
    sentences = [f"This is the sentence with number {i}." for i in range(6)]
    chunks = split("# Numbers\n\n" + " ".join(sentences))
    assert chunks[1].text == " ".join(sentences[2:4])
    assert [chunk.lead for chunk in chunks] == ["", *["Numbers\n"] * (len(chunks) - 1)]


def test_rows_are_led_by_the_header_of_their_table():
    chunks = split("# Rows\n\n" + table(8), 32)
    assert len(chunks) > 2
    assert chunks[0].text.startswith(f"# Rows\n\n{TABLE}\n| row 0 | 0 |")
    for chunk in chunks[1:]:
        assert chunk.lead == f"Rows\n{TABLE}\n"
        assert chunk.text.startswith("| row")
    rows = [line for chunk in chunks for line in chunk.text.split("\n") if "row" in line]
    assert rows == [f"| row {i} | {i} |" for i in range(8)]


def test_a_table_that_fits_stays_whole():
    assert [chunk.passage for chunk in split(table(3), 40)] == [table(3)]


def test_a_lead_never_takes_more_than_half_of_a_chunk():
    long_title = "word " * 12
    chunks = split(f"# {long_title}\n\n" + "This is a sentence of seven words. " * 6)
    assert {chunk.lead for chunk in chunks} == {""}
    wide = "| " + " | ".join(f"column {i}" for i in range(9)) + " |\n" + "|---" * 9 + "|"
    rows = split("# T\n\n" + wide + "\n" + "\n".join(f"| row {i} |" for i in range(9)), 24)
    assert rows[-1].lead == "T\n"


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"chunk_tokens": 15}, "chunk_tokens"),
        ({"chunk_tokens": 20, "overlap_tokens": 11}, "overlap_tokens"),
        ({"chunk_tokens": 20, "overlap_tokens": -1}, "overlap_tokens"),
    ],
)
def test_numbers_out_of_range_are_refused(options, name):
    with pytest.raises(ConfigError, match=name):
        Splitter(count_words, **options)


LINES = st.lists(
    st.one_of(
        st.sampled_from(
            ["", "# A", "### B", "```", "~~~", "---", "===", "- item", "  1. a", "|a|", "|---|"]
        ),
        st.text(alphabet="ab .!\t#-`\u3002é", max_size=60),
    ),
    max_size=30,
)


@given(LINES, st.integers(16, 40), st.sampled_from([len, count_words]), st.booleans())
def test_every_line_is_in_a_chunk_that_fits(lines, chunk_tokens, count, overlaps):
    chunks = split("\n".join(lines), chunk_tokens, count, overlap_tokens=8 if overlaps else 0)
    covered = set()
    for chunk in chunks:
        assert count(chunk.passage) <= chunk_tokens
        own = lines[chunk.start_line - 1 : chunk.end_line]
        assert chunk.text in "\n".join(own)
        assert own[0].strip()
        assert own[-1].strip()
        covered.update(range(chunk.start_line, chunk.end_line + 1))
    assert {i for i, line in enumerate(lines, start=1) if line.strip()} <= covered


@given(LINES)
def test_chunks_hold_every_character_that_is_not_blank(lines):
    text = "\n".join(lines)
    joined = "".join(chunk.text for chunk in split(text, 16, len))
    assert "".join(joined.split()) == "".join(text.split())
