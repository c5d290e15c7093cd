"""Reads the docstrings of installed packages without importing them."""

import ast
import re
import sysconfig
from collections.abc import Iterator
from pathlib import Path

from mlx_backends.bundled.training.prose.sentences import plain, sentences_of, with_subject

# Package and licence.
PACKAGES = {
    "stdlib": "PSF-2.0",
    "aiohttp": "Apache-2.0",
    "attr": "MIT",
    "bm25s": "MIT",
    "click": "BSD-3-Clause",
    "fsspec": "BSD-3-Clause",
    "griffe": "ISC",
    "httpx": "BSD-3-Clause",
    "huggingface_hub": "Apache-2.0",
    "jinja2": "BSD-3-Clause",
    "joblib": "BSD-3-Clause",
    "langchain_core": "MIT",
    "llama_index": "MIT",
    "markdown_it": "MIT",
    "marshmallow": "MIT",
    "mlx": "MIT",
    "mlx_lm": "MIT",
    "networkx": "BSD-3-Clause",
    "nltk": "Apache-2.0",
    "numpy": "BSD-3-Clause",
    "packaging": "Apache-2.0 or BSD-2-Clause",
    "pip": "MIT",
    "pydantic": "MIT",
    "pygments": "BSD-2-Clause",
    "_pytest": "MIT",
    "requests": "Apache-2.0",
    "rich": "MIT",
    "setuptools": "MIT",
    "sqlalchemy": "MIT",
    "tenacity": "Apache-2.0",
    "tokenizers": "Apache-2.0",
    "transformers": "Apache-2.0",
    "typer": "MIT",
    "urllib3": "MIT",
    "websockets": "BSD-3-Clause",
    "yarl": "Apache-2.0",
}
_SKIPPED_PARTS = {"test", "tests", "idlelib", "lib2to3", "site-packages", "turtledemo", "_vendor"}

# A heading, empty where there is none, and sentences.
Paragraph = tuple[str, list[str]]


def modules(package: str) -> list[Path]:
    """List the source files of a package."""
    paths = sysconfig.get_paths()
    root = Path(paths["stdlib"]) if package == "stdlib" else Path(paths["purelib"]) / package
    files = root.rglob("*.py") if root.is_dir() else root.parent.glob(f"{package}.py")
    return sorted(
        path for path in files if not _SKIPPED_PARTS & set(path.relative_to(root.parent).parts[:-1])
    )


def paragraphs(path: Path) -> Iterator[Paragraph]:
    """Read the docstrings of one module."""
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"))
    except (SyntaxError, UnicodeDecodeError, ValueError):
        return
    for node in ast.walk(tree):
        if not isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        docstring = ast.get_docstring(node)
        if not docstring:
            continue
        name = "" if isinstance(node, ast.Module) else node.name
        yield from _clean(docstring, name, is_class=isinstance(node, ast.ClassDef))


def _clean(docstring: str, name: str, *, is_class: bool) -> Iterator[Paragraph]:
    for index, block in enumerate(re.split(r"\n\s*\n", docstring)):
        text = plain(block)
        if text is None:
            continue
        sentences = sentences_of(text)
        if index == 0 and sentences and name and not name.startswith("_"):
            sentences[0] = with_subject(sentences[0], name, is_class=is_class)
        if sentences:
            yield "", sentences
