"""Measure a bundled model: ``python -m mlx_backends.bundled.evaluate lm|encoder|reranker|docs``.

``docs`` asks the chat model about this project's documentation, retrieval included. The others need
the collection of real prose that ``python -m mlx_backends.bundled.train prepare`` writes. What is
measured never occurs in training: that is checked first. Runs on any build of MLX.
"""

import argparse
import contextlib
import importlib.util
import tempfile
import time
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlx_backends import bundled
from mlx_backends.bundled.figures import Figure, Figures, update_card, weights_digest
from mlx_backends.config import ModelKind

if TYPE_CHECKING:
    from mlx_backends.bundled.evaluation.chat import Constrain
    from mlx_backends.bundled.evaluation.chat_model import Constraint
    from mlx_backends.pooling.embedder import Embedder

Measure = Callable[[Path], list[Figure]]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m mlx_backends.bundled.evaluate",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("what", choices=("lm", "encoder", "reranker", "docs"))
    add("--items", type=int, default=1000, help="items of each row")
    add("--rows", nargs="*", default=[], metavar="TEXT", help="rows with one of these in the name")
    add("--model", type=Path, help="model folder; the shipped one if not given")
    add("--weights", type=Path, help="folder of lm-*.safetensors that `train lm` wrote, instead")
    add("--bits", type=int, choices=(2, 3, 4, 6, 8, 16), help="of --weights; 16 if not given")
    add(
        "--compare",
        type=Path,
        metavar="WEIGHTS",
        help="measure these unquantized weights, or this folder, too",
    )
    add("--inputs", type=Path, default=Path("build/bundled"), help="what `train prepare` wrote")
    add("--project", type=Path, default=Path(), help="folder with docs/ and README.md")
    add("--questions", type=Path, default=Path("tests/end_to_end/docs_questions.toml"))
    add("--leak-samples", type=int, default=2000, help="training conversations searched for leaks")
    add("--generate", action="store_true", help="generate every answer, also where one pass tells")
    add("--no-grammar", action="store_true", help="leave out the tool calls within a grammar")
    add("--show", action="store_true", help="print the wrong answers")
    add("--json", type=Path, help="write the figures here")
    add("--read", type=Path, metavar="JSON", help="take figures from here instead of measuring")
    add("--update-card", action="store_true", help="write the figures into the model card")
    return parser


def main() -> None:
    """Measure, print, and write what was asked for."""
    options = _parser().parse_args()
    started = time.perf_counter()
    figures = Figures.load(options.read) if options.read else _measure(options)
    print(figures.markdown())
    print(f"{time.perf_counter() - started:.0f} s")
    if options.json:
        figures.save(options.json)
    if options.update_card:
        update_card(bundled.path(_kind(options)), figures, _order(_kind(options)))


def _measure(options: argparse.Namespace) -> Figures:
    if options.what != "docs":
        from mlx_backends.bundled.evaluation.held_out import assert_held_out

        assert_held_out(
            _collection(options),
            conversations=options.leak_samples,
            questions=_written_questions(options.questions),
        )
    kind = _kind(options)
    measure: Measure = {
        "lm": lambda folder: _measure_chat(options, folder),
        "encoder": lambda folder: _measure_encoder(options, folder),
        "reranker": lambda folder: _measure_reranker(options, folder),
        "docs": lambda folder: _measure_docs(options, folder),
    }[options.what]
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.model or bundled.path(kind)
        if options.weights:
            folder = _exported(options, options.weights, options.bits or 16, Path(scratch) / "own")
        rows = measure(folder)
        if options.compare:
            rows = _compared(
                rows, measure(_exported(options, options.compare, 16, Path(scratch) / "16"))
            )
        return Figures(kind, weights_digest(folder), rows)


def _written_questions(path: Path) -> list[str]:
    """Questions over the documentation; none where the file is not there, as in a wheel."""
    if not path.is_file():
        return []
    data = tomllib.loads(path.read_text("utf-8"))
    return [*(item["ask"] for item in data["question"]), *data["unanswerable"]]


def _kind(options: argparse.Namespace) -> ModelKind:
    return "lm" if options.what == "docs" else options.what


def _order(kind: ModelKind) -> list[str]:
    """Rows of the chat model in the order of the report; other models' are measured at once."""
    if kind != "lm":
        return []
    from mlx_backends.bundled.evaluation.rows import LM_ROWS

    return [row.name for row in LM_ROWS]


def _exported(options: argparse.Namespace, weights: Path, bits: int, folder: Path) -> Path:
    """Write trained weights as a model folder; one that is there is taken as it is."""
    if bits == 16 and (weights / "config.json").is_file():
        return weights
    from mlx_backends.bundled.training import export

    if bits == 16:
        export.write_lm_bf16(options.inputs, weights, folder)
    else:
        exact = folder.with_name("exact")
        export.write_lm_bf16(options.inputs, weights, exact)
        export.quantize_lm(exact, folder, bits=bits)
    return folder


def _compared(rows: list[Figure], unquantized: list[Figure]) -> list[Figure]:
    exact = {row.name: row.value for row in unquantized}
    return [replace(row, unquantized=exact[row.name]) for row in rows]


def _collection(options: argparse.Namespace) -> Path:
    return options.inputs / "prose.json.gz"


def _measure_chat(options: argparse.Namespace, folder: Path) -> list[Figure]:
    from mlx_backends.bundled.evaluation import chat
    from mlx_backends.bundled.evaluation.chat_model import ChatModel
    from mlx_backends.bundled.evaluation.held_out_prose import HeldOutProse

    model = ChatModel(folder)
    return chat.measure(
        chat.rows_named(options.rows),
        HeldOutProse.load(_collection(options)),
        options.items,
        chat.Asked(
            model.generate,
            model.count,
            None if options.generate else model.prefers,
            None if options.no_grammar else _grammar(folder),
        ),
        on_wrong=_show_wrong if options.show else None,
    )


def _grammar(folder: Path) -> "Constrain | None":
    """Make the grammar of tool calls; None without llguidance, and the row is left out."""
    if importlib.util.find_spec("llguidance") is None:
        print("left out: tool calls with grammar (llguidance is not installed)")
        return None
    from mlx_backends.grammar.tools import ANY, tool_constraint
    from mlx_backends.text.tokenizer import Tokenizer

    tokenizer = Tokenizer.from_folder(folder)

    def constrain(tools: list[dict[str, Any]], max_tokens: int) -> "Constraint":
        constraint = tool_constraint(tokenizer, tools, ANY, max_tokens=max_tokens)
        assert constraint is not None, "a call is asked for, so there is a grammar"
        return constraint

    return constrain


def _show_wrong(row: str, question: str, got: str, wanted: str) -> None:
    print(f"{row}: {question[-120:]!r}\n  got {got!r}, not {wanted!r}")


def _measure_docs(options: argparse.Namespace, folder: Path) -> list[Figure]:
    from mlx_backends.bundled.evaluation import docs_questions as docs
    from mlx_backends.bundled.evaluation.chat_model import ChatModel

    questions, unanswerable = docs.read_questions(options.questions)
    pages = docs.pages_of(options.project)
    if stale := docs.stale(questions, pages):
        raise SystemExit("\n".join(["The pages no longer say:", *stale]))
    with _embedder() as embedder:
        library = docs.build_docs_library(pages, embedder)
        answered = docs.answer_all(
            questions, unanswerable, library, embedder, ChatModel(folder).generate
        )
    for item in answered:
        if options.show and not item.is_right:
            found = "found" if item.is_found else "not found"
            print(f"{item.ask} ({found}) got {item.answer!r}")
    return docs.figures(answered)


def _measure_encoder(options: argparse.Namespace, folder: Path) -> list[Figure]:
    from mlx_backends.bundled.evaluation import retrieval
    from mlx_backends.bundled.evaluation.held_out_prose import HeldOutProse

    prose = HeldOutProse.load(_collection(options))
    with _embedder(folder) as embedder:
        return retrieval.measure_encoder(prose, options.items, embedder.embed, options.rows)


def _measure_reranker(options: argparse.Namespace, folder: Path) -> list[Figure]:
    from mlx_backends.bundled.evaluation import retrieval
    from mlx_backends.bundled.evaluation.held_out_prose import HeldOutProse
    from mlx_backends.config import RerankerConfig
    from mlx_backends.pooling.reranker import Reranker

    prose = HeldOutProse.load(_collection(options))
    config = RerankerConfig(model=str(folder), on_overflow="truncate")
    with _embedder() as embedder, contextlib.closing(Reranker(config)) as reranker:
        return retrieval.measure_reranker(
            prose,
            options.items,
            embedder.embed,
            lambda question, texts: reranker.scores([(question, text) for text in texts]),
            options.rows,
        )


@contextlib.contextmanager
def _embedder(folder: Path | None = None) -> Iterator["Embedder"]:
    from mlx_backends.config import EmbedderConfig
    from mlx_backends.pooling.embedder import Embedder

    model = str(folder or bundled.path("encoder"))
    with contextlib.closing(
        Embedder(EmbedderConfig(model=model, on_overflow="truncate"))
    ) as embedder:
        yield embedder


if __name__ == "__main__":
    main()
