"""Threads that compute batches: what becomes of faults, of the threads, and of late callers."""

import gc
import subprocess
import sys
import threading

import pytest

from mlx_backends.pooling.batch_threads import BatchThreads

LATE_CALLER = """
import threading, time
from mlx_backends import Embedder, EmbedderConfig

embedder = Embedder(EmbedderConfig(model="bundled", device="cpu"))
embedder.embed(["the first"])

def embed_late():
    threading.main_thread().join()
    time.sleep(0.2)
    print(embedder.embed(["a text"] * 300).shape)

threading.Thread(target=embed_late).start()
"""


def test_jobs_run_side_by_side_and_fail_alone():
    threads = BatchThreads(2)
    meeting = threading.Barrier(2)
    met = [threads.submit(lambda: meeting.wait(5)) for _ in range(2)]
    assert sorted(future.result(5) for future in met) == [0, 1]
    failed, good = threads.submit(lambda: 1 // 0), threads.submit(lambda: 7)
    with pytest.raises(ZeroDivisionError):
        failed.result(5)
    assert good.result(5) == 7


def test_threads_end_with_their_owner():
    before = set(threading.enumerate())
    threads = BatchThreads(3)
    started = set(threading.enumerate()) - before
    assert len(started) == 3
    done = threads.submit(lambda: 1)
    del threads
    gc.collect()
    assert done.result(5) == 1
    for thread in started:
        thread.join(5)
        assert not thread.is_alive()


def test_a_thread_that_outlives_the_main_one_can_still_embed():
    done = subprocess.run(
        [sys.executable, "-c", LATE_CALLER], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout) == (0, "(300, 256)\n"), done.stderr
