"""Whole processes: clean exits whatever threads do, and a typed error after a fork."""

import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor

import pytest

HEAD = """
import asyncio, os, sys, threading
from concurrent.futures import ThreadPoolExecutor
from mlx_backends import Engine, EngineConfig, SamplingParams

engine = Engine(EngineConfig(model=sys.argv[1]))
params = SamplingParams(max_tokens=16, temperature=1.0, ignore_eos=True)

def generate(seed=0):
    return [t for o in engine.stream(engine.submit([5, 6, 7], params)) for t in o.token_ids]

async def agenerate():
    return [o async for o in engine.astream(engine.submit([5, 6, 7], params))]
"""
SCRIPTS = {
    "pool, event loop and a thread that leaves early": """
        with ThreadPoolExecutor(4) as pool:
            assert all(len(ids) == 16 for ids in pool.map(generate, range(8)))

        async def main():
            await asyncio.gather(*(agenerate() for _ in range(4)))
        asyncio.run(main())

        def leave_early():
            next(engine.stream(engine.submit([5], SamplingParams(ignore_eos=True))))
        threading.Thread(target=leave_early).start()
    """,
    "exit in the middle of a stream": """
        next(engine.stream(engine.submit([5], SamplingParams(ignore_eos=True))))
        kept = engine.submit([5], SamplingParams(ignore_eos=True))
    """,
    "a daemon thread still reads": """
        started = threading.Event()
        def read():
            for output in engine.stream(engine.submit([5], SamplingParams(ignore_eos=True))):
                started.set()
        threading.Thread(target=read, daemon=True).start()
        started.wait()
    """,
    "sys.exit in a thread, close in another": """
        generate()
        threading.Thread(target=lambda: (generate(), sys.exit(3))).start()
        threading.Thread(target=engine.close).start()
    """,
    "nothing was ever used": "",
}
FORK = """
    generate()
    child = os.fork()
    if child == 0:
        from mlx_backends.errors import ForkedProcessError
        try:
            generate()
        except ForkedProcessError:
            os._exit(7)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    assert len(generate()) == 16
"""
FORK_NEW_ENGINE = """
    generate()
    child = os.fork()
    if child == 0:
        from mlx_backends.errors import ForkedProcessError
        try:
            Engine(EngineConfig(model=sys.argv[1])).submit([5])
        except ForkedProcessError:
            sys.exit(7)
        sys.exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
"""


def run_script(body: str, folder, timeout: float = 60) -> subprocess.CompletedProcess[str]:
    script = HEAD + textwrap.dedent(body)
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", script, str(folder)]
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False)


@pytest.mark.parametrize("name", SCRIPTS)
def test_the_process_exits_with_zero(tiny_lm, name):
    done = run_script(SCRIPTS[name], tiny_lm)
    # A thread that still reads when the engine closes may print a traceback; that is no crash.
    assert done.returncode == 0, done.stderr
    assert "terminate called" not in done.stderr


@pytest.mark.parametrize("body", [FORK, FORK_NEW_ENGINE])
def test_a_forked_child_gets_a_typed_error_within_5_s(tiny_lm, body):
    done = run_script(body, tiny_lm, timeout=25)
    assert (done.returncode, done.stderr) == (0, "")


# More threads than cores, so that what is left of one runs on while the process ends.
MORE_SCRIPTS = {
    "the main thread computes too": """
        import mlx.core as mx
        mx.set_default_device(mx.cpu)
        product = mx.compile(lambda x: (x @ x, [x + 1]))
        generate()
        kept = [product(mx.random.normal((512, 512))) for _ in range(3)]
        mx.async_eval(kept[0][0])
        next(engine.stream(engine.submit([5], SamplingParams(ignore_eos=True))))
    """,
    "an embedder is at work": """
        from mlx_backends import Embedder
        embedder = Embedder()
        texts = ["a few words " * 40] * 4_000
        threading.Thread(target=embedder.embed, args=(texts,), daemon=True).start()
        embedder.embed(["one"])
    """,
}


@pytest.mark.slow
def test_50_exits_in_a_row_are_clean(tiny_lm):
    bodies = [*SCRIPTS.values(), *MORE_SCRIPTS.values()]
    with ThreadPoolExecutor(4) as pool:
        done = list(pool.map(lambda i: run_script(bodies[i % len(bodies)], tiny_lm), range(50)))
    assert [d.returncode for d in done] == [0] * 50, [d.stderr for d in done if d.returncode]
