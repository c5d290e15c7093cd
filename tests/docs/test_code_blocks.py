"""Every Python block of the README and of docs/ runs, top to bottom, page by page."""

import re
from pathlib import Path

import pytest

import mlx_backends
from mlx_backends import bundled, kernels, quantization, registry, sparsity

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)


def blocks(page: Path) -> list[tuple[int, str]]:
    """Line number and source of each block."""
    text = page.read_text(encoding="utf-8")
    return [(text[: m.start(1)].count("\n"), m[1]) for m in BLOCK.finditer(text)]


pytestmark = pytest.mark.usefixtures("event_loop_of_blocking_calls")


@pytest.fixture(scope="module", autouse=True)
def _free_models():
    yield
    registry.close_all()


@pytest.mark.parametrize("page", [p for p in PAGES if blocks(p)], ids=lambda p: p.name)
def test_the_python_blocks_run(page, monkeypatch):
    monkeypatch.chdir(ROOT)
    namespace = {
        "__name__": "__main__",
        "model": str(bundled.path("lm")),
        "embed_model": str(bundled.path("encoder")),
    }
    for line, source in blocks(page):
        code = compile("\n" * line + source, str(page), "exec")
        exec(code, namespace)


def test_links_between_pages_lead_somewhere():
    for page in PAGES:
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_every_page_is_in_the_table_of_contents():
    nav = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    assert [p.name for p in PAGES[1:] if p.name not in nav] == []


def test_every_public_name_has_its_module_in_the_reference():
    reference = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    modules = {f"mlx_backends.{module}" for module in mlx_backends._HOME.values()}
    for package in (kernels.shaders, quantization, sparsity):
        public = [getattr(package, name) for name in package.__all__]
        # Some are values, which do not know where they come from.
        modules |= {value.__module__ for value in public if hasattr(value, "__module__")}
    described = {line.removeprefix("::: ") for line in reference.splitlines()}
    assert {name for name in modules if name.startswith("mlx_backends")} - described == set()


def test_every_error_is_explained():
    page = (ROOT / "docs" / "errors.md").read_text(encoding="utf-8")
    bases = {"MLXBackendsError", "ModelError", "EngineError", "ShaderError"}
    names = {name for name in mlx_backends.__all__ if name.endswith("Error")} - bases
    assert {name for name in names if f"`{name}`" not in page} == set()
