import json
import subprocess
import sys

import numpy as np
import pytest
from mlx.utils import tree_flatten
from mlx_lm.models import mamba2
from safetensors.numpy import save_file

from mlx_backends import Engine, EngineConfig, bundled
from mlx_backends.cli import _chips


def test_lines_become_vectors(run, tmp_path):
    path = tmp_path / "lines.txt"
    path.write_text("a cat\n\na dog\n", encoding="utf-8")
    objects = [json.loads(line) for line in run("embed", path).stdout.splitlines()]
    assert [o["text"] for o in objects] == ["a cat", "a dog"]
    assert len(objects[0]["vector"]) == 64


@pytest.mark.parametrize("arguments", [[], ["-"]])
def test_the_standard_input_is_read(run, arguments):
    assert json.loads(run("embed", *arguments, stdin="a cat\n").stdout)["text"] == "a cat"


def test_a_file_that_cannot_be_read_is_one_line(run, tmp_path):
    result = run("embed", tmp_path / "nowhere")
    assert (result.exit_code, result.stderr[:6]) == (1, "error:")


def test_doctor_knows_this_machine(run):
    found = json.loads(run("doctor", "--json").stdout)
    assert found["versions"]["mlx"]
    assert found["platform"]["memory_bytes"] > 0
    assert found["platform"]["device"] in ("cpu", "gpu")
    assert set(found["bundled models"]) == set(bundled.KINDS) == {"lm", "encoder", "reranker"}


def test_doctor_looks_at_a_model(run, tiny_lm):
    found = json.loads(run("doctor", "--model", tiny_lm, "--json").stdout)["model"]
    assert found["model_type"] == "llama"
    assert found["weight_bytes"] == (tiny_lm / "model.safetensors").stat().st_size
    # 2 layers of 2 KV heads of 16, keys and values, 2 bytes each where the file names no type
    assert found["kv_bytes_per_1000_tokens"] == 2 * 2 * 2 * 16 * 2 * 1_000
    assert found["tiktoken"]


def test_doctor_says_how_the_kv_cache_is_kept(run, tiny_lm):
    found = json.loads(run("doctor", "--model", tiny_lm, "--json").stdout)["model"]
    with Engine(EngineConfig(model=str(tiny_lm))) as engine:
        engine.load()
        assert found["kv_cache"] == "paged"
        assert found["block_size"] == engine.config.cache.block_size
        assert found["pool_tokens"] == engine._loop.pool_tokens


def test_doctor_says_why_a_model_keeps_mlx_lms_own_caches(run, make_lm):
    folder = make_lm()
    shape = {"hidden_size": 32, "num_hidden_layers": 1, "vocab_size": 512, "num_heads": 4}
    shape |= {"head_dim": 16, "state_size": 8, "conv_kernel": 4, "n_groups": 1, "time_step_rank": 4}
    shape |= {"intermediate_size": 64, "tie_word_embeddings": True}
    shape |= {"time_step_limit": [0.0, 10.0], "use_bias": False, "use_conv_bias": True}
    config = {"model_type": "mamba2", "layer_norm_epsilon": 1e-5, **shape}
    model = mamba2.Model(mamba2.ModelArgs.from_dict(config))
    weights = {name: np.array(array) for name, array in tree_flatten(model.parameters())}
    (folder / "config.json").write_text(json.dumps({**config, "max_position_embeddings": 64}))
    save_file(weights, folder / "model.safetensors")
    found = json.loads(run("doctor", "--model", folder, "--json").stdout)["model"]
    assert found["kv_cache"].startswith("mlx-lm's own, a set a sequence, because its layers keep")
    assert "pool_bytes" not in found


def test_doctor_speaks_plainly(run, tiny_lm):
    out = run("doctor", "--model", tiny_lm).stdout
    assert "blas_is_fast: " in out
    assert "cpu_encoder: " in out
    assert "context_window: 512" in out


def test_doctor_predicts_memory(run, tiny_lm):
    found = json.loads(run("doctor", "--memory", tiny_lm, "--json").stdout)
    parts, machine, chips = found.values()
    assert parts["weights on disk, bytes"] == (tiny_lm / "model.safetensors").stat().st_size
    assert parts["peak"] >= parts["weights as they run here"] + parts["KV pool"]
    assert machine["fits"] is True
    assert machine["decode at that bandwidth, tokens/s"] > 0
    assert chips["M4 Max"].startswith("546 GB/s, fits from 36 GB, at most ")
    assert len(chips) == 18


def test_a_chip_that_is_too_small_is_said():
    small, large = _chips.CHIPS[0], _chips.CHIPS[11]
    assert (small.name, large.name) == ("M1", "M3 Ultra")
    assert _chips.smallest_that_fits(small, 10 * 2**30) == 16
    assert _chips.smallest_that_fits(small, 11 * 2**30) is None
    assert _chips.smallest_that_fits(large, 100 * 2**30) == 256


def test_doctor_names_a_missing_model(run, tmp_path):
    result = run("doctor", "--model", tmp_path / "nowhere")
    assert (result.exit_code, result.stderr[:6]) == (1, "error:")


def test_the_version_is_printed(run):
    assert run("--version").stdout.strip()


def test_help_imports_neither_mlx_nor_a_framework():
    script = (
        "import sys; sys.argv = ['mlx-backends', '--help']\n"
        "from mlx_backends.cli import main\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "heavy = ('mlx', 'numpy', 'langchain_core', 'llama_index', 'tokenizers', 'pydantic')\n"
        "found = [name for name in heavy if name in sys.modules]\n"
        "sys.exit(f'imported: {found}' if found else 0)\n"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert result.stderr == ""
    assert result.returncode == 0
