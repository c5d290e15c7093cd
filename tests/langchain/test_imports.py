"""What is imported when, seen from fresh processes."""

import subprocess
import sys


def run(code: str) -> str:
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60
    )
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


def loaded(code: str) -> set[str]:
    """The first names of all modules that the code imports."""
    return set(
        run(f"{code}\nimport sys\nprint(*{{name.split('.')[0] for name in sys.modules}})").split()
    )


def test_the_package_imports_no_framework():
    assert not loaded("import mlx_backends.langchain") & {"langchain_core", "llama_index", "mlx"}


def test_constructing_loads_no_model_and_not_the_other_framework():
    modules = loaded(
        "from mlx_backends.langchain import MLXLLM, ChatMLX, MLXEmbeddings\n"
        "ChatMLX(model='a/b', temperature=0), MLXLLM(), MLXEmbeddings()\n"
        "from mlx_backends import registry\n"
        "assert not registry._engines and not registry._embedders"
    )
    assert "langchain_core" in modules
    assert not modules & {"llama_index", "mlx", "mlx_lm", "tokenizers", "transformers"}


def test_a_missing_framework_is_named_with_its_extra():
    for statement in (
        "import mlx_backends.langchain",
        "from mlx_backends.langchain import ChatMLX",
        "import mlx_backends.langchain.chat_models",
    ):
        output = run(
            "import sys\n"
            "sys.modules['langchain_core'] = None\n"
            "from mlx_backends import MissingExtraError\n"
            f"try:\n    {statement}\n"
            "except MissingExtraError as error:\n    print(error)"
        )
        assert "'langchain-core' is not installed" in output
        assert '"mlx-backends[langchain]"' in output


def test_an_unknown_name_is_an_attribute_error():
    output = run(
        "import mlx_backends.langchain as adapters\n"
        "print(hasattr(adapters, 'ChatGPT'), set(adapters.__all__) <= set(dir(adapters)))"
    )
    assert output == "False True"
