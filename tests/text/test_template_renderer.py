import gc
import os
import resource
import signal
import subprocess
import sys
import threading
import time
import warnings

import pytest

from mlx_backends.errors import ChatTemplateError, RequestError
from mlx_backends.text import template_renderer
from mlx_backends.text.template_renderer import MAX_TEMPLATE_BYTES, TemplateRenderer

LOOPS = "{% for i in range(n) %}{% for j in range(n) %}{% endfor %}{% endfor %}"
HOSTILE = {
    "class": "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "class by filter": "{{ (''|attr('__class__')).__mro__ }}",
    "class by item": "{{ ''['__class__']['__mro__'] }}",
    "globals of a function": "{{ lipsum.__globals__['os'].popen('id').read() }}",
    "init of a class": "{{ cycler.__init__.__globals__['os'].system('id') }}",
    "joiner": "{{ joiner.__init__.__globals__.os }}",
    "namespace": "{{ namespace.__init__.__globals__.os }}",
    "namespace attribute": "{% set ns = namespace(__class__=1) %}{{ ns.__class__ }}",
    "self": "{{ self.__init__.__globals__.os }}",
    "self template": "{{ self._TemplateReference__context.environment }}{{ 1/0 }}",
    "raise_exception": "{{ raise_exception.__globals__['__builtins__']['eval']('1') }}",
    "strftime_now": "{{ strftime_now.__globals__.sys.exit() }}",
    "dict": "{{ dict.__call__.__globals__.os }}",
    "loop": "{% for x in [1] %}{{ loop.__class__.__init__.__globals__.os }}{% endfor %}",
    "format attribute": "{{ '{0.__class__.__mro__}'.format('') }}",
    "format_map": "{{ '{x.__class__.__mro__}'.format_map({'x': 1}) }}",
    "format by map": "{{ ['{0.__class__}']|map('format', '')|list }}{{ 1/0 }}",
    "include": "{% include '/etc/passwd' %}",
    "import": "{% import 'os' as os %}",
    "mutation": "{% do messages.append(1) %}",
    "mutation by call": "{{ messages.append(1) }}",
    "range": "{{ range(10**9)|list }}",
    "nested loops": LOOPS.replace("range(n)", "range(99999)"),
    "repeat": "{{ 'a' * 10**10 }}",
    "list repeat": "{% set x = [0] * 10**9 %}{{ x|tojson }}",
    "power": "{{ 10 ** (10 ** 10) }}",
    "width": "{{ '%1000000000000d' % 1 }}",
    "format width": "{{ '{:>10000000000}'.format(1) }}",
    "center": "{{ 'a'|center(10**10) }}",
    "strftime": "{{ strftime_now('%Y' * 10**9) }}",
    "doubling": "{% set n = namespace(x='a') %}{% for i in range(99) %}{% set n.x = n.x ~ n.x %}"
    "{% endfor %}{{ n.x }}",
    "list doubling": "{% set n = namespace(x=[1]) %}{% for i in range(99) %}"
    "{% set n.x = n.x + n.x %}{% endfor %}{{ n.x|tojson }}",
    "replace": "{% set n = namespace(x='aa') %}{% for i in range(99) %}"
    "{% set n.x = n.x.replace('a', n.x) %}{% endfor %}{{ n.x }}",
    "output": "{% for i in range(99999) %}{{ 'a' * 9999 }}{% endfor %}",
    "recursion": "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
    "mutual recursion": "{% macro f(g) %}{{ g(g) }}{% endmacro %}{{ f(f) }}",
    "deep parse": "{{ " + "(" * 9_000 + "1" + ")" * 9_000 + " }}",
    "deep blocks": "{% if 1 %}" * 6_000,
    "syntax": "{% for %}",
    "unknown filter": "{{ 1|nope }}",
    "unknown tag": "{% nope %}",
    "undefined attribute": "{{ nope.nope }}",
    "undefined call": "{{ nope() }}",
    "division": "{{ 1 // 0 }}",
}


@pytest.fixture
def renderer():
    made: list[TemplateRenderer] = []

    def make(source: str, **options: float) -> TemplateRenderer:
        made.append(TemplateRenderer(source, **options))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_template_is_a_typed_error_in_time(name, renderer):
    memory_before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    template = renderer(HOSTILE[name])
    started = time.perf_counter()
    with pytest.raises(ChatTemplateError):
        template.render({"messages": [{"role": "user"}]})
    assert time.perf_counter() - started < 4.0
    # The bombs are of 10 GB; ru_maxrss counts KiB on Linux and bytes on macOS.
    growth = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory_before
    assert growth < 64 * 2**20 / (1 if sys.platform == "darwin" else 1024)


def test_renders_after_a_time_out(renderer):
    template = renderer(LOOPS + "ok")
    with pytest.raises(ChatTemplateError, match="more than 1 s"):
        template.render({"n": 99_999})
    assert template.render({"n": 3}) == "ok"


def test_runs_no_command(renderer, tmp_path):
    target = tmp_path / "pwned"
    for source in (
        "{{ cycler.__init__.__globals__.os.system('touch %s') }}",
        "{{ self.__init__.__globals__.__builtins__.open('%s', 'w') }}",
    ):
        with pytest.raises(ChatTemplateError):
            renderer(source % target).render({})
    assert not target.exists()


def test_child_is_confined(renderer, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "secret")
    template = renderer("{{ x }}")
    template.render({"x": 1})
    pid = template._child._process.pid
    if not os.path.isdir(f"/proc/{pid}"):
        pytest.skip("needs /proc")
    with open(f"/proc/{pid}/environ", encoding="utf-8") as file:
        assert "secret" not in file.read()
    assert os.readlink(f"/proc/{pid}/cwd") == "/"
    targets = {os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")}
    assert all(target == "/dev/null" or target.startswith("socket:") for target in targets)
    with open(f"/proc/{pid}/limits", encoding="utf-8") as file:
        limits = {line[:26].strip(): line[26:].split()[0] for line in file}
    assert limits["Max address space"] == str(512 * 2**20)
    assert limits["Max file size"] == "0"


def test_too_large_a_template(renderer):
    with pytest.raises(ChatTemplateError, match="65,537 bytes"):
        renderer("a" * (MAX_TEMPLATE_BYTES + 1))
    assert len(renderer("a" * MAX_TEMPLATE_BYTES).render({})) == MAX_TEMPLATE_BYTES


def test_variables_that_are_not_json(renderer):
    template = renderer("{{ x }}")
    cyclic: list = []
    cyclic.append(cyclic)
    deep: list = []
    for _ in range(100_000):
        deep = [deep]
    for value in (b"bytes", object(), cyclic, deep, {(1, 2): 3}):
        with pytest.raises(RequestError, match="JSON"):
            template.render({"x": value})
    assert template.render({"x": "ok"}) == "ok"


def test_too_large_a_request(renderer, monkeypatch):
    monkeypatch.setattr(template_renderer, "MAX_REQUEST_BYTES", 1_000)
    with pytest.raises(RequestError, match="at most 1,000"):
        renderer("{{ x }}").render({"x": "a" * 1_000})


def test_text_survives_the_way(renderer):
    text = "\x00 \ud800 é 中 👍 \u2028 </script> & \" '"
    assert renderer("{{ x }}|{{ x|tojson }}").render({"x": text}).startswith(text + "|")
    assert len(renderer("{{ x }}").render({"x": "é" * 4_000_000})) == 4_000_000


def test_reports_the_line_of_a_syntax_error(renderer):
    with pytest.raises(ChatTemplateError, match="line 3"):
        renderer("a\nb\n{% if %}").render({})


def test_message_of_raise_exception(renderer):
    with pytest.raises(ChatTemplateError, match=r"refused the chat: roles must alternate$"):
        renderer("{{ raise_exception('roles must alternate') }}").render({})


def test_long_error_messages_are_cut(renderer):
    with pytest.raises(ChatTemplateError) as caught:
        renderer("{{ raise_exception('a' * 100000) }}").render({})
    assert len(str(caught.value)) < 3_000


def test_child_starts_at_the_first_render_only(renderer):
    template = renderer("{{ x }}")
    assert template._child is None
    template.render({"x": 1})
    child = template._child
    assert template.render({"x": 2}) == "2"
    assert template._child is child


def test_warm_render_is_fast(renderer):
    template = renderer("{% for m in messages %}{{ m.content }}{% endfor %}")
    context = {"messages": [{"role": "user", "content": "hello " * 50}] * 4}
    template.render(context)
    seconds = []
    for _ in range(200):
        started = time.perf_counter()
        template.render(context)
        seconds.append(time.perf_counter() - started)
    # 0.1 ms where nothing else runs.
    assert sorted(seconds)[100] < 0.005


def test_killed_child_is_replaced(renderer):
    template = renderer("{{ x }}")
    template.render({"x": 1})
    process = template._child._process
    os.kill(process.pid, signal.SIGKILL)
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert template.render({"x": 2}) == "2"


def test_interrupted_render_does_not_leak_its_reply(renderer, monkeypatch):
    template = renderer("{{ x }}")
    template.render({"x": 1})

    def interrupted(self, deadline):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(template_renderer._Child, "_receive", interrupted)
        with pytest.raises(KeyboardInterrupt):
            template.render({"x": "old"})
    assert template.render({"x": "new"}) == "new"


def test_many_threads(renderer):
    template = renderer("{{ x }}")
    failures = []

    def work(name: str) -> None:
        for turn in range(50):
            if template.render({"x": f"{name}-{turn}"}) != f"{name}-{turn}":
                failures.append(name)

    threads = [threading.Thread(target=work, args=(str(index),)) for index in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


def test_close_and_collection_end_the_child():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for end in (lambda template: template.close(), lambda template: None):
            template = TemplateRenderer("{{ x }}")
            template.render({"x": 1})
            process = template._child._process
            end(template)
            del template
            gc.collect()
            assert process.returncode is not None
    assert not caught


def run_python(code: str) -> str:
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "PATH": os.environ["PATH"]},
    )
    assert result.stderr == ""
    return result.stdout


PRELUDE = """
import os
from mlx_backends.text.template_renderer import TemplateRenderer
template = TemplateRenderer("{{ x }}")
template.render({"x": 1})
pid = template._child._process.pid
"""


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.parametrize("end", ["pass", "os._exit(0)", "os.kill(os.getpid(), 9)"])
def test_child_ends_with_its_parent(end):
    pid = int(run_python(f"{PRELUDE}\nprint(pid, flush=True)\n{end}"))
    deadline = time.monotonic() + 10
    while is_alive(pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not is_alive(pid)


def test_fork_starts_its_own_child():
    code = f"""{PRELUDE}
forked = os.fork()
if forked == 0:
    assert template.render({{"x": "in fork"}}) == "in fork"
    assert template._child._process.pid != pid
    raise SystemExit(0)
assert os.waitpid(forked, 0)[1] == 0
assert template.render({{"x": "in parent"}}) == "in parent"
print(template._child._process.pid == pid)
"""
    assert run_python(code).strip() == "True"


def test_fork_while_another_thread_renders():
    code = f"""{PRELUDE}
import threading
slow = TemplateRenderer({LOOPS!r})
slow.render({{"n": 1}})
thread = threading.Thread(target=lambda: slow.render({{"n": 1500}}))
thread.start()
forked = os.fork()
if forked == 0:
    slow.render({{"n": 2}})
    os._exit(7)
thread.join()
print(os.waitstatus_to_exitcode(os.waitpid(forked, 0)[1]))
"""
    assert run_python(code).strip() == "7"
