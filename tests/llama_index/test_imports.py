"""What importing the adapter brings along, seen from a fresh interpreter."""

import subprocess
import sys

import pytest

import mlx_backends.llama_index


def run(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_package_import_is_light_and_lazy():
    code = "import sys, mlx_backends.llama_index as m; print('llama_index.core' in sys.modules)"
    assert run(code) == "False\n"


def test_constructing_imports_neither_mlx_nor_langchain():
    code = """
import sys
from mlx_backends.llama_index import MLXEmbedding, MLXLLM
MLXLLM(model="some/model"), MLXEmbedding(model="some/model")
roots = {name.partition(".")[0] for name in sys.modules}
print(sorted(roots & {"mlx", "mlx_lm", "langchain", "langchain_core", "torch", "transformers"}))
"""
    assert run(code) == "[]\n"


@pytest.mark.parametrize("blocked", ["llama_index", "llama_index.core"])
@pytest.mark.parametrize(
    "statement",
    ["from mlx_backends.llama_index import MLXLLM", "import mlx_backends.llama_index.embeddings"],
)
def test_missing_llama_index_names_the_extra(blocked, statement):
    code = f"""
import sys
from mlx_backends.errors import MissingExtraError

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name == {blocked!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Blocker())
try:
    {statement}
except MissingExtraError as error:
    print(error)
"""
    assert 'pip install "mlx-backends[llama-index]"' in run(code)


def test_error_inside_llama_index_stays_its_own():
    code = """
import sys

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name == "deprecated":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Blocker())
try:
    from mlx_backends.llama_index import MLXLLM
except ImportError as error:
    print(type(error).__name__, error.name)
"""
    assert run(code) == "ModuleNotFoundError deprecated\n"


def test_public_names():
    names = mlx_backends.llama_index.__all__
    assert {"MLXEmbedding", "MLXLLM", "MLXRerank", "ContextPacker", "configure"} <= set(names)
    assert set(names) <= set(dir(mlx_backends.llama_index))
    for name in names:
        assert getattr(mlx_backends.llama_index, name).__name__ == name
    with pytest.raises(AttributeError, match="MLXReader"):
        mlx_backends.llama_index.MLXReader  # noqa: B018
