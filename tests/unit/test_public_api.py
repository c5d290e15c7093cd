"""What ``import mlx_backends`` offers and what it costs."""

import subprocess
import sys

import pytest

import mlx_backends

HEAVY = ("langchain_core", "llama_index", "transformers", "mlx_lm", "mlx.core", "pydantic", "torch")


def modules_after(code: str) -> set[str]:
    """Names of the modules that a fresh interpreter holds after running the code."""
    script = f"{code}\nimport sys; print('\\n'.join(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60
    )
    return set(done.stdout.split())


def test_all_is_sorted_and_every_name_loads():
    names = mlx_backends.__all__
    assert sorted(names) == sorted({*mlx_backends._HOME, "__version__"})
    for name in names:
        assert getattr(mlx_backends, name) is not None


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = mlx_backends.no_such_name


def test_importing_the_package_brings_nothing_heavy():
    loaded = modules_after("import mlx_backends; mlx_backends.EngineConfig()")
    assert loaded.isdisjoint(HEAVY)


@pytest.mark.parametrize(
    ("module", "absent"),
    [("langchain", "llama_index"), ("llama_index", "langchain_core")],
)
def test_one_framework_does_not_import_the_other(module, absent):
    code = f"import mlx_backends.{module} as m; [getattr(m, n) for n in m.__all__]"
    loaded = modules_after(code)
    assert not any(name == absent or name.startswith(absent + ".") for name in loaded)
    assert "mlx.core" not in loaded


def test_the_engine_works_without_the_frameworks_and_pydantic():
    block = (
        "import sys\n"
        "for name in ('langchain_core', 'llama_index', 'pydantic', 'llguidance'):\n"
        "    sys.modules[name] = None\n"
    )
    modules = "core config engine.engine engine.loop models.loader pooling.embedder text.tokenizer"
    imports = "".join(f"import mlx_backends.{name}\n" for name in modules.split())
    # mlx_lm itself brings transformers, which may use pydantic if it is there.
    modules_after(block + imports)
