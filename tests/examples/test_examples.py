"""Every example runs on the bundled models and gives the right result."""

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import mlx.core as mx
import pytest

from mlx_backends import registry

FOLDER = Path(__file__).parents[2] / "examples"


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"example_{name}", FOLDER / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


pytestmark = [
    pytest.mark.usefixtures("event_loop_of_blocking_calls"),
    # LlamaIndex's workflows look at every attribute of an agent, deprecated ones too.
    pytest.mark.filterwarnings("ignore::pydantic.warnings.PydanticDeprecationWarning"),
]


@pytest.fixture(scope="module", autouse=True)
def _free_models():
    yield
    registry.close_all()


def check_many_at_once(result):
    from_threads, from_tasks = result
    assert from_threads == from_tasks
    for index, answer in enumerate(from_tasks):
        assert str(8000 + 7 * index) in answer


def check_fan_out(result):
    answers, largest_batch = result
    for index, answer in enumerate(answers):
        assert answer.endswith(str(4_000 + index))
    assert len(answers) == 16
    assert largest_batch >= 4


def check_structured_output(result):
    ticket, code, cited = result
    assert ticket.urgency in ("low", "high")
    assert re.fullmatch("[A-Z]{3}-[0-9]{4}", code)
    assert set(re.findall(r"\[(\d+)\]", cited)) <= {"1", "2"}
    assert "8080" in cited


def check_sparse_matrix(sparse, result, dense):
    assert sparse.density == pytest.approx(0.1)
    assert sparse.nbytes < 0.25 * dense.nbytes
    assert result.shape == (1000, 100)
    matrix = mx.random.normal((1000, 100), key=mx.random.key(1))
    assert mx.allclose(result, dense @ matrix, atol=1e-3).item()


def check_quantized_transformer(result):
    assert result["relative error"] < 0.03
    assert result["same likeliest token"] > 0.95
    assert result["size"] < 0.3


def check_simple_gpt(result):
    assert result["same tokens"] == 1.0
    assert result["8 bits: equal at the start"] >= 1
    assert result["factor"] > 1


def check_compiled_step(report):
    assert report.compiled.waits == 1
    assert report.compiled.operations < report.plain.operations
    assert report.compiled.fused > 0 == report.plain.fused


def check_techniques(rows):
    found = {row.variant: row.figures for row in rows}
    on, off = found["mx.compile on"], found["mx.compile off"]
    assert on["operations a token"] < off["operations a token"]
    assert found["as it is, unpacked"]["divergence, nats"] == pytest.approx(0, abs=1e-6)


def says(answers, *values):
    return all(value in answer for value, answer in zip(values, answers, strict=True))


# In place of the sizes that an example has when it is run as a script.
ARGUMENTS = {
    "quantized_transformer": {"num_layers": 2, "dim": 128, "vocab_size": 1_000},
    "simple_gpt": {
        "num_layers": 2,
        "dim": 128,
        "vocab_size": 1_000,
        "prompt_tokens": 128,
        "max_new_tokens": 16,
    },
}
CHECKS = {
    "any_device": lambda answers: answers[0] == answers[1] or mx.is_available(mx.gpu),
    "compiled_step": lambda report: check_compiled_step(report) is None,
    "memory_reuse": lambda result: 0.9 < result[0] < 1.1 and result[1] == 255,
    "techniques_table": lambda rows: check_techniques(rows) is None,
    "unified_memory": lambda result: result[0] and 0.99 < result[1] < 1.01,
    "custom_shader": lambda result: result[0].tolist() == result[1].tolist(),
    "engine_stream": lambda text: text.strip(),
    "exact_token_counts": lambda counts: len(counts) > 3 and max(counts) <= 100,
    "langchain_agent": lambda answer: "8080" in answer,
    "langchain_map_reduce": lambda result: "8080" in result[0] and result[1] >= 3,
    "langchain_structured_output": lambda result: check_structured_output(result) is None,
    "langchain_retrieval": lambda answer: "8080" in answer,
    "llama_index_agent": lambda answer: "rain" in answer,
    "llama_index_chat_engine": lambda result: says(result[0], "8080", "14") and result[1] == 4,
    "llama_index_citations": lambda sources: sources == ["logs.md"],
    "llama_index_fan_out": lambda result: check_fan_out(result) is None,
    "llama_index_router": lambda answers: says(answers, "[2] 8007", "[1] 14"),
    "llama_index_structured": lambda port: port == {"name": "Alder", "port": 8000},
    "llama_index_query_engine": lambda answer: "8080" in answer,
    "llama_index_workflow": lambda answers: says(answers, "8080", "rain"),
    "many_at_once": lambda result: check_many_at_once(result) is None,
    "quantized_transformer": lambda result: check_quantized_transformer(result) is None,
    "simple_gpt": lambda result: check_simple_gpt(result) is None,
    "sparse_matrix": lambda result: check_sparse_matrix(*result) is None,
    "mock_engine": lambda answer: answer == "Paris.",
    "two_frameworks_one_engine": lambda served: served == 2,
    "vector_stores": lambda found: found == ["The cache holds 4 gigabytes."] * 2,
}


@pytest.mark.parametrize("name", sorted(path.stem for path in FOLDER.glob("*.py")))
def test_the_example_gives_the_right_result(name):
    registry.close_all()
    assert CHECKS[name](load(name).main(**ARGUMENTS.get(name, {})))
