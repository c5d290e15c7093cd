"""Every row of langchain-tests has its twin here, and the table in the documentation says where."""

import ast
import re
from collections import Counter
from pathlib import Path

from langchain_tests.integration_tests import ChatModelIntegrationTests, EmbeddingsIntegrationTests
from langchain_tests.unit_tests import ChatModelUnitTests, EmbeddingsUnitTests

HERE = Path(__file__).parent
PAGE = HERE.parents[2] / "docs" / "llama_index_contract.md"
SUITES = (
    ChatModelUnitTests,
    ChatModelIntegrationTests,
    EmbeddingsUnitTests,
    EmbeddingsIntegrationTests,
)
# No engine in this process records HTTP, and LlamaIndex takes no classes of pydantic 1.
WITHOUT_TWIN = {"test_stream_time", "test_structured_output_pydantic_2_v1"}


def rows_of_langchain() -> set[str]:
    return {name for suite in SUITES for name in dir(suite) if name.startswith("test_")}


def rows_here() -> set[tuple[str, str]]:
    return {
        (node.name, path.name)
        for path in HERE.glob("test_*.py")
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.name.startswith("test_")
    }


def test_every_row_has_a_twin():
    missing = rows_of_langchain() - {name for name, _ in rows_here()}
    assert missing == WITHOUT_TWIN


def test_the_table_tells_the_truth():
    text = PAGE.read_text(encoding="utf-8")
    table = set(re.findall(r"^\| `(test_\w+)` \| `(test_\w+\.py)` \|", text, re.MULTILINE))
    assert table == {row for row in rows_here() if row[0] in rows_of_langchain()}
    assert all(f"`{name}`" in text for name in WITHOUT_TWIN)


def test_the_second_table_is_complete():
    _, _, text = PAGE.read_text(encoding="utf-8").partition("## LlamaIndex's own")
    told = Counter(re.findall(r"\| `(test_\w+\.py)` \|", text))
    here = Counter(file for name, file in rows_here() if name not in rows_of_langchain())
    assert told == here - Counter({Path(__file__).name: here[Path(__file__).name]})


def test_nothing_is_skipped_or_expected_to_fail():
    marks = re.compile(r"x" + r"fail|skip" + r"\(|skip" + r"if")
    for path in HERE.glob("*.py"):
        assert not marks.search(path.read_text(encoding="utf-8")), path.name
